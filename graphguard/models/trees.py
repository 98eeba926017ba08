"""Gradient-boosted trees (XGBoost) on feature rows: the model every other one has to beat.

Tang et al. 2023, "GADBench", found boosted trees on neighbour aggregates ahead of graph networks on
ten abuse graphs. The columns already hold the graph; the model adds the share of bad training users
around each row where labels have no time (`label_rates.py`). Several
boosters that differ by seed are averaged on the margin (log-odds) scale, so the contributions of
columns are averaged too and still add up to the score.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy.special import expit

from graphguard.config.training import LabelUse, TextUse, TreesConfig
from graphguard.errors import ArtefactInvalid
from graphguard.models.base import (
    GraphContext,
    Rows,
    Upkeep,
    labels_of,
    read_model_file,
    write_model_file,
)
from graphguard.models.boosters import (
    booster_file,
    gain_shares,
    load_booster,
    pick_device,
    rounds_to_keep,
)
from graphguard.models.forest import MARGIN, ForestRules, grow_forest, log_odds, log_odds_parts
from graphguard.models.makers import Makers

Floats = NDArray[np.float32]

_DEFAULT = TreesConfig()
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class TreesSettings:
    """How the trees grow; the defaults hold up with a few dozen positives.

    Attributes:
        rounds: Largest number of boosting rounds.
        patience: Rounds without a better validation AUPRC before growth stops.
        depth: Depth of a tree.
        learning_rate: Shrinkage of each round.
        row_share: Share of rows each tree sees.
        column_share: Share of columns each tree sees.
        min_child_weight: Smallest sum of p * (1 - p) in a leaf.
        l2: Penalty on leaf values.
        positive_weight: Weight of a positive row; 'balanced' is negatives / positives. Calibration
            comes later, so a weight changes the ranking only.
        bags: Boosters with different seeds that are averaged.
        forests: As many more, each a forest of extremely randomised trees (`forest.py`).
        forest_trees: Trees of a forest.
        leaf_rows: Fewest rows in a leaf of a forest.
        seed: Seed of the first booster.
        threads: CPU threads; 0 takes all cores. The result does not depend on it.
        device: 'auto' takes a GPU when there is one and the build can use it.
        embed_columns: Width of the embedding.
        label_rates: Whether columns are made of the training labels around a row; 'auto' makes
            them where the split is static.
        label_folds: Folds whose labels are hidden from their own rows.
        hops: 2 adds means over neighbours of neighbours to the columns of features.
        text: Whether a column is made of what rows' texts say; 'auto' does where rows have texts.
        positions: Axes on which users are placed by what they met, a column each; 0 makes none.
    """

    rounds: int = _DEFAULT.rounds
    patience: int = 50
    depth: int = _DEFAULT.depth
    learning_rate: float = _DEFAULT.learning_rate
    row_share: float = 0.8
    column_share: float = 0.5
    min_child_weight: float = 2.0
    l2: float = 2.0
    positive_weight: float | Literal["balanced"] = 1.0
    bags: int = _DEFAULT.bags
    forests: int = _DEFAULT.forests
    forest_trees: int = 150
    leaf_rows: int = 2
    seed: int = 7
    threads: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    embed_columns: int = 64
    label_rates: LabelUse = _DEFAULT.label_rates
    label_folds: int = _DEFAULT.label_folds
    hops: int = _DEFAULT.hops
    text: TextUse = _DEFAULT.text
    positions: int = _DEFAULT.positions


class TreesModel:
    """Boosted trees behind the `Model` protocol.

    A row with missing values goes the way the training rows with that value missing went. Rows must
    come in an order that does not depend on storage (by key): row sampling follows it.
    """

    name = "trees"

    def __init__(self, settings: TreesSettings | None = None) -> None:
        self.settings = settings or TreesSettings()
        self.columns: tuple[str, ...] = ()
        self.gains: dict[str, float] = {}
        self.boosters: list[xgboost.Booster] = []
        self.makers = Makers()

    def fit(
        self,
        train: Rows,
        valid: Rows,
        context: GraphContext | None = None,
        upkeep: Upkeep | None = None,
    ) -> None:
        """Grow the boosters on `train`; `valid` decides how many rounds are kept.

        Args:
            train: Labelled rows.
            valid: Labelled rows of a later anchor with the same columns.
            context: The graph, where labels around a row are looked at; else not read.
            upkeep: Not read.

        Raises:
            TooFewLabels: A slice lacks positives or negatives.
            RowsInvalid: The rows contradict themselves.
            ColumnMissing: `valid` lacks a column of `train`.
            BadSetting: Columns of labels are asked for, but no label's time is known.

        Cost: about 0.5 s per million cells and 100 rounds on one core, for each bag.
        """
        train_label = labels_of("training slice", train.validate())
        valid_label = labels_of("selection slice", valid.validate())
        self.columns = ()
        self.makers = Makers.fit(self.settings, train, context)
        train, valid = self.inputs(train, context), self.inputs(valid, context)
        self.columns = train.names
        # Bins are made once: they do not depend on the seed, and every booster reads the same ones.
        threads = self.settings.threads
        matrix = xgboost.QuantileDMatrix(train.x, train_label, nthread=threads)
        held_out = xgboost.QuantileDMatrix(
            valid.select(self.columns).x, valid_label, ref=matrix, nthread=threads
        )
        weight = self._positive_weight(train_label)
        self.boosters = [
            self._grow(matrix, held_out, {"seed": self.settings.seed + bag, "weight": weight})
            for bag in range(self.settings.bags)
        ]
        self.boosters += self._forests(train.x, train_label)
        self.gains = gain_shares(self.boosters, self.columns)

    def refit(self, rows: Rows, context: GraphContext | None = None) -> None:
        """Grow the boosters anew on more rows, for as many rounds as `fit` has kept.

        Args:
            rows: Labelled rows: those of `fit` and of the slice that stopped it.
            context: As in `fit`.

        Raises:
            TooFewLabels: The rows lack positives or negatives.

        Cost: that of `fit` without the rounds that were grown in vain.
        """
        label = labels_of("training and selection slices", rows.validate())
        boosted = self.boosters[: self.settings.bags]
        rounds = [booster.num_boosted_rounds() for booster in boosted]
        self.columns = ()
        self.makers = Makers.fit(self.settings, rows, context)
        rows = self.inputs(rows, context)
        self.columns = rows.names
        matrix = xgboost.QuantileDMatrix(rows.x, label, nthread=self.settings.threads)
        weight = self._positive_weight(label)
        self.boosters = [
            xgboost.train(self._params(self.settings.seed + bag, weight), matrix, count)
            for bag, count in enumerate(rounds)
        ]
        self.boosters += self._forests(rows.x, label)
        self.gains = gain_shares(self.boosters, self.columns)

    def inputs(self, rows: Rows, context: GraphContext | None = None) -> Rows:
        """The rows with all columns that the model reads; as they are where they have them.

        Raises:
            ValueError: Columns are to be made of the graph, and there is no context.
        """
        if self.columns and set(self.columns) <= set(rows.names):
            return rows
        return self.makers.apply(rows, context)

    def predict(self, rows: Rows, context: GraphContext | None = None) -> Floats:
        """Return the uncalibrated probability of each row, shape [n], float32 in [0, 1].

        Raises:
            ColumnMissing: `rows` lacks a column the model was fitted on; others are ignored.

        Cost: about 10 microseconds a row for 3 bags of 200 rounds on one core.
        """
        margin = np.zeros(len(rows), dtype=np.float64)
        for part, matrix in self._matrices(self.inputs(rows, context)):
            said = [booster.predict(matrix, output_margin=True) for booster in self.boosters]
            bags = self.settings.bags
            said[bags:] = [log_odds(mean) for mean in said[bags:]]
            margin[part] = np.mean(said, axis=0, dtype=np.float64)
        return np.asarray(expit(margin), dtype=np.float32)

    def embed(self, rows: Rows, context: GraphContext | None = None) -> Floats:
        """Return what moved each row's score: the signed contributions of the weightiest columns.

        Coordinate i is how far column i moved the log-odds along the row's paths through the trees
        (Saabas attribution, twenty times faster than exact Shapley values and correlated .99 with
        them), for the `embed_columns` columns of largest training gain, scaled to length 1. So two
        users are near when the model suspects, or trusts, them for the same reasons to the same
        proportions. The scale leaves out how much: a faint and a blatant copy of one behaviour
        meet.

        Returns:
            Shape [n, embed_columns], float32; rows of length 1, or 0 where no column contributed;
            unused coordinates are 0 where there are fewer columns.

        Raises:
            ColumnMissing: `rows` lacks a column the model was fitted on.
        """
        chosen = self._embed_columns()
        vectors = np.zeros((len(rows), self.settings.embed_columns), dtype=np.float32)
        for part, matrix in self._matrices(self.inputs(rows, context)):
            moved = self._contributions(matrix, approximate=True)[:, chosen]
            length = np.linalg.norm(moved, axis=1, keepdims=True)
            np.divide(moved, length, out=moved, where=length > 0)
            vectors[part, : len(chosen)] = moved
        return vectors

    def contributions(self, rows: Rows, context: GraphContext | None = None) -> Floats:
        """Return the exact Shapley contributions of the columns to the log-odds.

        Those of a forest are exact for its mean probability, and brought to log-odds in their
        proportions.

        Lundberg et al. 2020, "From local explanations to global understanding with explainable AI
        for trees".

        Returns:
            Shape [n, columns + 1], float32, columns in the order of `self.columns`, last the base
            value; a row adds up to logit(predict).

        Raises:
            ColumnMissing: `rows` lacks a column the model was fitted on.

        Cost: about a millisecond a row: for the users a report shows, not for all.
        """
        result = np.zeros((len(rows), len(self.columns) + 1), dtype=np.float32)
        for part, matrix in self._matrices(self.inputs(rows, context)):
            result[part] = self._contributions(matrix, approximate=False)
        return result

    def save(self, folder: Path) -> None:
        """Write `model.json` and one UBJSON file a booster into `folder`, which may be new."""
        raw = [bytes(booster.save_raw(raw_format="ubj")) for booster in self.boosters]
        content = {
            "name": self.name,
            "settings": asdict(self.settings),
            "columns": list(self.columns),
            "gains": self.gains,
            "forest_margin": MARGIN,
            "sha256": [sha256(each).hexdigest() for each in raw],
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_model_file(folder, content | self.makers.save(folder))
        for bag, each in enumerate(raw):
            booster_file(folder, bag).write_bytes(each)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Bring back what `save` wrote.

        Raises:
            ArtefactInvalid: A file is missing, damaged, or of another model.
        """
        content = read_model_file(folder)
        try:
            model = cls(TreesSettings(**content["settings"]))
            model.columns = tuple(content["columns"])
            model.gains = dict(content["gains"])
            digests = [str(digest) for digest in content["sha256"]]
            model.makers = Makers.load(folder, content)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactInvalid(folder / "model.json", f"not a trees model ({error})") from error
        if model.settings.forests and content.get("forest_margin") != MARGIN:
            reason = (
                "was fitted by an older program, whose forests said something else; fit it anew"
            )
            raise ArtefactInvalid(folder / "model.json", reason)
        model.boosters = [
            load_booster(booster_file(folder, bag), digest, len(model.columns))
            for bag, digest in enumerate(digests)
        ]
        return model

    def _grow(
        self,
        matrix: xgboost.QuantileDMatrix,
        held_out: xgboost.QuantileDMatrix,
        bag: Mapping[str, Any],
    ) -> xgboost.Booster:
        history: dict[str, dict[str, list[float]]] = {}
        booster = xgboost.train(
            self._params(bag["seed"], bag["weight"]),
            matrix,
            num_boost_round=self.settings.rounds,
            evals=[(held_out, "valid")],
            evals_result=history,
            early_stopping_rounds=self.settings.patience,
            verbose_eval=False,
        )
        kept = rounds_to_keep(history["valid"]["aucpr"], history["valid"]["logloss"])
        return booster[:kept]

    def _forests(self, x: Floats, label: NDArray[np.int8]) -> list[xgboost.Booster]:
        settings, weight = self.settings, self._positive_weight(label)
        return [
            grow_forest(
                x,
                label,
                ForestRules(
                    settings.forest_trees,
                    settings.leaf_rows,
                    weight,
                    settings.seed + number,
                    settings.threads,
                ),
            )
            for number in range(settings.forests)
        ]

    def _params(self, seed: int, weight: float) -> dict[str, Any]:
        settings = self.settings
        return {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_depth": settings.depth,
            "eta": settings.learning_rate,
            "subsample": settings.row_share,
            "colsample_bytree": settings.column_share,
            "min_child_weight": settings.min_child_weight,
            "lambda": settings.l2,
            "scale_pos_weight": weight,
            "seed": seed,
            "nthread": settings.threads,
            "device": pick_device(settings.device),
            # The last metric is the one that stops growth.
            "eval_metric": ["logloss", "aucpr"],
            "verbosity": 0,
        }

    def _positive_weight(self, label: NDArray[np.int8]) -> float:
        if self.settings.positive_weight == "balanced":
            return float((label == 0).sum() / (label == 1).sum())
        return float(self.settings.positive_weight)

    def _embed_columns(self) -> list[int]:
        ranked = sorted(
            range(len(self.columns)), key=lambda i: (-self.gains[self.columns[i]], self.columns[i])
        )
        return ranked[: self.settings.embed_columns]

    def _contributions(self, matrix: xgboost.DMatrix, *, approximate: bool) -> Floats:
        parts = [
            booster.predict(matrix, pred_contribs=True, approx_contribs=approximate)
            for booster in self.boosters
        ]
        bags = self.settings.bags
        parts[bags:] = [log_odds_parts(one) for one in parts[bags:]]
        return np.asarray(np.mean(parts, axis=0), dtype=np.float32)

    def _matrices(self, rows: Rows) -> Iterator[tuple[slice, xgboost.DMatrix]]:
        x = rows.select(self.columns).x
        device = pick_device(self.settings.device)
        for booster in self.boosters:
            booster.set_param({"device": device, "nthread": self.settings.threads})
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, min(start + _ROWS_AT_ONCE, len(rows)))
            yield part, xgboost.DMatrix(x[part], nthread=self.settings.threads)
