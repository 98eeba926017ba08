"""The loop that trains a network: epochs of batches, early stop on a later slice, checkpoints.

A network and its source of batches are all it knows, so every family trains the same way. Rows,
their order and their trees follow the seed and the epoch, dropout follows the rows: a training that
was killed goes on from its checkpoint to the same loss curve and the same weights, and several
ranks that share each batch make, up to rounding, the steps of one.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graphguard.evaluate.metrics import auprc
from graphguard.models.base import GraphContext, Rows, Upkeep, labels_of
from graphguard.models.checkpoint import Checkpoints, Standing, put_back, state_of
from graphguard.models.losses import imbalance_loss
from graphguard.models.network_settings import NetworkSettings
from graphguard.models.team import Team
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import fingerprint

Floats = NDArray[np.float32]
NEGATIVES = 25
"""Negatives per positive in an epoch, drawn anew each time; calibration undoes the shift."""
JUDGED_NEGATIVES = 4_000
"""Negatives of the selection slice that early stopping looks at."""
WEIGHT_DECAY, LARGEST_STEP = 1e-3, 2.0
CHECKPOINT_S = 60.0
"""Inside an epoch a checkpoint is written so often; besides, one at the end of each epoch."""


class BatchSource(Protocol):
    """Makes what a network takes, of rows."""

    def batch(self, nodes: NDArray[np.int64], anchor_us: NDArray[np.int64], draw: int = 0) -> Any:
        """One batch, around these nodes at these anchors; another `draw` samples others."""
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


@dataclass(frozen=True)
class Course:
    """How to train.

    Attributes:
        name: Of the model, for progress and checkpoints.
        settings: Epochs, batch size, step size, patience, loss, seed.
        upkeep: Whom to tell progress, where to keep checkpoints.
        team: The ranks that train together.
    """

    name: str
    settings: NetworkSettings
    upkeep: Upkeep = field(default_factory=Upkeep)
    team: Team = field(default_factory=Team)


def train_network(net: nn.Module, lesson: Lesson, course: Course) -> list[float]:
    """Train until the judged AUPRC no longer grows; leaves the best weights in `net`.

    Args:
        net: Gives logit and hidden state of a batch's rows.
        lesson: Rows and batches.
        course: Settings, upkeep and ranks.

    Returns:
        Mean loss of each epoch.

    Raises:
        TooFewLabels: A slice lacks positives or negatives.
    """
    trainer = _Trainer(net, lesson, course)
    trainer.resume()
    while not trainer.standing.ended:
        trainer.epoch()
    net.load_state_dict(trainer.best)
    return trainer.standing.curve


class _Trainer:
    """A network in training, and how far it is."""

    def __init__(self, net: nn.Module, lesson: Lesson, course: Course) -> None:
        self.net, self.lesson, self.course = net, lesson, course
        self.settings = course.settings
        self.label = labels_of("train", lesson.train)
        self.judged = labels_of("valid", lesson.judge)
        self.joint = course.team.together(net)
        self.optimizer = torch.optim.AdamW(
            net.parameters(), lr=self.settings.learning_rate, weight_decay=WEIGHT_DECAY
        )
        ratio = min(NEGATIVES, float((self.label == 0).sum() / (self.label == 1).sum()))
        self.weight = float(np.sqrt(ratio))
        self.standing, self.best = Standing(), _copied(net)
        folder = course.upkeep.folder
        self.checkpoints = Checkpoints(folder, "" if folder is None else self._identity())
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one of this very training."""
        found = self.checkpoints.load()
        if found is None:
            return
        self.standing, tensors = found
        self.best = put_back(tensors, self.net, self.optimizer)
        done = f"{self.standing.epoch} epochs and {self.standing.batch} batches"
        self.course.upkeep.note(f"{self.course.name}: goes on after {done}")

    def epoch(self) -> None:
        """Train on the rest of an epoch, judge, and say whether it was the last."""
        standing, settings = self.standing, self.settings
        chosen = self._order()
        parts = [
            chosen[start : start + settings.batch_rows]
            for start in range(0, len(chosen), settings.batch_rows)
        ]
        self.net.train()
        for part in parts[standing.batch :]:
            standing.loss += self._step(part)
            standing.batch += 1
            self._after_batch(len(parts))
        standing.curve.append(standing.loss / len(chosen))
        value = auprc(self._judge(), self.judged)
        standing.waited = 0 if value > standing.best else standing.waited + 1
        if value > standing.best:
            standing.best, self.best = value, _copied(self.net)
        standing.epoch, standing.batch, standing.loss = standing.epoch + 1, 0, 0.0
        out_of_patience = standing.waited >= settings.patience
        standing.ended = out_of_patience or standing.epoch >= settings.epochs
        self._save()

    def _order(self) -> NDArray[np.int64]:
        """Positions of the epoch's rows: all positives, a draw of negatives, shuffled."""
        rng = np.random.Generator(np.random.Philox([self.settings.seed, self.standing.epoch]))
        negatives = int(NEGATIVES * (self.label == 1).sum())
        return rng.permutation(draw_negatives(self.label, negatives, rng))

    def _step(self, part: NDArray[np.int64]) -> float:
        """One step of the optimizer over all ranks' shares; returns the summed loss."""
        settings, team = self.settings, self.course.team
        mine = part[team.share(len(part))]
        train = self.lesson.train
        batch = self.lesson.source.batch(
            train.node[mine], train.anchor_us[mine], draw=self.standing.epoch
        )
        self.optimizer.zero_grad()
        with mixed_precision(device_of(self.net)):
            logit, _ = self.joint(batch)
        wanted = torch.from_numpy(self.label[mine].astype(np.float32)).to(logit.device)
        gamma = settings.focal_gamma if settings.loss == "focal" else None
        loss = imbalance_loss(logit.float(), wanted, self.weight, gamma).sum()
        # Ranks average their gradients; so scaled, that makes the mean over all rows of the batch.
        (loss * (team.size / len(part))).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), LARGEST_STEP)
        self.optimizer.step()
        return team.total(float(loss.detach()))

    def _after_batch(self, batches: int) -> None:
        """Tell progress, keep a checkpoint if the last is old."""
        standing, course = self.standing, self.course
        done = standing.epoch * batches + standing.batch
        what = f"{course.name}: epoch {standing.epoch + 1} of at most {self.settings.epochs}"
        course.upkeep.tell(done, self.settings.epochs * batches, what)
        if standing.batch < batches and time.monotonic() - self.saved_at >= CHECKPOINT_S:
            self._save()
        failpoint(f"train:{course.name}:{course.team.rank}:{standing.epoch}:{standing.batch}")

    def _save(self) -> None:
        if self.course.team.rank == 0:
            self.checkpoints.save(self.standing, state_of(self.net, self.best, self.optimizer))
        self.saved_at = time.monotonic()

    def _judge(self) -> Floats:
        """Scores of the judged rows, each rank's share by that rank."""
        rows, team = self.lesson.judge, self.course.team
        mine = rows.take(np.arange(len(rows))[team.share(len(rows))])
        scores, _ = scores_of(self.net, mine, self.lesson.source, self.settings)
        return team.gathered(scores, len(rows))

    def _identity(self) -> str:
        """Names all that the training depends on."""
        course, lesson = self.course, self.lesson
        # Where it runs and what it tells are no part of it.
        settings = {name: value for name, value in asdict(self.settings).items() if name != "ranks"}
        shapes = {name: list(value.shape) for name, value in self.net.state_dict().items()}
        rows = [rows_digest(one) for one in (lesson.train, lesson.judge)]
        return fingerprint(
            [course.name, settings, shapes, rows, course.upkeep.inputs, torch.__version__]
        )


