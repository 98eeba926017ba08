"""Has the night changed? Population stability and Kolmogorov-Smirnov, column by column.

The stability index is positive for equal populations too, the more the fewer the rows; a column is
called drifted only when the index is large, larger than chance (under no change PSI / (1/n + 1/m)
is chi-square with bins - 1 degrees; Yurdakul and Naranjo 2020, "Statistical Properties of the
Population Stability Index"), and larger than what the column has moved by between past anchors:
some columns, such as those about newcomers, never stand still. `evaluate/gate.py` makes a verdict
of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

Verdict = Literal["green", "amber", "red"]
MOST_ROWS = 20_000
"""Rows of a side that are compared, evenly spread over all: more would sharpen nothing."""


@dataclass(frozen=True)
class DriftLimits:
    """When a column, and a night, is called drifted.

    Attributes:
        amber: Stability index from which a column is amber.
        red: Stability index from which a column is red.
        alpha: Chance of a false alarm in a night, shared out among its columns.
        usual: How many times the largest move between past anchors is still usual.
        red_share: Share of red columns that makes the night red.
        leap: How many times its usual move, or `still` where that is less, a red column leaps from.
        still: Largest index of a column that is said to stand still.
        leap_share: Share of columns that leap that makes the night red, if they are `leaps`.
        leaps: Fewest columns that leap that make the night red.
        restless: Move between past anchors of one column from which those of its scope are no news
            when they leap: one viral object moves all means over those who touched it.
        red_gain: Share of the model's gain, on red columns, that makes the night red.
        bins: Bins of equal reference count.
        score: Stability index from which the score is red; amber from `red` on.
        tail: Quantiles of the reference's scores, and how many times as many rows tonight are red.
        label_ratio: Factor by which the rate of new positives may differ from that of past anchors.
        label_beyond: Factor by which it may lie beyond the highest or lowest of them.
        label_alpha: Chance, under equal rates, of a change of rates called drift.
    """

    amber: float = 0.1
    red: float = 0.25
    alpha: float = 0.01
    usual: float = 1.5
    red_share: float = 0.03
    leap: float = 5.0
    still: float = 0.05
    leap_share: float = 0.007
    leaps: int = 3
    restless: float = 1.0
    red_gain: float = 0.4
    bins: int = 10
    score: float = 1.0
    tail: tuple[tuple[float, float], ...] = ((0.99, 8.0),)
    label_ratio: float = 3.0
    label_beyond: float = 2.2
    label_alpha: float = 1e-3


@dataclass(frozen=True)
class ColumnDrift:
    """How one column differs between two anchors.

    Attributes:
        name: Column name.
        psi: Population stability index, 0 when equal.
        usual: Largest index between neighbouring past anchors; 0 without a past.
        p_value: Chance of such an index where nothing has changed.
        ks: Largest gap of the two distribution functions over the present values, in [0, 1].
        missing_before: Share of NaN in the reference.
        missing_now: Share of NaN in the current run.
        verdict: 'green', 'amber' or 'red'.
    """

    name: str
    psi: float
    usual: float
    p_value: float
    ks: float
    missing_before: float
    missing_now: float
    verdict: Verdict


@dataclass(frozen=True)
class Past:
    """What is known beside two anchors' rows.

    Attributes:
        anchors: Rows of anchors before the reference, oldest first, each [rows, columns].
        gains: Share of the model's gain by column name; empty where the model has none.
    """

    anchors: Sequence[NDArray[Any]] = ()
    gains: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DriftReport:
    """The table, worst column first, with the columns' verdict and the sentence that gives it.

    Attributes:
        verdict: Of all columns together.
        reason: The sentence.
        red_share: Share of the columns that are red.
        red_gain: Share of the model's gain that lies on red columns.
        leap_share: Share of the columns that have leapt; 0 where they are few, or nothing is past.
        columns: Every column.
    """

    verdict: Verdict
    reason: str
    red_share: float
    red_gain: float
    leap_share: float
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
    past: Past | None = None,
) -> DriftReport:
    """Compare two anchors column by column.

    Args:
        before: Reference rows (those that calibrated the thresholds), shape [n, columns].
        now: Current rows, shape [m, columns]; NaN is missing.
        names: Column names.
        limits: Where amber and red begin.
        past: Earlier anchors and the model's gains.

    Returns:
        The report. Red: the red columns are many, or the model rests on them. Amber: a column is
        amber or red.

    Raises:
        ValueError: Column counts differ, or a side has no row.

    Cost: O((n + m) log(n + m)) a column and anchor, of at most 20,000 rows each.
    """
    limits, past = limits or DriftLimits(), past or Past()
    for side, rows in (("before", before), ("now", now), *(("past", one) for one in past.anchors)):
        if rows.shape[1] != len(names):
            message = f"drift: {len(names)} names for {rows.shape[1]} columns {side}"
            raise ValueError(message)
    alpha = limits.alpha / max(len(names), 1)
    sides = [_spread(rows) for rows in (*past.anchors, before, now)]
    columns = [
        column_drift(name, [side[:, place] for side in sides], limits, alpha)
        for place, name in enumerate(names)
    ]
    columns.sort(key=lambda column: (-column.psi, column.name))
    red = [column for column in columns if column.verdict == "red"]
    share = len(red) / max(len(names), 1)
    gain = sum(past.gains.get(column.name, 0.0) for column in red)
    far = _leaping(columns, limits)
    # Without a past nothing is known to stand still.
    leapt = len(far) / len(names) if past.anchors and len(far) >= limits.leaps else 0.0
    verdict, reason = _together(columns, (share, gain, leapt), limits)
    return DriftReport(verdict, reason, share, gain, leapt, tuple(columns))


def column_drift(
    name: str, anchors: Sequence[NDArray[Any]], limits: DriftLimits, alpha: float
) -> ColumnDrift:
    """Compare the last two of a column's anchors, against how far earlier ones lay apart.

    Args:
        name: Column name.
        anchors: Values of each anchor, oldest first, two or more, each of shape [rows].
        limits: Where amber and red begin.
        alpha: Chance of a false alarm.

    Raises:
        ValueError: An anchor is empty.
    """
    before, now = anchors[-2], anchors[-1]
    index, p_value = psi(before, now, limits.bins)
    verdict: Verdict = "green"
    usual = 0.0
    if p_value < alpha and index >= limits.amber:
        pairs = zip(anchors[:-2], anchors[1:-1], strict=True)
        usual = max((psi(one, next_, limits.bins)[0] for one, next_ in pairs), default=0.0)
        if index > limits.usual * usual:
            verdict = "red" if index >= limits.red else "amber"
    return ColumnDrift(
        name=name,
        psi=index,
        usual=usual,
        p_value=p_value,
        ks=ks_statistic(before, now),
        missing_before=float(np.isnan(before).mean()),
        missing_now=float(np.isnan(now).mean()),
        verdict=verdict,
    )


def _leaping(columns: Sequence[ColumnDrift], limits: DriftLimits) -> list[ColumnDrift]:
    """Red columns far from where they had stood still, in scopes where all had."""
    restless = {_scope(one.name) for one in columns if one.usual >= limits.restless}
    return [
        one
        for one in columns
        if one.verdict == "red"
        and one.psi > limits.leap * max(one.usual, limits.still)
        and _scope(one.name) not in restless
    ]


def _scope(name: str) -> str:
    """What a column is about: what stands before its first dot."""
    return name.partition(".")[0]


def _spread(rows: NDArray[Any]) -> NDArray[Any]:
    """At most MOST_ROWS of the rows, evenly spread; rows come in order of key, so by no time."""
    step = -(-len(rows) // MOST_ROWS)
    return rows[::step] if step > 1 else rows


def _together(
    columns: list[ColumnDrift], red: tuple[float, float, float], limits: DriftLimits
) -> tuple[Verdict, str]:
    share, gain, leapt = red
    moved = [column for column in columns if column.verdict != "green"]
    if not moved:
        return "green", f"none of {len(columns)} columns has moved beyond the usual"
    told = f"{len(moved)} of {len(columns)} columns have moved"
    worst = f"most '{moved[0].name}' (PSI {moved[0].psi:.2f}, usual {moved[0].usual:.2f})"
    if share >= limits.red_share:
        return "red", f"{told}, {share:.0%} of all far, {worst}"
    if leapt >= limits.leap_share:
        return "red", f"{told}, {leapt:.1%} of all leapt from where they had stood still, {worst}"
    if gain >= limits.red_gain:
        return "red", f"{told}, {gain:.0%} of the model's gain is on those that moved far, {worst}"
    return "amber", f"{told}, {worst}"


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
