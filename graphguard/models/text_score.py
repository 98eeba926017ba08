"""A column made of what rows' texts say: log-odds by a linear model of their character n-grams.

TF-IDF and logistic regression, the plain reference for short texts. Users are in folds by their
keys; a row is read by the model that never saw a label of its fold, so rows that train and rows to
score get the column alike, and one's own label never comes back through one's own words.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from graphguard.errors import ArtefactInvalid
from graphguard.models.base import GraphContext, Rows
from graphguard.models.folds import node_keys, row_folds
from graphguard.models.ngrams import BUCKETS, ngram_counts
from graphguard.tables.threads import threads

COLUMN = "text.log_odds"
PHRASE = "what the texts say, by their words and parts of words"
WEIGHTS = "text.safetensors"
FOLDS = 5
STRENGTHS = (1.0, 10.0)
"""Inverse penalties that are tried; the one of least log loss on hidden folds is kept."""
FEWEST_TEXTS = 3
"""An n-gram in fewer training texts says nothing about others."""


class TextScore:
    """Makes the column, for rows of training and for rows to score alike.

    Attributes:
        seed: Seed of the folds.
        weight: Inverse document frequency of each bucket, shape [BUCKETS], float32; 0 where rare.
        coefficients: Of each fold's model, shape [FOLDS, BUCKETS], float32.
        intercepts: Shape [FOLDS], float32.
    """

    def __init__(
        self,
        seed: int,
        weight: NDArray[np.float32],
        models: tuple[NDArray[np.float32], NDArray[np.float32]],
    ) -> None:
        self.seed, self.weight = seed, weight
        self.coefficients, self.intercepts = models

    @classmethod
    def fit(cls, train: Rows, context: GraphContext, seed: int) -> Self | None:
        """Learn from the texts and labels of the training rows.

        Args:
            train: Labelled rows with texts.
            context: Whose keys deal the folds, and groups that share one.
            seed: Seed of the folds.

        Returns:
            None where a fold's model would lack positives or negatives.

        Cost: about 4 s a million characters, most of it in ten logistic regressions.
        """
        if train.label is None or train.text is None:
            message = "a text score needs labelled training rows with texts"
            raise ValueError(message)
        fold = _folds(train, context, seed)
        label = train.label
        if any(len(np.unique(label[fold != number])) < 2 for number in range(FOLDS)):
            return None
        counts = ngram_counts(train.text.tolist())
        seen = np.bincount(counts.indices, minlength=BUCKETS)
        weight = np.log((1 + len(train)) / (1 + seen)) + 1
        weight = np.where(seen >= FEWEST_TEXTS, weight, 0.0).astype(np.float32)
        inputs = _weighted(counts, weight)
        made = [_fold_models(inputs, label, fold, strength) for strength in STRENGTHS]
        # On hidden folds, so neither strength has seen what it is judged by.
        best = min(made, key=lambda one: _log_loss(_read(inputs, fold, one), label))
        return cls(seed, weight, best)

    def apply(self, rows: Rows, context: GraphContext) -> Rows:
        """The rows with the column added; NaN where a row has no text.

        Raises:
            ValueError: The rows carry no texts at all.
        """
        if rows.text is None:
            message = "the model reads texts, and the rows carry none: list 'words' in `features`"
            raise ValueError(message)
        inputs = _weighted(ngram_counts(rows.text.tolist()), self.weight)
        fold = _folds(rows, context, self.seed)
        score = _read(inputs, fold, (self.coefficients, self.intercepts))
        empty = np.array([not text for text in rows.text], dtype=np.bool_)
        column = np.where(empty, np.nan, score).astype(np.float32)
        x = np.concatenate([rows.x, column[:, None]], axis=1)
        return replace(rows, x=x, names=(*rows.names, COLUMN))

    def facts(self) -> dict[str, Any]:
        """What `load` needs beside the weights, as JSON values."""
        return {"seed": self.seed}

    def save(self, folder: Path) -> None:
        """Write the weights beside the model; they hold no text."""
        arrays = {
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
            "weight": self.weight,
        }
        (folder / WEIGHTS).write_bytes(save_arrays(arrays))

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> Self:
        """Bring back what `facts` and `save` gave.

        Raises:
            ArtefactInvalid: The file is missing or not of these weights.
        """
        path = folder / WEIGHTS
        try:
            held = load_arrays(path.read_bytes())
            made = cls(
                int(facts["seed"]), held["weight"], (held["coefficients"], held["intercepts"])
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = f"no weights of a text score ({' '.join(str(error).split())[:200]})"
            raise ArtefactInvalid(path, reason) from error
        if made.weight.shape != (BUCKETS,) or made.coefficients.shape != (FOLDS, BUCKETS):
            shapes = f"{made.weight.shape} and {made.coefficients.shape}"
            raise ArtefactInvalid(path, f"weights of shapes {shapes}, expected {BUCKETS} buckets")
        return made


def text_phrases(names: Sequence[str]) -> dict[str, str]:
    """What the column says, in plain words, where it is among `names`."""
    return {COLUMN: PHRASE} if COLUMN in names else {}


def _folds(rows: Rows, context: GraphContext, seed: int) -> NDArray[np.int64]:
    keys = node_keys(context).gather(rows.node)
    return row_folds(rows.node, keys, (FOLDS, seed), context.group)


def _weighted(counts: csr_array, weight: NDArray[np.float32]) -> csr_array:
    """(1 + log count) * weight, each row of length 1; a row without known n-grams stays 0."""
    made = counts.copy()
    made.data = (1.0 + np.log(made.data)) * weight[made.indices]
    row = np.repeat(np.arange(made.shape[0]), np.diff(made.indptr))
    length = np.sqrt(np.bincount(row, made.data**2, made.shape[0]))
    made.data /= np.maximum(length, 1e-12)[row]
    made.eliminate_zeros()
    return made


def _fold_models(
    inputs: csr_array, label: NDArray[np.int8], fold: NDArray[np.int64], strength: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coefficients and intercept of a model a fold, of all other folds' rows."""
    coefficients = np.zeros((FOLDS, BUCKETS), dtype=np.float32)
    intercepts = np.zeros(FOLDS, dtype=np.float32)
    # Columns that no row has stay 0 and need no room in the regression.
    used = np.unique(inputs.indices)
    held = csr_array(inputs[:, used])
    held.indices, held.indptr = held.indices.astype(np.int32), held.indptr.astype(np.int32)

    def made(number: int) -> LogisticRegression:
        rows = np.flatnonzero(fold != number)
        model = LogisticRegression(C=strength, solver="liblinear", random_state=0)
        return model.fit(held[rows], label[rows])

    # The solver leaves the interpreter free, and draws nothing: threads change no weight.
    with threads() as several:
        for number, model in enumerate(several.each(made, range(FOLDS))):
            coefficients[number, used] = model.coef_[0]
            intercepts[number] = model.intercept_[0]
    return coefficients, intercepts


def _read(
    inputs: csr_array,
    fold: NDArray[np.int64],
    models: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.float64]:
    """Log-odds of each row by its fold's model."""
    score = np.zeros(inputs.shape[0])
    for number in range(FOLDS):
        rows = np.flatnonzero(fold == number)
        score[rows] = inputs[rows] @ models[0][number].astype(np.float64) + models[1][number]
    return score


def _log_loss(score: NDArray[np.float64], label: NDArray[np.int8]) -> float:
    right = np.where(label == 1, expit(score), expit(-score))
    return float(-np.log(np.maximum(right, 1e-12)).mean())
