"""What every model is: the rows it learns from, the graph it may look at, and four verbs.

`open_model` makes an untrained model by name, `load_model` brings a saved one back. The modules
that hold the models are imported only when asked for, so that scoring with trees never loads torch.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from graphguard.errors import (
    ArtefactInvalid,
    BadSetting,
    BuildMissing,
    ColumnMissing,
    DataError,
    TooFewLabels,
    near_match,
)

if TYPE_CHECKING:
    from graphguard.graph.hetero import HeteroGraph

MODEL_FILE = "model.json"
"""The file of a model folder that names the model and holds its settings."""


class RowsInvalid(DataError):
    """The arrays of `Rows` do not fit together."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"rows.{field}: {reason}; rebuild with `graphguard featurize`")


@dataclass(frozen=True)
class Rows:
    """Feature rows; one row is one (node, anchor).

    Attributes:
        node: Dense index of the node in the run's graph, shape [n], int64.
        anchor_us: Microseconds since 1970 UTC, shape [n], int64; the row saw only what lies before.
        x: Features, shape [n, num_columns], float32; NaN is a missing value, infinity is refused.
        names: Column names, `num_columns` of them, no repeats.
        label: 1 enforced inside the horizon, 0 not, shape [n], int8; None when scoring.
        text: What the row's user wrote, strings, shape [n]; None where the features list no words.
    """

    node: NDArray[np.int64]
    anchor_us: NDArray[np.int64]
    x: NDArray[np.float32]
    names: tuple[str, ...]
    label: NDArray[np.int8] | None
    text: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.node)

    def take(self, index: NDArray[Any]) -> Self:
        """Return the rows at `index`: positions, shape [m], int64, or a mask, shape [n], bool."""
        label = None if self.label is None else self.label[index]
        return replace(
            self,
            node=self.node[index],
            anchor_us=self.anchor_us[index],
            x=self.x[index],
            label=label,
            text=None if self.text is None else self.text[index],
        )

    def select(self, names: tuple[str, ...]) -> Self:
        """Return the rows with these columns, in this order.

        Raises:
            ColumnMissing: A column is not there.
        """
        if names == self.names:
            return self
        place = {name: number for number, name in enumerate(self.names)}
        for name in names:
            if name not in place:
                raise ColumnMissing(table="features", column=name, found=self.names)
        x = np.ascontiguousarray(self.x[:, [place[name] for name in names]])
        return replace(self, x=x, names=names)

    def validate(self) -> Self:
        """Check shapes, types and values, and return the rows themselves.

        Raises:
            RowsInvalid: An array has another shape, type or value than the class promises.

        Cost: one pass over `x`.
        """
        count = len(self.node)
        _expect("node", self.node, (count,), np.int64)
        _expect("anchor_us", self.anchor_us, (count,), np.int64)
        _expect("x", self.x, (count, len(self.names)), np.float32)
        if len(set(self.names)) != len(self.names):
            repeated = sorted({name for name in self.names if self.names.count(name) > 1})
            raise RowsInvalid(field="names", reason=f"repeated column names {', '.join(repeated)}")
        if count and self.node.min() < 0:
            raise RowsInvalid(field="node", reason=f"negative index {self.node.min()}")
        infinite = np.isinf(self.x)
        if infinite.any():
            row, column = np.argwhere(infinite)[0].tolist()
            raise RowsInvalid(
                field="x", reason=f"column '{self.names[column]}' is infinite in row {row}"
            )
        if self.text is not None:
            _expect("text", self.text, (count,), np.object_)
        if self.label is not None:
            _expect("label", self.label, (count,), np.int8)
            wrong = self.label[(self.label != 0) & (self.label != 1)]
            if len(wrong):
                raise RowsInvalid(field="label", reason=f"must be 0 or 1, found {wrong[0]}")
        return self


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


