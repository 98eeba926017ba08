"""How networks are built and trained; the config has the defaults."""

from dataclasses import dataclass
from typing import Literal

from graphguard.config.training import SampledConfig
from graphguard.graph.strategies import Strategy

_DEFAULT = SampledConfig()


@dataclass(frozen=True)
class NetworkSettings:
    """What all networks share.

    Attributes:
        hidden: Width of the hidden layers and of the embedding.
        epochs: Most passes; each sees all positives and a draw of negatives.
        batch_rows: Rows in a batch; predictions do not depend on it.
        learning_rate: Step size of AdamW.
        loss: 'weighted' cross-entropy or 'focal'.
        focal_gamma: How little the focal loss cares for rows that are right already.
        patience: Epochs without a better AUPRC before training stops.
        dropout: Share of hidden values dropped in training.
        seed: Seed of weights, batches and samples.
        device: 'auto' takes a GPU if there is one.
    """

    hidden: int = _DEFAULT.hidden
    epochs: int = _DEFAULT.epochs
    batch_rows: int = _DEFAULT.batch_rows
    learning_rate: float = _DEFAULT.learning_rate
    loss: Literal["weighted", "focal"] = _DEFAULT.loss
    focal_gamma: float = _DEFAULT.focal_gamma
    patience: int = 5
    dropout: float = 0.2
    seed: int = 7
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class SampledSettings(NetworkSettings):
    """What all sampled families share.

    Attributes:
        fanouts: Neighbours per relation and direction at each hop; one round of messages a hop.
        sampler: Which neighbours a node takes, see `graphguard.graph.strategies`.
        ranks: Processes of this machine that train together; the result is that of one.
    """

    fanouts: tuple[int, ...] = _DEFAULT.fanouts
    sampler: Strategy = _DEFAULT.sampler
    ranks: int = 1
