"""Sample neighbourhoods in time: a tree per seed, over all relations both ways, in whole batches.

Torch-geometric's own neighbour loader needs pyg-lib, which has no package on the usual index; this
sampler is vectorised torch over CSR, on CPU or GPU (`graph/geometric.py` is its door to
torch-geometric's `NodeLoader`). Every sampled edge has its time in [anchor - window, anchor) of its
own seed. What is drawn follows a hash of (seed, seed node, anchor, place in the tree), so a seed's
tree is the same in every batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphguard.graph.draws import hash_step
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.neighbourhoods import Asked, Layer, Trees
from graphguard.graph.strategies import Pick, Question, Strategy, open_picker
from graphguard.graph.timed_edges import TimedEdges


class TemporalSampler:
    """Disjoint trees of neighbours bounded in time.

    Args:
        graph: The graph.
        fanouts: Neighbours per relation and direction at each hop.
        window_us: Length of the window before each seed's anchor.
        seed: Seed of every draw.
        node_type: Type of the seeds.
        device: Where to sample; the arrays are copied there once.
        strategy: Which neighbours a node takes, see `graphguard.graph.strategies`.

    Raises:
        PygLibMissing: `strategy` is 'pyg-lib', which is not installed.
    """

    def __init__(
        self,
        graph: HeteroGraph,
        fanouts: Sequence[int],
        window_us: int,
        *,
        seed: int = 0,
        node_type: str = "user",
        device: str = "cpu",
        strategy: Strategy = "uniform",
    ) -> None:
        self.fanouts, self.seed, self.node_type = list(fanouts), seed, node_type
        self.edges = TimedEdges(graph, window_us, device)
        self._picker = open_picker(strategy, graph, self.edges, node_type)

    def sample(self, nodes: Tensor, anchor: Tensor, draw: int = 0) -> Trees:
        """Sample the trees of a batch of seeds.

        Args:
            nodes: Dense index of each seed, shape [seeds], int64.
            anchor: End of each seed's window, shape [seeds], int64.
            draw: Another number draws other trees of the same seeds.

        Returns:
            The trees, on the sampler's device.

        Cost: O(seeds * product of fanouts * relations), and a search in time per node asked.
        """
        nodes, anchor = nodes.to(self.edges.device), anchor.to(self.edges.device)
        mark = hash_step(hash_step(nodes + self.seed * 1_000_003, anchor), draw)
        kind, place = self.node_type, torch.arange(len(nodes), device=nodes.device)
        layers = [Layer({kind: nodes}, {kind: place}, {kind: mark})]
        pick = self._picker.begin(nodes, anchor)
        for hop in range(len(self.fanouts)):
            layers.append(self._hop(layers[-1], anchor, hop, pick))
        return Trees(kind, anchor, layers)

    def _hop(self, layer: Layer, anchor: Tensor, hop: int, pick: Pick) -> Layer:
        """Draw the next layer, and note in this one what was drawn."""
        last = hop == len(self.fanouts) - 1
        grown: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for number, step in enumerate(self.edges.steps):
            if step.asker not in layer.node:
                continue
            nodes, seed = layer.node[step.asker], layer.seed[step.asker]
            low, high = self.edges.windows(step, nodes, anchor.index_select(0, seed))
            marks = hash_step(layer.mark[step.asker], 1 + number + 1_000 * hop)
            count, offset = pick(Question(step, seed, low, high, self.fanouts[hop], marks))
            source = torch.arange(len(nodes), device=nodes.device)
            source = source.repeat_interleave(count, output_size=len(offset))
            edge = low.index_select(0, source) + offset
            child = self.edges.of(step).neighbor.index_select(0, edge).to(torch.int64)
            # Nothing is drawn from the last layer, so nothing is hashed for it.
            mark = edge if last else hash_step(marks.index_select(0, source), offset + 1)
            grown.setdefault(step.other, []).append((child, seed.index_select(0, source), mark))
            layer.asked.append(Asked(step, count, high - low, edge))
        joined = {
            kind: [torch.cat(part) for part in zip(*parts, strict=True)]
            for kind, parts in sorted(grown.items())
        }
        return Layer(
            node={kind: parts[0] for kind, parts in joined.items()},
            seed={kind: parts[1] for kind, parts in joined.items()},
            mark={} if last else {kind: parts[2] for kind, parts in joined.items()},
        )
