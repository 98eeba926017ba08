"""Columns made of the training labels around a row: which share of its neighbours was bad.

A model makes them when it is fitted, from the graph and the rows it trains on, and again when it
scores. Every user is in one of a few folds, by a keyed hash, and is never shown a label of its own
fold: so no row sees its own label, and rows that train and rows that are scored see the same share
of all labels. Without that a model learns to read its own label and fails on users without one.

Where labels have times, `features/neighbours.py` already counts who was known to be bad, night by
night; these columns are for splits without time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.training import LabelUse
from graphguard.errors import ArtefactInvalid, BadSetting, OwnLabelSeen
from graphguard.graph.hetero import Adjacency
from graphguard.graph.label_spread import spread_labels
from graphguard.graph.label_sums import (
    ALWAYS,
    UNIT,
    LabelledNodes,
    LabelTouches,
    Lookers,
    direct_labels,
    shared_labels,
)
from graphguard.graph.relations import Relation, both_ways, relations_of
from graphguard.models.base import GraphContext, Rows, RowsInvalid
from graphguard.models.folds import node_keys, row_folds
from graphguard.schema import TRAINING_LABELS
from graphguard.tables.files import read_parquet, write_parquet

Floats = NDArray[np.float32]


LABELS_FILE = "training_labels.parquet"
PRIOR = 1.0
"""Weight of the base rate in a rate, in users met or in objects whose users are all labelled."""
QUIET_PRIOR = 0.05
"""The same in sums where a user counts by one over its touches."""
SPREAD_PRIOR = 0.01
"""The same where mass spreads; a walk's whole mass is 1."""
MOST_ANCHORS = 32
"""With more distinct anchors than this, each row has a window of its own."""


@dataclass(frozen=True)
class _View:
    """One way to meet users: over what they share, or directly."""

    name: str
    sides: tuple[Adjacency, ...]
    direct: bool

    def touches(self, lookers: Lookers, labelled: LabelledNodes, window_us: int) -> LabelTouches:
        """What rows of one anchor see; a busy user's label counts for less in weighted sums."""
        if len(lookers.anchor_us):
            anchor = int(lookers.anchor_us[0])
            first, last = self.sides[0].window(labelled.node, anchor - window_us, anchor)
            weight = np.rint(UNIT / np.maximum(last - first, 1)).astype(np.int64)
            labelled = replace(labelled, weight=weight)
        return self.touches_at_any(lookers, labelled, window_us)

    def touches_at_any(
        self, lookers: Lookers, labelled: LabelledNodes, window_us: int
    ) -> LabelTouches:
        """What rows of any anchors see, without weights of users."""
        if self.direct:
            return direct_labels(self.sides, lookers, labelled, window_us)
        return shared_labels((self.sides[0], self.sides[1]), lookers, labelled, window_us)


SHARED = {
    "label_rate": "share of bad users among training users who share {words}",
    "label_pooled_rate": "share of touches by bad users among those by training users on common "
    "objects ({words})",
    "label_quiet_rate": "share of bad users among training users who share {words}, quiet ones "
    "first",
    "label_top_rate": "largest share of bad users among the training users of one common object "
    "({words})",
    "label_bad": "touches by bad training users on common objects ({words})",
    "label_known": "touches by training users on common objects ({words})",
}
DIRECT = {
    "label_rate": "share of bad users among training users met directly by {words}",
    "label_quiet_rate": "share of bad users among training users met directly by {words}, quiet "
    "ones first",
    "label_bad": "number of bad training users met directly by {words}",
    "label_known": "number of training users met directly by {words}",
}
POOLED = {
    "all.label_rate": "share of bad users among training users met in any way",
    "all.label_spread": "share of bad users among training users a few steps away in the graph",
}


