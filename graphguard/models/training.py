"""The loop that trains a network: epochs of batches, early stop on a later slice.

A network and its source of batches are all it knows, so every family trains the same way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graphguard.errors import TooFewLabels
from graphguard.evaluate.metrics import auprc
from graphguard.models.base import Rows, Upkeep
from graphguard.models.losses import imbalance_loss
from graphguard.models.network_settings import NetworkSettings

Floats = NDArray[np.float32]
NEGATIVES = 25
"""Negatives per positive in an epoch, drawn anew each time; calibration undoes the shift."""
JUDGED_NEGATIVES = 4_000
"""Negatives of the selection slice that early stopping looks at."""
WEIGHT_DECAY, LARGEST_STEP = 1e-3, 2.0


class BatchSource(Protocol):
    """Makes what a network takes, of rows."""

    def batches(
        self, rows: Rows, size: int, draw: int = 0
    ) -> Iterator[tuple[Any, NDArray[np.int64]]]:
        """Batches of rows in order, with the positions of their rows."""
        ...


@dataclass(frozen=True)
class Lesson:
    """What to learn from.

    Attributes:
        train: Labelled rows.
        judge: Labelled rows of a later time, on which to stop.
        source: Makes batches of either.
    """

    train: Rows
    judge: Rows
    source: BatchSource


def train_network(
    net: nn.Module, lesson: Lesson, settings: NetworkSettings, upkeep: Upkeep, name: str
) -> list[float]:
    """Train until the judged AUPRC no longer grows; leaves the best weights in `net`.

    Args:
        net: Gives logit and hidden state of a batch's rows.
        lesson: Rows and batches.
        settings: Epochs, batch size, step size, patience, loss, seed.
        upkeep: Whom to tell progress.
        name: Of the model, for progress.

    Returns:
        Mean loss of each epoch.
    """
    label = labels_of("train", lesson.train)
    loop = _Loop(net, lesson, settings, label)
    curve: list[float] = []
    best, best_state, waited = -1.0, _state(net), 0
    for epoch in range(settings.epochs):
        chosen = loop.order(epoch)
        batches = -(-len(chosen) // settings.batch_rows)
        losses = []
        for number, loss in enumerate(loop.epoch(epoch, chosen), 1):
            losses.append(loss)
            told = f"{name}: epoch {epoch + 1} of at most {settings.epochs}"
            upkeep.tell(epoch * batches + number, settings.epochs * batches, told)
        curve.append(float(np.sum(losses) / len(chosen)))
        value = auprc(scores_of(net, lesson.judge, lesson.source, settings)[0], loop.judged)
        waited = 0 if value > best else waited + 1
        if value > best:
            best, best_state = value, _state(net)
        if waited >= settings.patience:
            break
    net.load_state_dict(best_state)
    return curve


class _Loop:
    """What stays the same from epoch to epoch."""

    def __init__(
        self, net: nn.Module, lesson: Lesson, settings: NetworkSettings, label: NDArray[np.int8]
    ) -> None:
        self.net, self.lesson, self.settings, self.label = net, lesson, settings, label
        self.judged = labels_of("valid", lesson.judge)
        self.optimizer = torch.optim.AdamW(
            net.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY
        )
        ratio = min(NEGATIVES, float((label == 0).sum() / (label == 1).sum()))
        self.weight = float(np.sqrt(ratio))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Positions of an epoch's rows: all positives, a draw of negatives, shuffled."""
        rng = np.random.Generator(np.random.Philox([self.settings.seed, epoch]))
        negatives = int(NEGATIVES * (self.label == 1).sum())
        return rng.permutation(draw_negatives(self.label, negatives, rng))

    def epoch(self, epoch: int, chosen: NDArray[np.int64]) -> Iterator[float]:
        """Train on an epoch's rows; yields the summed loss of each batch."""
        rows, size = self.lesson.train.take(chosen), self.settings.batch_rows
        self.net.train()
        for batch, place in self.lesson.source.batches(rows, size, draw=epoch):
            yield self.step(batch, self.label[chosen[place]])

    def step(self, batch: Any, label: NDArray[np.int8]) -> float:
        """One step of the optimizer; returns the summed loss."""
        settings = self.settings
        self.optimizer.zero_grad()
        with mixed_precision(device_of(self.net)):
            logit, _ = self.net(batch)
        wanted = torch.from_numpy(label.astype(np.float32)).to(logit.device)
        gamma = settings.focal_gamma if settings.loss == "focal" else None
        loss = imbalance_loss(logit.float(), wanted, self.weight, gamma).sum()
        (loss / len(label)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), LARGEST_STEP)
        self.optimizer.step()
        return float(loss.detach())


def scores_of(
    net: nn.Module, rows: Rows, source: BatchSource, settings: NetworkSettings
) -> tuple[Floats, Floats]:
    """Probability and hidden state of rows, shape [n] and [n, hidden], float32."""
    net.eval()
    score = np.zeros(len(rows), dtype=np.float32)
    hidden = np.zeros((len(rows), settings.hidden), dtype=np.float32)
    with torch.no_grad():
        for batch, place in source.batches(rows, settings.batch_rows):
            logit, state = net(batch)
            score[place] = torch.sigmoid(logit.float()).cpu().numpy()
            hidden[place] = state.float().cpu().numpy()
    return score, hidden


def judged_rows(valid: Rows, seed: int) -> Rows:
    """The part of the selection slice that early stopping looks at: all positives, some others.

    Raises:
        TooFewLabels: The slice lacks positives or negatives.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    return valid.take(draw_negatives(labels_of("valid", valid), JUDGED_NEGATIVES, rng))


def draw_negatives(
    label: NDArray[np.int8], negatives: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of all positives and of a draw of negatives, ascending."""
    ones, zeros = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    if len(zeros) > negatives:
        zeros = rng.choice(zeros, negatives, replace=False)
    return np.sort(np.concatenate([ones, zeros]))


def labels_of(where: str, rows: Rows) -> NDArray[np.int8]:
    """The labels of rows.

    Raises:
        TooFewLabels: There are no positives, or no negatives.
    """
    if rows.label is None:
        message = f"{where}: rows carry no label"
        raise ValueError(message)
    positives = int(rows.label.sum())
    if positives == 0 or positives == len(rows):
        raise TooFewLabels(where, positives, len(rows) - positives, 1)
    return rows.label


def mixed_precision(device: str) -> Any:
    """Half precision where the hardware is made for it."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")


def device_of(net: nn.Module) -> str:
    """Type of the device that holds the network."""
    return next(net.parameters()).device.type


def _state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}
