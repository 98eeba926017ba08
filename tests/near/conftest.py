"""Texts with planted edits."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest


def _edited(originals: int, changes: tuple[int, ...], seed: int) -> pl.Series:
    """Twelve random words each, then a copy for every number of changed words."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))

    def word() -> str:
        return "".join(rng.choice(letters, rng.integers(3, 9)))

    texts = []
    for _ in range(originals):
        words = [word() for _ in range(12)]
        texts.append(" ".join(words))
        for number in changes:
            copy = list(words)
            for place in rng.choice(12, number, replace=False):
                copy[place] = word()
            texts.append(" ".join(copy))
    return pl.Series(texts, dtype=pl.String)


@pytest.fixture
def edited() -> Callable[[int, tuple[int, ...], int], pl.Series]:
    return _edited
