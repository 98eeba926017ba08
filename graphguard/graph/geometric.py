"""The sampler as torch-geometric's `BaseSampler`, so that it plugs into `NodeLoader`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import BaseSampler, HeteroSamplerOutput, NodeSamplerInput

from graphguard.graph.neighbourhoods import Step, Trees
from graphguard.graph.sampling import TemporalSampler


class GeometricSampler(BaseSampler):  # type: ignore[misc]
    """Disjoint trees of neighbours bounded in time, for torch-geometric's loaders.

    Args:
        sampler: What samples.
    """

    def __init__(self, sampler: TemporalSampler) -> None:
        self.sampler = sampler

    def sample_from_nodes(self, index: NodeSamplerInput, **_: Any) -> HeteroSamplerOutput:
        """Sample the trees of a batch of seeds; `index.time` holds their anchors."""
        edges = self.sampler.edges
        trees = self.sampler.sample(index.node, index.time)
        return as_sampler_output(trees, index.input_id, (sorted(edges.num_nodes), edges.steps))

    def sample_from_edges(self, *_: Any, **__: Any) -> HeteroSamplerOutput:
        """Not offered: seeds are nodes."""
        message = "GeometricSampler samples from nodes; pass it to a NodeLoader"
        raise NotImplementedError(message)

    @property
    def edge_permutation(self) -> None:
        """Edges are numbered as they are stored."""
        return None


def as_sampler_output(
    trees: Trees, input_id: Any, types: tuple[Sequence[str], Sequence[Step]]
) -> HeteroSamplerOutput:
    """Trees as torch-geometric's loaders take them.

    Args:
        trees: Sampled trees.
        input_id: What the loader asked with; handed back.
        types: All node types, and all ways to step, of the graph.
    """
    node_types, steps = types
    empty = torch.zeros(0, dtype=torch.int64, device=trees.anchor.device)
    node, batch = dict.fromkeys(node_types, empty), dict.fromkeys(node_types, empty)
    for kind in {kind for layer in trees.layers for kind in layer.node}:
        node[kind], batch[kind] = trees.nodes(kind)
    parts: dict[Any, list[tuple[Tensor, Tensor, Tensor]]] = {step.message: [] for step in steps}
    counts: dict[Any, list[int]] = {step.message: [] for step in steps}
    for depth, layer in enumerate(trees.layers[:-1]):
        drawn = {one.step.message: one for one in layer.asked}
        for message, found in parts.items():
            one = drawn.get(message)
            counts[message].append(0 if one is None else len(one.edge))
            if one is not None:
                found.append((*trees.edges(depth, one), one.edge))
    joined = {
        message: [torch.cat(part) for part in zip(*found, strict=True)] if found else [empty] * 3
        for message, found in parts.items()
    }
    return HeteroSamplerOutput(
        node=node,
        row={message: found[0] for message, found in joined.items()},
        col={message: found[1] for message, found in joined.items()},
        edge={message: found[2] for message, found in joined.items()},
        batch=batch,
        num_sampled_nodes={kind: trees.sizes(kind) for kind in node_types},
        num_sampled_edges=counts,
        metadata=(input_id, trees.anchor),
    )