class LabelRates:
    """Makes the columns, for rows of training and for rows to score alike.

    Attributes:
        folds: Number of folds.
        seed: Seed of the folds.
        labels: TRAINING_LABELS, one row a training row, sorted by key and anchor.
        base_rate: Share of positives among the training rows.
        calendar: Whether rows share few anchors; else each row has its own.
        delay_us: How long after its anchor a label is known; None where labels have no time.
    """

    def __init__(
        self, folds: int, seed: int, labels: pl.DataFrame, times: tuple[bool, int | None]
    ) -> None:
        self.folds, self.seed, self.labels = folds, seed, labels
        self.base_rate = float(labels.get_column("bad").mean() or 0.0)  # type: ignore[arg-type]
        self.calendar, self.delay_us = times

    @classmethod
    def fit(cls, train: Rows, context: GraphContext, folds: int, seed: int) -> Self:
        """Keep the labels of the training rows, and prove that none is shown to its own row.

        Args:
            train: Labelled rows.
            context: The graph, whether the split is static, and groups that share a fold.
            folds: Number of folds, 2 or more; each user is shown 1 - 1 / folds of the labels.
            seed: Seed of the folds.

        Raises:
            BadSetting: Fewer than 2 folds: a row would be shown its own label, or none at all.
            OwnLabelSeen: A row's columns change with its own label.
        """
        if folds < 2:
            reason = f"must be 2 or more, got {folds}: a label may not be shown to its own row"
            raise BadSetting(path="training", key="label_folds", reason=reason)
        if train.label is None:
            message = "label rates need labelled training rows"
            raise ValueError(message)
        keys = node_keys(context).gather(train.node)
        frame = pl.DataFrame(
            {
                "key": keys,
                "anchor_us": train.anchor_us,
                "bad": train.label == 1,
                "fold": row_folds(train.node, keys, (folds, seed), context.group),
            }
        )
        delay = None if context.static else context.horizon_us
        calendar = len(np.unique(context.rows.anchor_us)) <= MOST_ANCHORS
        if not calendar and frame.get_column("key").is_duplicated().any():
            raise RowsInvalid(
                field="node", reason="a user has several training rows at anchors of its own"
            )
        made = cls(folds, seed, frame.sort("key", "anchor_us"), (calendar, delay))
        made.check(train, context)
        return made

    def apply(self, rows: Rows, context: GraphContext) -> Rows:
        """The rows with the columns added.

        Cost: O(edges in the windows) a relation, once for each anchor; with anchors of their own a
            sort of the edges and a pass for each fold.
        """
        lookers, labels = self._lookers(rows, context)
        made = self._columns(lookers, labels, context)
        x = np.concatenate([rows.x, *(column[:, None] for column in made.values())], axis=1)
        return replace(rows, x=x, names=(*rows.names, *made))

    def check(self, train: Rows, context: GraphContext) -> None:
        """Turn the labels of a whole fold and prove that the columns of its rows stay as they are.

        Raises:
            OwnLabelSeen: A column changes.

        Cost: as `apply` on the rows of one fold, twice.
        """
        lookers, labels = self._lookers(train, context)
        fold = int(np.bincount(lookers.fold).argmax())
        mine = np.flatnonzero(lookers.fold == fold)
        rows = train.take(mine)
        # By key, not by the fold that is stored: who hides too little must not pass by it.
        own = pl.col("key").is_in(node_keys(context).gather(rows.node).implode())
        turned = labels.with_columns(bad=pl.col("bad") ^ own)
        looking = self._lookers(rows, context)[0]
        before = self._columns(looking, labels, context)
        after = self._columns(looking, turned, context)
        for name, column in before.items():
            changed = int((column != after[name]).sum())
            if changed:
                raise OwnLabelSeen(name, changed, len(rows))

    def facts(self) -> dict[str, Any]:
        """What `load` needs beside the labels, as JSON values."""
        return {
            "folds": self.folds,
            "seed": self.seed,
            "calendar": self.calendar,
            "delay_us": self.delay_us,
            "base_rate": self.base_rate,
        }

    def save(self, folder: Path) -> None:
        """Write the labels beside the model; an erasure takes users out of the file."""
        write_parquet(folder / LABELS_FILE, self.labels, TRAINING_LABELS)

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> Self:
        """Bring back what `facts` and `save` gave.

        Raises:
            ArtefactInvalid: The file is missing or torn, or the facts are not these.
        """
        labels = read_parquet(folder / LABELS_FILE)
        if labels.schema != TRAINING_LABELS.empty().schema:
            reason = f"holds {dict(labels.schema)}, which are no training labels"
            raise ArtefactInvalid(folder / LABELS_FILE, reason)
        try:
            times = (bool(facts["calendar"]), facts["delay_us"])
            made = cls(int(facts["folds"]), int(facts["seed"]), labels, times)
            # Of the fit: users that were erased since may not move everybody's columns.
            made.base_rate = float(facts["base_rate"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactInvalid(folder / "model.json", f"label_rates ({error})") from error
        return made

    def _lookers(self, rows: Rows, context: GraphContext) -> tuple[Lookers, pl.DataFrame]:
        """Rows with their folds, and the labels with the dense index of their nodes."""
        keys = node_keys(context)
        place = pl.DataFrame({"key": keys, "node": np.arange(len(keys))})
        labels = self.labels.join(place, on="key", how="inner", maintain_order="left")
        fold = row_folds(rows.node, keys.gather(rows.node), (self.folds, self.seed), None)
        stored = np.full(len(keys), -1, dtype=np.int64)
        stored[labels.get_column("node").to_numpy()] = labels.get_column("fold").to_numpy()
        fold = np.where(stored[rows.node] >= 0, stored[rows.node], fold)
        return Lookers(rows.node, rows.anchor_us, fold), labels

    def _columns(
        self, lookers: Lookers, labels: pl.DataFrame, context: GraphContext
    ) -> dict[str, Floats]:
        anchors = np.unique(lookers.anchor_us).tolist() if self.calendar else [None]
        relations = relations_of(context.graph, context.node_type)
        views = list(_views(relations))
        names = [name for view in views for name in _names(view, every=self.calendar)]
        names += ["all.label_rate", *(["all.label_spread"] if self.calendar else [])]
        made = {name: np.full(len(lookers.node), np.nan, dtype=np.float32) for name in names}
        for anchor in anchors:
            mine = slice(None) if anchor is None else np.flatnonzero(lookers.anchor_us == anchor)
            some = Lookers(lookers.node[mine], lookers.anchor_us[mine], lookers.fold[mine])
            shown = self._labelled(labels, anchor)
            found = self._at(views, (some, shown), context.window_us)
            if self.calendar:
                spread = spread_labels(relations, some, shown, context.window_us)
                found["all.label_spread"] = self._rate(*spread, SPREAD_PRIOR)
            for name in names:
                made[name][mine] = found[name]
        return made

    def _labelled(self, labels: pl.DataFrame, anchor: int | None) -> LabelledNodes:
        """The newest label of each node that is known at an anchor; at their own, all labels."""
        known = pl.lit(ALWAYS) if self.delay_us is None else pl.col("anchor_us") + self.delay_us
        frame = labels.with_columns(known.cast(pl.Int64).alias("known_us"))
        if anchor is not None:
            frame = frame.filter(pl.col("known_us") <= anchor)
            frame = frame.unique("node", keep="last", maintain_order=True)
        return LabelledNodes(
            node=frame.get_column("node").to_numpy(),
            known_us=frame.get_column("known_us").to_numpy(),
            bad=frame.get_column("bad").to_numpy(),
            fold=frame.get_column("fold").to_numpy(),
        )

    def _at(
        self, views: list[_View], seekers: tuple[Lookers, LabelledNodes], window_us: int
    ) -> dict[str, NDArray[Any]]:
        lookers, labelled = seekers
        count = len(lookers.node)
        bad_in_all, known_in_all = np.zeros(count), np.zeros(count)
        made: dict[str, NDArray[Any]] = {}
        for view in views:
            see = view.touches if self.calendar else view.touches_at_any
            touches = see(lookers, labelled, window_us)
            weight = 1.0 / np.maximum(touches.others, 1)
            bad = np.bincount(touches.row, weight * touches.bad, count)
            known = np.bincount(touches.row, weight * touches.known, count)
            bad_in_all += bad
            known_in_all += known
            made |= {
                f"{view.name}.{function}": column
                for function, column in self._by_row(touches, (bad, known)).items()
            }
        made["all.label_rate"] = self._rate(bad_in_all, known_in_all)
        return made

    def _by_row(
        self, touches: LabelTouches, weighted: tuple[NDArray[Any], NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        count = len(weighted[0])
        bad, known = (np.bincount(touches.row, n, count) for n in (touches.bad, touches.known))
        found = {
            "label_rate": self._rate(*weighted),
            "label_pooled_rate": self._rate(bad, known),
            "label_top_rate": self._top(touches, count),
            "label_bad": bad,
            "label_known": known,
        }
        if touches.weighted_bad is not None and touches.weighted_known is not None:
            parts = (touches.weighted_bad, touches.weighted_known)
            alike = 1.0 / np.maximum(touches.others, 1)
            quiet = [np.bincount(touches.row, part * alike, count) for part in parts]
            found["label_quiet_rate"] = self._rate(quiet[0], quiet[1], QUIET_PRIOR)
        return found

    def _rate(
        self, bad: NDArray[Any], known: NDArray[Any], prior: float = PRIOR
    ) -> NDArray[np.float64]:
        rate: NDArray[np.float64] = (bad + prior * self.base_rate) / (known + prior)
        return rate

    def _top(self, touches: LabelTouches, count: int) -> NDArray[np.float64]:
        top = np.full(count, self.base_rate)
        np.maximum.at(top, touches.row, self._rate(touches.bad, touches.known))
        return top


def wants_label_rates(wanted: LabelUse, context: GraphContext | None) -> bool:
    """Whether a model makes the columns: `auto` does where the split is static.

    Raises:
        BadSetting: `always`, but the context does not say when a label is known.
    """
    if wanted == "never" or (wanted == "auto" and (context is None or not context.static)):
        return False
    if context is None or (not context.static and context.horizon_us is None):
        reason = "is 'always', but nothing says when a label is known: pass a GraphContext that is "
        reason += "static or has horizon_us"
        raise BadSetting(path="training", key="label_rates", reason=reason)
    return True


def label_phrases(names: tuple[str, ...]) -> dict[str, str]:
    """What each label column among `names` says, in plain words."""
    found = {}
    for name in names:
        scope, _, function = name.rpartition(".")
        direct = scope.startswith(("direct_", "any_"))
        words = scope.removeprefix("direct_").removeprefix("any_").replace(":", " ")
        if name in POOLED:
            found[name] = POOLED[name]
        elif function in SHARED:
            meaning = (DIRECT if direct else SHARED)[function]
            found[name] = meaning.format(words=words)
    return found


def _views(relations: list[Relation]) -> Iterator[_View]:
    """Every way in which users meet, by relation."""
    for one in relations:
        if not one.direct:
            yield _View(one.name, (one.out, one.into), direct=False)
            continue
        both = both_ways(one)
        yield _View(one.name, (both, both), direct=False)
        yield _View(f"direct_{one.name}", (one.out,), direct=True)
        yield _View(f"direct_rev_{one.name}", (one.into,), direct=True)
        yield _View(f"any_{one.name}", (both,), direct=True)


def _names(view: _View, *, every: bool) -> list[str]:
    functions = DIRECT if view.direct else SHARED
    return [f"{view.name}.{one}" for one in functions if every or one != "label_quiet_rate"]
