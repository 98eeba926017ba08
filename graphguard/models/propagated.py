"""The decoupled network: neighbours are added up once, then rows train without sampling.

Its inputs are tokens: the user's own columns, what each relation brings over one hop and over two
(`far_columns.py`), and the labels around (`label_rates.py`); attention over the tokens says which
relation and hop matter for a row (`propagated_net.py`).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor

from graphguard.config.training import LabelUse, PropagatedConfig, TextUse
from graphguard.errors import ArtefactInvalid, BadSetting
from graphguard.models.base import (
    GraphContext,
    Rows,
    Upkeep,
    labels_of,
    read_model_file,
    write_model_file,
)
from graphguard.models.hop_inputs import HopInputs
from graphguard.models.makers import Makers
from graphguard.models.network_settings import NetworkSettings
from graphguard.models.pretrain import pretrain
from graphguard.models.propagated_net import HEADS, TokenNet
from graphguard.models.quantiles import ARRAYS, QuantileInputs
from graphguard.models.torch_device import deterministic, pick_torch_device
from graphguard.models.training import (
    Course,
    Lesson,
    judged_rows,
    scores_of,
    told_apart,
    train_network,
)

Floats = NDArray[np.float32]
WEIGHTS = "weights.safetensors"
_DAMAGE = (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, IndexError)
QUANTILES = "quantiles."
"""Before the names of the inputs' arrays, which stand beside the weights."""
_DEFAULT = PropagatedConfig()


@dataclass(frozen=True)
class PropagatedSettings(NetworkSettings):
    """Settings of `propagated`.

    Attributes:
        hops: 1 or 2.
        pretrain: Epochs on all rows up to the newest training anchor, without labels, before.
        label_rates: As of `trees`.
        label_folds: As of `trees`.
        text: As of `trees`.
        positions: As of `trees`.
    """

    hops: int = _DEFAULT.hops
    pretrain: int = _DEFAULT.pretrain
    label_rates: LabelUse = _DEFAULT.label_rates
    label_folds: int = _DEFAULT.label_folds
    text: TextUse = _DEFAULT.text
    positions: int = _DEFAULT.positions


