"""Reasons in plain words, from a fixed vocabulary: why a user's score is high.

Each maker returns one row per reason (`key, code, text, weight`), `reasons_json` puts the strongest
of a user together. Reads tables and arrays, writes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

CODES = {
    "model_column": "a column that raised the score of the model in use",
    "challenger_column": "a column that raised the score of the trees, while another model scores",
    "unusual_column": "a column far from the middle of all users; no model says that it matters",
    "ring_member": "membership of a ring",
    "shared_entity": "a device, address or other object shared with users already flagged",
    "co_action": "acts on the same objects as other users within a short time",
    "counterfactual": "what the risk would be without a piece of evidence, scored anew",
    "model_link": "a link that raised the score of the network in use: left out, it is lower",
}
"""The whole vocabulary; docs/policy.md explains each code."""

REASONS = {"key": pl.String, "code": pl.String, "text": pl.String, "weight": pl.Float64}
"""Columns of a frame of reasons; the weight lies in [0, 1], larger is stronger."""

HALF_BITS = 8.0
"""Evidence at which a weight made of bits is one half."""
ROWS_AT_ONCE = 1 << 16

Source = Literal["model", "challenger", "population"]


@dataclass(frozen=True)
class Contributions:
    """How much each column moved each user's score."""

    keys: pl.Series
    """Users, shape [n], strings."""
    pushes: NDArray[np.floating]
    """Shape [n, columns]: above 0 raises the risk. No base value column."""
    values: NDArray[np.floating]
    """Feature values, shape [n, columns]; NaN: missing."""
    names: tuple[str, ...]
    source: Source
    """`model`: the champion; `challenger`: the trees, as the champion has no contributions;
    `population`: distance from the middle of all users."""


