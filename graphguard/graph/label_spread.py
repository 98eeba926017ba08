"""Labels that spread over the whole graph, those of a row's own fold hidden from it.

Label propagation over user-object-user and user-user steps: Zhou et al. 2004, "Learning with local
and global consistency", with a random walk's weights. Every relation in which a user has edges
counts alike, and every object of a user. Once for each fold all other labels are spread and read at
the rows of that fold.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from graphguard.graph.hetero import Adjacency
from graphguard.graph.interop import ranges
from graphguard.graph.label_sums import LabelledNodes, Lookers

Floats = NDArray[np.float64]
STEPS = 10
KEPT = 0.2
"""Share of a node's mass that stays its own label's in every step."""


def spread_labels(
    sides: Sequence[Adjacency],
    direct: Sequence[bool],
    seekers: tuple[Lookers, LabelledNodes],
    window_us: int,
) -> tuple[Floats, Floats]:
    """Spread labels over all relations of one window.

    Args:
        sides: User to object, or user to user, one a relation.
        direct: Whether the relation joins users; it is walked both ways.
        seekers: Rows of one anchor, and the labels.
        window_us: Length of the window.

    Returns:
        Mass of positive labels and of all labels that reached each row, shape [n] each, the first
        never above the second; both 0 where none did.

    Cost: O(edges in the window * 2 folds * STEPS) time, memory 4 float64 a user and fold.
    """
    lookers, labelled = seekers
    anchor = int(lookers.anchor_us[0]) if len(lookers.anchor_us) else 0
    steps = [
        _step(side, users, (anchor - window_us, anchor))
        for side, users in zip(sides, direct, strict=True)
    ]
    there = np.stack([step[0].sum(axis=1) > 0 for step in steps])
    share = np.divide(1.0, there.sum(axis=0), where=there.any(axis=0), out=np.zeros(there.shape[1]))
    seen = labelled.known_us <= anchor
    folds = int(max(labelled.fold.max(initial=0), lookers.fold.max(initial=0))) + 1
    start = np.zeros((there.shape[1], 2 * folds))
    for fold in range(folds):
        shown = seen & (labelled.fold != fold)
        start[labelled.node[shown & labelled.bad], fold] = 1.0
        start[labelled.node[shown], folds + fold] = 1.0
    mass = start.copy()
    for _ in range(STEPS):
        told = sum(forward @ (back @ mass) for forward, back in steps)
        mass = (1.0 - KEPT) * share[:, None] * told + KEPT * start
    bad, known = (mass[lookers.node, lookers.fold + shift] for shift in (0, folds))
    return np.minimum(bad, known), known


def _step(side: Adjacency, users: bool, span: tuple[int, int]) -> tuple[csr_array, csr_array]:
    """One random step from users to users, as two factors whose rows add up to 1."""
    every = np.arange(side.num_rows)
    first, last = side.window(every, *span)
    neighbor = np.asarray(side.neighbor[ranges(first, last)], dtype=np.int64)
    row = np.repeat(every, last - first)
    width = side.num_rows if users else int(neighbor.max(initial=-1)) + 1
    met = csr_array((np.ones(len(row)), (row, neighbor)), shape=(side.num_rows, width))
    met.sum_duplicates()
    met.data[:] = 1.0
    if not users:
        return _walk(met), _walk(met.T.tocsr())
    both = (met + met.T).tocsr()
    both.data[:] = 1.0
    both.setdiag(0.0)
    return _walk(both), diags_array(np.ones(side.num_rows)).tocsr()


def _walk(steps: csr_array) -> csr_array:
    degree = steps.sum(axis=1)
    weight = np.divide(1.0, degree, where=degree > 0, out=np.zeros(len(degree)))
    return (diags_array(weight) @ steps).tocsr()
