"""Columns for where a user stands among all: a truncated SVD of who met what, relation by relation.

A user is the set of what it met in the window, as a text is the set of its words; what few met
weighs more. The SVD gives every object a place along a few axes, and a user stands where its
objects add up to, so one that the SVD never saw has a place on the same axes. Deerwester et al.
1990, "Indexing by latent semantic analysis"; Halko et al. 2011 for the randomised SVD.

No label is read. The axes are of the window before the earliest anchor of the training rows, so no
row is placed by what came after it. Why: docs/decisions/0039-where-users-stand.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from sklearn.decomposition import TruncatedSVD

from graphguard.errors import ArtefactInvalid, BadSetting
from graphguard.graph.relations import Relation, relations_of, user_step
from graphguard.models.base import GraphContext, Rows
from graphguard.models.label_rates import MOST_ANCHORS
from graphguard.schema import AXES
from graphguard.tables.files import read_parquet, write_parquet

Floats = NDArray[np.float32]

FOLDER = "positions"
MARK = ".position_"


@dataclass(frozen=True)
class Axes:
    """Where the objects of one relation stand.

    Attributes:
        keys: Of each object, in order.
        weight: Logarithm of how rare it was, shape [objects], float32.
        vector: Its place on each axis, shape [objects, width], float32.
    """

    keys: pl.Series
    weight: Floats
    vector: Floats

    @classmethod
    def of(cls, keys: pl.Series, met: csr_array, width: int, seed: int) -> Self:
        """The axes along which users differ most in what they met.

        Args:
            keys: Of each object.
            met: 1 where a user met an object, shape [users, objects].
            width: Axes wanted; fewer where there are fewer users or objects.
            seed: Of the randomised SVD.

        Cost: O(meetings * width) for each of a dozen products.
        """
        seen = np.bincount(met.indices, minlength=met.shape[1])
        users = int((np.diff(met.indptr) > 0).sum())
        weight = np.log(max(users, 1) / np.maximum(seen, 1)).astype(np.float32)
        vector = np.zeros((met.shape[1], width), dtype=np.float32)
        axes = min(width, *(size - 1 for size in met.shape))
        if axes > 0 and users > 1:
            solver = TruncatedSVD(axes, random_state=seed)
            solver.fit(_weighted(met, weight))
            vector[:, :axes] = solver.components_.T
        held = np.flatnonzero(seen)
        return cls(keys.gather(held), weight[held], vector[held])

    def places(self, keys: pl.Series, met: csr_array) -> Floats:
        """Where users stand, shape [users, width]; NaN for one that met nothing known.

        Args:
            keys: Of each object that `met` speaks of.
            met: 1 where a user met an object, shape [users, objects].
        """
        asked = pl.DataFrame({"key": keys})
        known = pl.DataFrame({"key": self.keys, "row": np.arange(len(self.keys))})
        row = asked.join(known, on="key", how="left", maintain_order="left").get_column("row")
        here = np.flatnonzero(row.is_not_null().to_numpy())
        mine = row.drop_nulls().to_numpy()
        weight = np.zeros(len(keys), dtype=np.float32)
        vector = np.zeros((len(keys), self.vector.shape[1]), dtype=np.float32)
        known_mark = np.zeros(len(keys), dtype=np.float32)
        weight[here], vector[here], known_mark[here] = self.weight[mine], self.vector[mine], 1.0
        places = np.asarray(_weighted(met, weight) @ vector, dtype=np.float32)
        places[met @ known_mark == 0] = np.nan
        return places


class Positions:
    """Makes the columns `<relation>.position_<axis>`, for rows of training and to score alike.

    Attributes:
        axes: Of each relation, by name.
    """

    def __init__(self, axes: Mapping[str, Axes]) -> None:
        self.axes = dict(axes)

    @classmethod
    def fit(cls, train: Rows, context: GraphContext, width: int, seed: int) -> Self:
        """Find the axes of every relation in the window before the rows' earliest anchor.

        Args:
            train: Rows; their labels are not read.
            context: The graph.
            width: Axes of each relation.
            seed: Of the randomised SVD.

        Raises:
            BadSetting: Each row has an anchor of its own, and so a graph of its own.

        Cost: O(edges in the window * width) a relation, a dozen times.
        """
        if len(np.unique(train.anchor_us)) > MOST_ANCHORS:
            reason = "needs rows on a few common anchors; with an `event` anchor it must be 0"
            raise BadSetting(path="training", key="positions", reason=reason)
        anchor = int(train.anchor_us.min())
        found = {}
        for relation in relations_of(context.graph, context.node_type):
            met = _met(relation, context, anchor)
            found[relation.name] = Axes.of(_keys(relation, context), met, width, seed)
        return cls(found)

    def apply(self, rows: Rows, context: GraphContext) -> Rows:
        """The rows with the columns added.

        Cost: O(edges in the window) a relation, once for each anchor.
        """
        parts = [rows.x]
        relations = {one.name: one for one in relations_of(context.graph, context.node_type)}
        for name, axes in self.axes.items():
            places = np.full((len(rows), axes.vector.shape[1]), np.nan, dtype=np.float32)
            for anchor in np.unique(rows.anchor_us).tolist() if name in relations else ():
                mine = np.flatnonzero(rows.anchor_us == anchor)
                met = _met(relations[name], context, anchor)[rows.node[mine]]
                places[mine] = axes.places(_keys(relations[name], context), met)
            parts.append(places)
        return replace(rows, x=np.concatenate(parts, axis=1), names=(*rows.names, *self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(
            f"{name}{MARK}{axis:02d}"
            for name, axes in self.axes.items()
            for axis in range(axes.vector.shape[1])
        )

    def facts(self) -> dict[str, Any]:
        """What `load` needs beside the tables, as JSON values."""
        return {name: axes.vector.shape[1] for name, axes in self.axes.items()}

    def save(self, folder: Path) -> None:
        """Write a table a relation beside the model; an erasure takes objects out of it."""
        for name, axes in self.axes.items():
            flat = pl.Series("place", axes.vector.astype(np.float64).ravel())
            place = flat.reshape((len(axes.keys), axes.vector.shape[1])).arr.to_list()
            weight = pl.Series("weight", axes.weight.astype(np.float64))
            table = pl.DataFrame([axes.keys.alias("key"), weight, place])
            path = _path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_parquet(path, table, AXES)

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> Self:
        """Bring back what `facts` and `save` gave.

        Raises:
            ArtefactInvalid: A file is missing, torn, or not of these axes.
        """
        return cls({name: _read(_path(folder, name), int(facts[name])) for name in facts})


def position_phrases(names: Sequence[str]) -> dict[str, str]:
    """What each such column among `names` says, in plain words."""
    found = {}
    for name in names:
        relation, mark, axis = name.partition(MARK)
        if mark:
            words = relation.replace(":", " ")
            found[name] = f"place among all users ({words}), axis {int(axis)}"
    return found


def _met(relation: Relation, context: GraphContext, anchor: int) -> csr_array:
    """1 where a user met an object, or another user whichever way, in the window."""
    met = user_step(relation, (anchor - context.window_us, anchor)).there
    return csr_array((np.ones_like(met.data), met.indices, met.indptr), shape=met.shape)


def _weighted(met: csr_array, weight: Floats) -> csr_array:
    """Each meeting by its object's weight, over the root of its user's number of meetings."""
    busy = np.sqrt(np.maximum(np.diff(met.indptr), 1)).astype(np.float32)
    return (diags_array(1.0 / busy) @ met @ diags_array(weight)).tocsr()


def _keys(relation: Relation, context: GraphContext) -> pl.Series:
    """Keys of those at the relation's other end, in order of dense index."""
    kind = relation.name.rpartition(":")[2]
    return pl.Series("key", context.graph.keys(kind), dtype=pl.String)


def _path(folder: Path, name: str) -> Path:
    # By its folder an erasure knows whose keys the table holds.
    return folder / FOLDER / name.replace(":", "__") / f"{AXES.name}.parquet"


def _read(path: Path, width: int) -> Axes:
    table = read_parquet(path)
    if table.schema != AXES.empty().schema:
        raise ArtefactInvalid(path, f"holds {dict(table.schema)}, which are no axes")
    place = table.get_column("place")
    if not (place.list.len() == width).all():
        raise ArtefactInvalid(path, f"has places on other than {width} axes")
    return Axes(
        table.get_column("key"),
        table.get_column("weight").to_numpy().astype(np.float32),
        place.explode(empty_as_null=False).to_numpy().astype(np.float32).reshape(-1, width),
    )