def column_reasons(
    contributions: Contributions, phrases: Mapping[str, str], top: int = 3
) -> pl.DataFrame:
    """The `top` columns that raised each user's score most.

    Args:
        contributions: Users with pushes and values.
        phrases: What each column says, in words; `{value}` in it is replaced by the value, or the
            value follows after a colon. A column without a phrase goes by its name.
        top: Most reasons a user.

    Returns:
        Frame of reasons. The weight is the column's share of all that raised the user's score;
        for `population`, distance / (distance + 3).

    Raises:
        ValueError: Shapes do not agree.

    Cost: sorts each user's columns.
    """
    _check_shapes(contributions)
    population = contributions.source == "population"
    parts = []
    for start in range(0, len(contributions.keys), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        pushes = np.nan_to_num(contributions.pushes[rows].astype(np.float64), nan=0.0)
        raised = np.maximum(pushes, 0.0)
        # Stable: of two equal columns the first named comes first.
        best = np.argsort(-raised, axis=1, kind="stable")[:, :top]
        row = np.repeat(np.arange(len(best)), best.shape[1])
        column = best.ravel()
        push = raised[row, column]
        total = push + 3.0 if population else raised.sum(axis=1)[row]
        keep = push > 0.0
        row, column, push, total = row[keep], column[keep], push[keep], total[keep]
        parts.append(
            pl.DataFrame(
                {
                    "key": contributions.keys[rows].gather(row),
                    "column": column,
                    "value": contributions.values[rows][row, column].astype(np.float64),
                    "weight": push / total,
                    "push": push,
                }
            )
        )
    if not parts:
        return pl.DataFrame(schema=REASONS)
    frame = pl.concat(parts)
    return frame.with_columns(*_around_value(contributions.names, phrases, frame["column"])).select(
        "key",
        pl.lit(f"{_KIND[contributions.source]}_column").alias("code"),
        _column_text(population).alias("text"),
        "weight",
    )


def population_contributions(
    keys: pl.Series,
    values: NDArray[np.floating],
    names: tuple[str, ...],
    population: NDArray[np.floating] | None = None,
    at_least: float = 2.0,
) -> Contributions:
    """Robust z-scores of the columns, for a model that cannot say what moved its score.

    Args:
        keys: Users, shape [n].
        values: Feature values of these same users, shape [n, columns]; NaN: missing.
        names: Column names.
        population: Values of all users, shape [users, columns], where `keys` are just some: the
            middle of the riskiest users is not that of all. None: `values` are all there are.
        at_least: Distance below which a value counts as usual.

    Returns:
        Contributions with source `population`: |value - median| / spread, 0 where usual, missing,
        or where the column is the same for all. The spread is half the distance from the 16th to
        the 84th percentile, a normal's standard deviation; where that is 0, wider percentiles.
        They are order statistics, so the order of the users changes no bit.

    Raises:
        ValueError: `population` has another number of columns.
    """
    everyone = values if population is None else population
    if everyone.shape[1:] != values.shape[1:]:
        message = (
            f"population has shape {everyone.shape}, but values have {values.shape[1]} columns"
        )
        raise ValueError(message)
    pushes = np.zeros(values.shape, dtype=np.float64)
    for column in range(values.shape[1]):
        found = values[:, column].astype(np.float64)
        known = everyone[:, column].astype(np.float64)
        known = known[np.isfinite(known)]
        spread = _spread(known)
        if spread > 0:
            distance = np.abs(found - np.median(known)) / spread
            usual = ~np.isfinite(distance) | (distance < at_least)
            pushes[:, column] = np.where(usual, 0.0, distance)
    return Contributions(keys, pushes, values, names, "population")


def ring_reasons(rings: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Membership of rings, one reason per user and ring.

    Args:
        rings: RINGS.
        members: RING_MEMBERS.

    Returns:
        Frame of reasons; the weight is the larger of the ring's share of enforced members (with
        one of each added) and the member's own evidence, bits / (bits + 8).
    """
    joined = members.select("ring_id", "key", "evidence_bits").join(
        rings.select("ring_id", "size", "known_bad"), on="ring_id"
    )
    share = (pl.col("known_bad") + 1) / (pl.col("size") + 2)
    text = pl.format(
        "member of ring {} with {} users, {} of them already enforced",
        "ring_id",
        "size",
        "known_bad",
    )
    weight = pl.max_horizontal(share, _from_bits(pl.col("evidence_bits")))
    return reasons_of(joined, "ring_member", text, weight)


def shared_reasons(shared: pl.DataFrame) -> pl.DataFrame:
    """Objects shared with other users.

    Args:
        shared: `key, entity_type, entity, others, flagged`: users other than `key` that share the
            object, and how many of these are known bad; see `graphguard.scores.facts`.

    Returns:
        Frame of reasons; the weight is the flagged share of the others (with one of each added).
    """
    users = pl.when(pl.col("others") == 1).then(pl.lit("user")).otherwise(pl.lit("users"))
    text = pl.format(
        "shares {} {} with {} {}, {} flagged", "entity_type", "entity", "others", users, "flagged"
    )
    weight = (pl.col("flagged") + 1) / (pl.col("others") + 2)
    return reasons_of(shared, "shared_entity", text, weight)


def coaction_reasons(acts: pl.DataFrame) -> pl.DataFrame:
    """Acts at nearly the same time as the same other users.

    Args:
        acts: `key, verb, noun, objects, window_us, users, log10_p`: with each of `users` others,
            at least `objects` objects within `window_us`; see `graphguard.scores.facts`.

    Returns:
        Frame of reasons; the weight is bits / (bits + 8) of the strongest pair.
    """
    one = pl.col("objects") == 1
    noun = pl.when(one).then(pl.col("noun").str.strip_suffix("s")).otherwise(pl.col("noun"))
    alone = pl.col("users") == 1
    same = pl.when(alone).then(pl.lit("user")).otherwise(pl.format("{} users", "users"))
    text = pl.format(
        "{} {} {} within {} of the same {}", "verb", "objects", noun, _length("window_us"), same
    )
    return reasons_of(acts, "co_action", text, _from_bits(-pl.col("log10_p") * np.log2(10.0)))


def reasons_json(parts: Iterable[pl.DataFrame], limit: int = 5) -> pl.DataFrame:
    """Put the reasons of each user together, strongest first.

    Args:
        parts: Frames of reasons.
        limit: Most reasons a user.

    Returns:
        `key, reasons`, sorted by key: a JSON list of {code, text, weight}; ties by code, then
        text. Weights are rounded to four digits.
    """
    rows = pl.concat([pl.DataFrame(schema=REASONS), *parts])
    ordered = rows.with_columns(pl.col("weight").round(4)).sort(
        ["key", "weight", "code", "text"], descending=[False, True, False, False]
    )
    one = pl.struct("code", "text", "weight").struct.json_encode()
    listed = ordered.group_by("key", maintain_order=True).head(limit).with_columns(one.alias("one"))
    grouped = listed.group_by("key", maintain_order=True).agg(pl.col("one"))
    return grouped.select("key", pl.format("[{}]", pl.col("one").list.join(", ")).alias("reasons"))


_KIND = {"model": "model", "challenger": "challenger", "population": "unusual"}


def reasons_of(frame: pl.DataFrame, code: str, text: pl.Expr, weight: pl.Expr) -> pl.DataFrame:
    """Frame of reasons of one code, a row of `frame` each."""
    return frame.select(
        "key", pl.lit(code).alias("code"), text.alias("text"), weight.alias("weight")
    ).cast(REASONS)  # type: ignore[arg-type]


def _from_bits(bits: pl.Expr) -> pl.Expr:
    return bits / (bits + HALF_BITS)


def _length(column: str) -> pl.Expr:
    """Microseconds in words: `60 s`, `10 min`, `1 h`."""
    seconds = pl.col(column) / 1e6
    hours, minutes = seconds / 3600, seconds / 60
    return (
        pl.when((hours >= 1) & (hours == hours.floor()))
        .then(pl.format("{} h", _number(hours)))
        .when((minutes >= 2) & (minutes == minutes.floor()))
        .then(pl.format("{} min", _number(minutes)))
        .otherwise(pl.format("{} s", _number(seconds)))
    )


def _number(value: pl.Expr) -> pl.Expr:
    """A number as people write it: whole ones and large ones without a fraction."""
    whole = (value == value.floor()) | (value.abs() >= 1000)
    # A cast of what has no integer would fail though it is not taken.
    safe = pl.when(value.abs() < 2**53).then(value.round())
    plain = pl.when(whole & safe.is_not_null()).then(safe.cast(pl.Int64, strict=False))
    return pl.coalesce(plain.cast(pl.String), value.round_sig_figs(3).cast(pl.String))


def _around_value(
    names: tuple[str, ...], phrases: Mapping[str, str], column: pl.Series
) -> list[pl.Series]:
    """What stands `before` and `after` the value in the phrase of each row's column."""
    words = [phrases.get(name, name) for name in names]
    split = [
        (one if "{value}" in one else f"{one}: {{value}}").split("{value}", 1) for one in words
    ]
    return [
        pl.Series(place, [parts[side] for parts in split], dtype=pl.String).gather(column)
        for side, place in enumerate(("before", "after"))
    ]


def _column_text(population: bool) -> pl.Expr:
    value = pl.col("value")
    shown = pl.when(value.is_nan()).then(pl.lit("no value")).otherwise(_number(value))
    text = pl.concat_str("before", shown, "after")
    if not population:
        return text
    return pl.format(
        "{} (unusual: {} times the usual distance from the median user)",
        text,
        pl.col("push").round(1).cast(pl.String),
    )


def _spread(known: NDArray[np.float64]) -> float:
    if not len(known):
        return 0.0
    # (low, high, distance between the two in standard deviations of a normal)
    for low, high, deviations in ((16, 84, 2.0), (1, 99, 4.65), (0, 100, 6.0)):
        distance = float(np.percentile(known, high) - np.percentile(known, low))
        if distance > 0:
            return distance / deviations
    return 0.0


def _check_shapes(given: Contributions) -> None:
    wanted = (len(given.keys), len(given.names))
    for name, array in (("pushes", given.pushes), ("values", given.values)):
        if array.shape != wanted:
            message = (
                f"contributions.{name} has shape {array.shape}, but {wanted[0]} keys and "
                f"{wanted[1]} names ask for {wanted}; leave the base value out"
            )
            raise ValueError(message)