def _expect(
    field: str, array: NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    if array.dtype != dtype:
        raise RowsInvalid(field=field, reason=f"type {array.dtype}, expected {np.dtype(dtype)}")
    if array.shape != shape:
        raise RowsInvalid(field=field, reason=f"shape {array.shape}, expected {shape}")


@dataclass(frozen=True)
class GraphContext:
    """What a graph model may look at.

    Attributes:
        graph: The run's graph.
        node_type: The node type that rows are about.
        window_us: A seed sees edges with anchor - window_us <= time < anchor.
        rows: All feature rows known, of enforced users too and of every anchor. A neighbour's
            features are its newest row with anchor_us <= the seed's anchor.
        horizon_us: A training label is known this long after its row's anchor; None where that is
            not said, and then no row may look at another's label.
        static: Whether rows were split by chance or by given masks, not by time: then a training
            label has no time, and any other row may look at it.
        group: Group of each node of `node_type` whose labels are hidden from one another (a ring),
            shape [num_nodes], int64; None where every node is its own.
    """

    graph: "HeteroGraph"
    node_type: str
    window_us: int
    rows: Rows
    horizon_us: int | None = None
    static: bool = False
    group: NDArray[np.int64] | None = None


def _tell_nobody(done: int, total: int, what: str) -> None:
    """Say nothing."""


def _note_nowhere(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Upkeep:
    """What a long `fit` is given beside its data.

    Attributes:
        tell: Called with steps done, most steps there can be, and what is being done.
        note: Called with something worth a line.
        folder: Where to keep checkpoints; None keeps none. Who gives it removes it.
        inputs: Names what the data was made of: a checkpoint of other inputs is never taken.
    """

    tell: Callable[[int, int, str], None] = _tell_nobody
    note: Callable[[str], None] = _note_nowhere
    folder: Path | None = None
    inputs: str = ""


@runtime_checkable
class Model(Protocol):
    """A node classifier: learns from labelled rows, says a probability for any row."""

    name: str

    def fit(
        self, train: Rows, valid: Rows, context: GraphContext, upkeep: Upkeep | None = None
    ) -> None:
        """Learn from `train`; `valid`, a later slice, decides only when to stop.

        Raises:
            TooFewLabels: A slice lacks positives or negatives.
        """
        ...

    def predict(self, rows: Rows, context: GraphContext) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each row, shape [n], float32 in [0, 1]."""
        ...

    def embed(self, rows: Rows, context: GraphContext) -> NDArray[np.float32]:
        """Return a vector per row, shape [n, dim], float32; near vectors are alike to the model."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model into `folder`; no file in it holds code."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Bring back what `save` wrote.

        Raises:
            ArtefactInvalid: A file is missing or not what it claims to be.
        """
        ...


@runtime_checkable
class Refits(Protocol):
    """A model that learns anew from more rows, in the shape that `fit` has found."""

    def refit(self, rows: Rows, context: GraphContext) -> None:
        """Learn from `rows`: those of `fit`, and of the slice that decided when to stop."""
        ...


@runtime_checkable
class Adopts(Protocol):
    """A model made of others that may be fitted already."""

    def adopt(self, models: "Mapping[str, Model]") -> None:
        """Take fitted models by family, those that it is made of."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A model that says exactly what each column adds to a row's log-odds."""

    columns: tuple[str, ...]

    def inputs(self, rows: Rows, context: GraphContext) -> Rows:
        """Return the rows with all columns that the model reads, those it makes itself too."""
        ...

    def contributions(self, rows: Rows, context: GraphContext) -> NDArray[np.float32]:
        """Return shape [n, columns + 1], last the base value; a row adds up to the log-odds."""
        ...


def explainer_of(model: Model) -> Explains | None:
    """The model whose columns explain a model's scores: itself, a member, or none."""
    found = model if isinstance(model, Explains) else getattr(model, "explainer", None)
    return found if isinstance(found, Explains) else None


@dataclass(frozen=True)
class ModelEntry:
    """Where a model lives: module, class, settings class, and the package of an extra it needs."""

    module: str
    cls: str
    settings: str
    extra: str | None


MODELS: dict[str, ModelEntry] = {
    "trees": ModelEntry("graphguard.models.trees", "TreesModel", "TreesSettings", "xgboost"),
    "propagated": ModelEntry(
        "graphguard.models.propagated", "PropagatedModel", "PropagatedSettings", None
    ),
    "ensemble": ModelEntry("graphguard.models.ensemble", "EnsembleModel", "EnsembleSettings", None),
    "sage": ModelEntry("graphguard.models.sage", "SageModel", "SageSettings", None),
    "rgcn": ModelEntry("graphguard.models.rgcn", "RgcnModel", "RgcnSettings", None),
    "hgt": ModelEntry("graphguard.models.hgt", "HgtModel", "HgtSettings", None),
    "dgl_rgcn": ModelEntry("graphguard.models.dgl_rgcn", "DglRgcnModel", "DglRgcnSettings", None),
}


def open_model(name: str, settings: Mapping[str, Any] | None = None) -> Model:
    """Make an untrained model.

    Args:
        name: A key of `MODELS`.
        settings: Fields of the model's settings class; missing ones keep their defaults.

    Returns:
        A model ready for `fit`.

    Raises:
        BadSetting: The name or a setting is unknown; the message lists the known names.
        BuildMissing: The package behind the model is not installed.
    """
    module = _model_module(name)
    make_settings = getattr(module, MODELS[name].settings)
    known = known_settings(name)
    for key in settings or {}:
        if key not in known:
            reason = f"unknown setting '{key}' (known: {', '.join(known)}).{near_match(key, known)}"
            raise BadSetting(path="training", key=name, reason=reason)
    model: Model = getattr(module, MODELS[name].cls)(make_settings(**dict(settings or {})))
    return model


def known_settings(name: str) -> tuple[str, ...]:
    """Settings that a model takes.

    Raises:
        BadSetting: The name is unknown.
        BuildMissing: The package behind the model is not installed.
    """
    return tuple(one.name for one in fields(getattr(_model_module(name), MODELS[name].settings)))


def load_model(folder: Path) -> Model:
    """Bring back the model that `save` wrote into `folder`.

    Raises:
        ArtefactInvalid: `model.json` is missing, unreadable or names no known model.
        BuildMissing: The package behind the model is not installed.
    """
    name = read_model_file(folder).get("name")
    if name not in MODELS:
        reason = f"names model '{name}', known are {', '.join(sorted(MODELS))}"
        raise ArtefactInvalid(folder / MODEL_FILE, reason)
    model: Model = getattr(_model_module(name), MODELS[name].cls).load(folder)
    return model


def write_model_file(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `model.json`: `name`, and whatever else the model needs, as plain JSON values."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(content), indent=2, sort_keys=True, allow_nan=False)
    (folder / MODEL_FILE).write_text(text + "\n", encoding="utf-8")


def read_model_file(folder: Path) -> dict[str, Any]:
    """Read `model.json`.

    Raises:
        ArtefactInvalid: The file is missing or not a JSON object.
    """
    return read_json_object(folder / MODEL_FILE)


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        ArtefactInvalid: The file is missing or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtefactInvalid(path, reason="file not found") from error
    except (ValueError, RecursionError) as error:
        raise ArtefactInvalid(path, reason=f"not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ArtefactInvalid(path, f"holds a {type(content).__name__}, expected an object")
    return content


def _model_module(name: str) -> ModuleType:
    if name not in MODELS:
        known = ", ".join(sorted(MODELS))
        reason = f"unknown model '{name}' (known: {known}).{near_match(name, MODELS)}"
        raise BadSetting(path="training", key="models", reason=reason)
    entry = MODELS[name]
    try:
        return importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        # torch-geometric is a plain dependency and our own modules are ours: only the extra is
        # named.
        if entry.extra is None or (error.name or "").split(".")[0] != entry.extra:
            raise
        feature = f"model '{name}'"
        raise BuildMissing(feature, entry.extra) from error
