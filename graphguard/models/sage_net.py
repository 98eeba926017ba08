"""The network of GraphSAGE: encoders by node type, rounds of messages, and a head for the seeds."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv

from graphguard.graph.hetero import EdgeType
from graphguard.graph.sampling import walked_types


@dataclass(frozen=True)
class SageSettings:
    """How the network is built and trained.

    Attributes:
        fanouts: Neighbours per relation and direction at each hop.
        hidden: Width of the hidden layers and of the embedding.
        epochs: Most passes; each sees all positives and a draw of negatives.
        batch_rows: Rows in a batch; predictions do not depend on it.
        learning_rate: Step size of AdamW.
        patience: Epochs without a better AUPRC before training stops.
        dropout: Share of hidden values dropped in training.
        seed: Seed of weights, batches and samples.
        device: 'auto' takes a GPU if there is one.
    """

    fanouts: tuple[int, ...] = (8, 4)
    hidden: int = 64
    epochs: int = 20
    batch_rows: int = 512
    learning_rate: float = 0.003
    patience: int = 5
    dropout: float = 0.2
    seed: int = 7
    device: Literal["auto", "cpu", "cuda"] = "auto"


class SageNet(nn.Module):
    """Encoders, rounds of messages, and the head; `width` columns of the users to be scored."""

    def __init__(
        self, edge_types: list[EdgeType], node_type: str, width: int, settings: SageSettings
    ) -> None:
        super().__init__()
        steps = walked_types(edge_types)
        kinds = sorted({kind for message, _, _ in steps for kind in (message[0], message[2])})
        widths = {kind: sum(message[2] == kind for message, _, _ in steps) for kind in kinds}
        widths[node_type] = width
        hidden = settings.hidden
        self.node_type, self.drop = node_type, nn.Dropout(settings.dropout)
        self.encode = nn.ModuleDict({kind: nn.Linear(widths[kind], hidden) for kind in kinds})
        self.rounds = nn.ModuleList()
        self.norms = nn.ModuleList()
        for _ in settings.fanouts:
            convs = {message: SAGEConv((hidden, hidden), hidden) for message, _, _ in steps}
            self.rounds.append(HeteroConv(convs, aggr="mean"))
            self.norms.append(nn.ModuleDict({kind: nn.LayerNorm(hidden) for kind in kinds}))
        self.head = nn.Sequential(
            nn.Linear(width + hidden, hidden), nn.ReLU(), nn.Dropout(settings.dropout)
        )
        self.out = nn.Linear(hidden, 1)

    def forward(self, batch: HeteroData) -> tuple[Tensor, Tensor]:
        """Logit and last hidden layer of the batch's seeds, shape [seeds] and [seeds, hidden]."""
        state = {kind: torch.relu(self.encode[kind](x)) for kind, x in batch.x_dict.items()}
        for convolve, norm in zip(self.rounds, self.norms, strict=True):
            told = convolve(state, batch.edge_index_dict)
            grown = {
                kind: now + self.drop(torch.relu(told[kind])) if kind in told else now
                for kind, now in state.items()
            }
            state = {kind: norm.get_submodule(kind)(now) for kind, now in grown.items()}
        seeds = int(batch[self.node_type].batch_size)
        own = batch[self.node_type].x[:seeds]
        hidden = self.head(torch.cat([own, state[self.node_type][:seeds]], dim=1))
        return self.out(hidden).squeeze(1), hidden
