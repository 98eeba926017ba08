"""Connected components of linked nodes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def linked_components(num_nodes: int, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Number the components of an undirected graph.

    Args:
        num_nodes: Number of nodes.
        first: One end of each link, shape [num_links], integer below num_nodes.
        second: The other end, shape [num_links].

    Returns:
        Component of each node, shape [num_nodes], int32; a node without links is its own.

    >>> linked_components(4, np.array([0]), np.array([2])).tolist()
    [0, 1, 0, 2]
    """
    links = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), (num_nodes, num_nodes))
    return np.asarray(connected_components(links, directed=False)[1])