def told_apart(upkeep: Upkeep, context: GraphContext) -> Upkeep:
    """The upkeep, whose checkpoints are of this context alone."""
    if upkeep.folder is None:
        return upkeep
    graph = context.graph
    edges = {"__".join(name): count for name, count in graph.num_edges.items()}
    looked_at = [graph.num_nodes, edges, context.node_type, context.window_us]
    looked_at += [context.horizon_us, context.static, _digest([context.group])]
    inputs = fingerprint([upkeep.inputs, looked_at, rows_digest(context.rows)])
    return replace(upkeep, inputs=inputs)


def rows_digest(rows: Rows) -> str:
    """SHA-256 of all numbers that rows hold, and of their names; hexadecimal."""
    arrays = _digest([rows.node, rows.anchor_us, rows.x, rows.label])
    return fingerprint([rows.names, arrays])


def _digest(arrays: Sequence[NDArray[Any] | None]) -> str:
    digest = sha256()
    for array in arrays:
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def scores_of(
    net: nn.Module, rows: Rows, source: BatchSource, settings: NetworkSettings
) -> tuple[Floats, Floats]:
    """Probability and hidden state of rows, shape [n] and [n, hidden], float32."""
    net.eval()
    score = np.zeros(len(rows), dtype=np.float32)
    hidden = np.zeros((len(rows), settings.hidden), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, len(rows), settings.batch_rows):
            part = slice(start, start + settings.batch_rows)
            logit, state = net(source.batch(rows.node[part], rows.anchor_us[part]))
            score[part] = torch.sigmoid(logit.float()).cpu().numpy()
            hidden[part] = state.float().cpu().numpy()
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


def mixed_precision(device: str) -> Any:
    """Half precision where the hardware is made for it."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")


def device_of(net: nn.Module) -> str:
    """Type of the device that holds the network."""
    return next(net.parameters()).device.type


def _copied(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}