class PropagatedModel:
    """The decoupled network behind the `Model` protocol.

    Attributes:
        attention: Mean weight of each token over the training rows; they add up to 1.
        curve: Mean loss of each epoch of the last `fit`.
        pretrain_curve: Mean loss of each epoch before it, without labels.
    """

    name = "propagated"

    def __init__(self, settings: PropagatedSettings | None = None) -> None:
        self.settings = settings or PropagatedSettings()
        self.inputs: HopInputs | None = None
        self.makers = Makers()
        self.net: TokenNet | None = None
        self.attention: dict[str, float] = {}
        self.curve: list[float] = []
        self.pretrain_curve: list[float] = []

    def fit(
        self, train: Rows, valid: Rows, context: GraphContext, upkeep: Upkeep | None = None
    ) -> None:
        """Learn from `train`; stop early on the AUPRC of `valid`.

        Raises:
            TooFewLabels: A slice lacks positives or negatives.
            BadSetting: Columns of labels are asked for, but no label's time is known.

        Cost: what `Makers.apply` takes, then about 3 microseconds a row and token an epoch.
        """
        labels_of("train", train)
        judge = judged_rows(valid, self.settings.seed)
        self.makers = Makers.fit(self.settings, train, context)
        newest = train.anchor_us.max()
        train, judge = (self.makers.apply(rows, context) for rows in (train, judge))
        self.inputs = HopInputs.fit(train)
        device = pick_torch_device(self.settings.device)
        made = (self.inputs.apply(train), self.inputs.apply(judge))
        table = _Table((train, judge), made, device)
        with deterministic(self.settings.seed, device):
            self.net = self._make().to(device)
            if self.settings.pretrain:
                known = context.rows.take(context.rows.anchor_us <= newest)
                seen = self.inputs.apply(self.makers.apply(known, context))
                epochs = self.settings.pretrain
                self.pretrain_curve = pretrain(self.net, seen, self.settings, epochs)
            lesson = Lesson(train, judge, table)
            upkeep = told_apart(upkeep or Upkeep(), context)
            self.curve = train_network(self.net, lesson, Course(self.name, self.settings, upkeep))
            self.attention = self._mean_attention(table, train)

    def predict(self, rows: Rows, context: GraphContext) -> Floats:
        """Probability of each row, shape [n], float32, uncalibrated."""
        return self._run(rows, context)[0]

    def embed(self, rows: Rows, context: GraphContext) -> Floats:
        """Last hidden layer of each row, shape [n, hidden], length 1."""
        hidden = self._run(rows, context)[1]
        length = np.linalg.norm(hidden, axis=1, keepdims=True)
        return np.asarray(hidden / np.maximum(length, 1e-12), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write weights and transforms as safetensors, settings as JSON."""
        inputs, net = self._fitted()
        arrays = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
        arrays |= {f"{QUANTILES}{key}": getattr(inputs.quantiles, key) for key in ARRAYS}
        content = {
            "name": self.name,
            "settings": asdict(self.settings),
            "columns": list(inputs.quantiles.names),
            "attention": self.attention,
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_model_file(folder, content | self.makers.save(folder))
        (folder / WEIGHTS).write_bytes(save_arrays(dict(sorted(arrays.items()))))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Bring back what `save` wrote.

        Raises:
            ArtefactInvalid: A file is missing, damaged, or of another model.
        """
        content = read_model_file(folder)
        path = folder / WEIGHTS
        try:
            arrays = load_arrays(path.read_bytes())
            model = cls(PropagatedSettings(**content["settings"]))
            quantiles = {key: arrays.pop(f"{QUANTILES}{key}") for key in ARRAYS}
            columns = tuple(content["columns"])
            model.inputs = HopInputs(QuantileInputs(columns, **quantiles))
            model.attention = dict(content["attention"])
            model.net = model._make()
            weights = {name: torch.from_numpy(np.array(one)) for name, one in arrays.items()}
            model.net.load_state_dict(weights)
            model.makers = Makers.load(folder, content)
        except _DAMAGE as error:
            reason = f"no weights of this model ({' '.join(str(error).split())[:200]})"
            raise ArtefactInvalid(path, reason) from error
        model.net = model.net.to(pick_torch_device(model.settings.device))
        return model

    def _make(self) -> TokenNet:
        if self.inputs is None:
            message = f"{self.name} has no inputs yet; fit it first"
            raise ValueError(message)
        if self.settings.hidden % HEADS:
            reason = f"must be a multiple of {HEADS}, got {self.settings.hidden}"
            raise BadSetting(path="training", key="propagated.hidden", reason=reason)
        return TokenNet(self.inputs.tokens, self.settings)

    def _fitted(self) -> tuple[HopInputs, TokenNet]:
        if self.inputs is None or self.net is None:
            message = f"{self.name} is not fitted yet"
            raise ValueError(message)
        return self.inputs, self.net

    def _run(self, rows: Rows, context: GraphContext) -> tuple[Floats, Floats]:
        inputs, net = self._fitted()
        device = pick_torch_device(self.settings.device)
        made = inputs.apply(self.makers.apply(rows, context))
        with deterministic(self.settings.seed, device):
            return scores_of(net, rows, _Table((rows,), (made,), device), self.settings)

    def _mean_attention(self, table: "_Table", rows: Rows) -> dict[str, float]:
        inputs, net = self._fitted()
        net.eval()
        total = np.zeros(len(inputs.tokens))
        with torch.no_grad():
            for start in range(0, len(rows), self.settings.batch_rows):
                part = slice(start, start + self.settings.batch_rows)
                batch = table.batch(rows.node[part], rows.anchor_us[part])
                total += net.attention(batch).sum(dim=0, dtype=torch.float64).cpu().numpy()
        return {
            token.name: float(weight)
            for token, weight in zip(inputs.tokens, total / len(rows), strict=True)
        }


class _Table:
    """Inputs of rows, found again by node and anchor: batches are cut from it, nothing is sampled.

    Args:
        rows: Slices of rows.
        inputs: Inputs of each slice, in its order.
        device: Where to hold them.
    """

    def __init__(self, rows: tuple[Rows, ...], inputs: tuple[Floats, ...], device: str) -> None:
        self._inputs = torch.from_numpy(np.concatenate(inputs)).to(device)
        node = np.concatenate([one.node for one in rows])
        anchor = np.concatenate([one.anchor_us for one in rows])
        self._anchors = np.unique(anchor)
        keys = self._key(node, anchor)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def batch(
        self, nodes: NDArray[np.int64], anchor_us: NDArray[np.int64], draw: int = 0
    ) -> Tensor:
        """Inputs of the rows of these nodes at these anchors; `draw` changes nothing."""
        place = self._order[np.searchsorted(self._keys, self._key(nodes, anchor_us))]
        return self._inputs.index_select(0, torch.from_numpy(place).to(self._inputs.device))

    def _key(self, node: NDArray[np.int64], anchor_us: NDArray[np.int64]) -> NDArray[np.int64]:
        key: NDArray[np.int64] = node * len(self._anchors)
        return key + np.searchsorted(self._anchors, anchor_us)
