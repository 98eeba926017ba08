"""Has the night changed? Population stability and Kolmogorov-Smirnov, column by column.

A calibrated threshold holds its precision only while the rows look as they did, so the report shows
this table and the export gate reads its verdict. The stability index is positive for equal
populations too, the more the fewer the rows; a column is called drifted only when the index is both
large and larger than chance (under no change PSI / (1/n + 1/m) is chi-square with bins - 1 degrees;
Yurdakul and Naranjo 2020, "Statistical Properties of the Population Stability Index").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

Verdict = Literal["green", "amber", "red"]


@dataclass(frozen=True)
class DriftLimits:
    """When a column, and a night, is called drifted.

    Attributes:
        amber: Stability index from which a column is amber.
        red: Stability index from which a column is red.
        alpha: Chance of a false alarm in a night, shared out among its columns.
        red_share: Share of red columns that makes the night red.
        bins: Bins of equal reference count.
    """

    amber: float = 0.1
    red: float = 0.25
    alpha: float = 0.01
    red_share: float = 0.2
    bins: int = 10


@dataclass(frozen=True)
class ColumnDrift:
    """How one column differs between two runs.

    Attributes:
        name: Column name.
        psi: Population stability index, 0 when equal.
        p_value: Chance of such an index where nothing has changed.
        ks: Largest gap of the two distribution functions over the present values, in [0, 1].
        missing_before: Share of NaN in the reference.
        missing_now: Share of NaN in the current run.
        verdict: 'green', 'amber' or 'red'.
    """

    name: str
    psi: float
    p_value: float
    ks: float
    missing_before: float
    missing_now: float
    verdict: Verdict


@dataclass(frozen=True)
class DriftReport:
    """The table, worst column first, with the night's verdict and the sentence that gives it."""

    verdict: Verdict
    reason: str
    columns: tuple[ColumnDrift, ...]


def psi(before: NDArray[Any], now: NDArray[Any], bins: int = 10) -> tuple[float, float]:
    """Return the population stability index of two samples and its p-value.

    Bins are quantiles of `before`; NaN is a bin of its own. Half a row is added to each bin, so
    that an empty one stays finite.

    Args:
        before: Reference values, shape [n], n above 0.
        now: Current values, shape [m], m above 0.
        bins: Number of quantile bins, at least 2; repeated quantiles are one bin.

    Returns:
        The index, at least 0, and the chance of one as large under no change.

    Raises:
        ValueError: A sample is empty.

    >>> psi(np.arange(100.0), np.arange(100.0))
    (0.0, 1.0)
    """
    if len(before) == 0 or len(now) == 0:
        message = f"drift needs rows on both sides, found {len(before)} and {len(now)}"
        raise ValueError(message)
    counted = [_bin_counts(values, _edges(before, now, bins)) for values in (before, now)]
    occupied = (counted[0] + counted[1]) > 0
    smooth = [counts[occupied] + 0.5 for counts in counted]
    shares = [counts / counts.sum() for counts in smooth]
    index = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    freedom = int(occupied.sum()) - 1
    if freedom == 0:
        return 0.0, 1.0
    return index, float(chdtrc(freedom, index / (1 / len(before) + 1 / len(now))))


def ks_statistic(before: NDArray[Any], now: NDArray[Any]) -> float:
    """Return the largest gap between the distribution functions of the values that are not NaN.

    A side without any value counts as unchanged (0): the missing shares tell that story.

    >>> ks_statistic(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    first, second = (np.sort(values[~np.isnan(values)]) for values in (before, now))
    if len(first) == 0 or len(second) == 0:
        return 0.0
    points = np.union1d(first, second)
    share_first = np.searchsorted(first, points, side="right") / len(first)
    share_second = np.searchsorted(second, points, side="right") / len(second)
    return float(np.max(np.abs(share_first - share_second)))


def drift_report(
    before: NDArray[Any],
    now: NDArray[Any],
    names: Sequence[str],
    limits: DriftLimits | None = None,
    decisive: Sequence[str] = (),
) -> DriftReport:
    """Compare two runs column by column.

    Args:
        before: Reference rows (those that calibrated the thresholds), shape [n, columns].
        now: Current rows, shape [m, columns]; NaN is missing.
        names: Column names.
        limits: Where amber and red begin.
        decisive: Columns, such as the score, that make the night red alone.

    Returns:
        The report. Red: a decisive column is red, or at least `red_share` of all columns. Amber:
        any column is amber or red.

    Raises:
        ValueError: Column counts differ, or a side has no row.

    Cost: O((n + m) log(n + m)) a column.
    """
    limits = limits or DriftLimits()
    if before.shape[1] != len(names) or now.shape[1] != len(names):
        message = (
            f"drift: {len(names)} names for {before.shape[1]} columns before and {now.shape[1]} now"
        )
        raise ValueError(message)
    alpha = limits.alpha / max(len(names), 1)
    columns = [
        _column(name, before[:, number], now[:, number], limits, alpha)
        for number, name in enumerate(names)
    ]
    columns.sort(key=lambda column: (-column.psi, column.name))
    verdict, reason = _night(columns, limits, frozenset(decisive))
    return DriftReport(verdict, reason, tuple(columns))


def _column(
    name: str, before: NDArray[Any], now: NDArray[Any], limits: DriftLimits, alpha: float
) -> ColumnDrift:
    index, p_value = psi(before, now, limits.bins)
    verdict: Verdict = "green"
    if p_value < alpha and index >= limits.amber:
        verdict = "red" if index >= limits.red else "amber"
    return ColumnDrift(
        name=name,
        psi=index,
        p_value=p_value,
        ks=ks_statistic(before, now),
        missing_before=float(np.isnan(before).mean()),
        missing_now=float(np.isnan(now).mean()),
        verdict=verdict,
    )


def _night(
    columns: list[ColumnDrift], limits: DriftLimits, decisive: frozenset[str]
) -> tuple[Verdict, str]:
    red = [column for column in columns if column.verdict == "red"]
    moved = [column for column in columns if column.verdict != "green"]
    for column in red:
        if column.name in decisive:
            return "red", f"'{column.name}' has moved: PSI {column.psi:.2f}, KS {column.ks:.2f}"
    if red and len(red) >= limits.red_share * len(columns):
        return "red", f"{len(red)} of {len(columns)} columns have moved, most '{red[0].name}'"
    if moved:
        worst = moved[0]
        return "amber", (
            f"{len(moved)} of {len(columns)} columns have moved, most '{worst.name}' "
            f"(PSI {worst.psi:.2f})"
        )
    return "green", f"none of {len(columns)} columns has moved"


def _edges(before: NDArray[Any], now: NDArray[Any], bins: int) -> NDArray[np.float64]:
    present = before[~np.isnan(before)]
    if len(present) == 0:
        present = now[~np.isnan(now)]
    if len(present) == 0:
        return np.empty(0)
    # The lower value of a quantile keeps a point mass (zeros, say) whole on one side of its edge.
    return np.unique(np.quantile(present, np.arange(1, bins) / bins, method="lower"))


def _bin_counts(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = np.isnan(values)
    place = np.searchsorted(edges, values[~missing], side="left")
    counts = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    return np.append(counts, float(missing.sum()))
