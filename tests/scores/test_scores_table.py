"""SCORES and ring risk."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from graphguard.ring_schema import RINGS
from graphguard.schema import SCORES
from graphguard.scores.ring_risk import mature_rings, ring_risk
from graphguard.scores.table import ScoreFacts, score_table
from graphguard.tables.files import write_parquet

AS_OF = date(2026, 1, 31)
FACTS = ScoreFacts("user", "m1", "run1", AS_OF)


def predictions(risk: dict[str, float]) -> pl.DataFrame:
    return pl.DataFrame({"key": list(risk), "risk_score": list(risk.values())})


def members(rows: list[tuple[str, str, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["ring_id", "key", "evidence_bits"], orient="row")


def risks(values: dict[str, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"ring_id": list(values), "ring_risk": list(values.values())},
        schema={"ring_id": pl.String, "ring_risk": pl.Float64},
    )


NO_REASONS = pl.DataFrame(schema={"key": pl.String, "reasons": pl.String})


def rings(names: list[str], known_bad: list[int], mean_risk: list[float | None]) -> pl.DataFrame:
    rows = len(names)
    return pl.DataFrame(
        {
            "ring_id": names,
            "size": [10] * rows,
            "density": [1.0] * rows,
            "evidence_bits": [100.0] * rows,
            "log10_p": [-9.0] * rows,
            "log10_q": [-9.0] * rows,
            "synchrony_s": [None] * rows,
            "met_share": [0.9] * rows,
            "chance_share": [0.1] * rows,
            "channels": ["likes.content_id"] * rows,
            "known_bad": known_bad,
            "mean_risk": mean_risk,
            "first_seen": [AS_OF] * rows,
            "ties": ["[]"] * rows,
        },
        schema_overrides={"synchrony_s": pl.Float64, "mean_risk": pl.Float64},
    )


def history(rows: int, bad: int) -> pl.DataFrame:
    # abusive rings: 6 of 10 enforced, mean risk .8;   the others: 1 of 10, mean risk .2
    flags = [i < bad for i in range(rows)]
    made = rings(
        [f"h{i:02}" for i in range(rows)],
        [6 if flag else 1 for flag in flags],
        [0.8 if flag else 0.2 for flag in flags],
    )
    return made.with_columns(
        pl.lit(date(2026, 1, 1)).alias("night"), pl.Series("bad", flags, dtype=pl.Boolean)
    )


def test_scores_hold_the_models_probability_untouched(tmp_path):
    risk = {"b": 0.1 + 0.2, "a": 1 / 3}
    reasons = pl.DataFrame({"key": ["a"], "reasons": ['[{"code": "x"}]']})
    table = score_table(
        predictions(risk), members([("r-1", "a", 5.0)]), risks({"r-1": 0.75}), reasons, FACTS
    )

    assert table.rows() == [
        ("user", "a", 1 / 3, 0.75, "r-1", '[{"code": "x"}]', "m1", "run1", AS_OF),
        ("user", "b", 0.1 + 0.2, None, None, "[]", "m1", "run1", AS_OF),
    ]
    assert write_parquet(tmp_path / "scores.parquet", table, SCORES) == 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"r-1": 0.2, "r-2": 0.9, "r-3": None}, "r-2"),
        ({"r-1": 0.2, "r-2": None, "r-3": None}, "r-1"),
        ({"r-1": None, "r-2": None, "r-3": None}, "r-3"),
        ({"r-1": 0.5, "r-2": 0.5, "r-3": 0.5}, "r-3"),
    ],
)
def test_of_several_rings_the_riskiest_counts_then_the_most_evidence(values, expected):
    held = members([("r-1", "a", 5.0), ("r-2", "a", 4.0), ("r-3", "a", 9.0), ("r-3", "z", 1.0)])
    table = score_table(predictions({"a": 0.5}), held, risks(values), NO_REASONS, FACTS)

    assert table["ring_id"].to_list() == [expected]


def test_permuting_inputs_changes_no_score():
    held = members([("r-1", "a", 5.0), ("r-2", "a", 5.0), ("r-1", "b", 4.0)])
    risk = {"a": 0.5, "b": 0.25, "c": 0.125}
    given = (predictions(risk), held, risks({"r-1": 0.5, "r-2": 0.5}), NO_REASONS)
    table = score_table(*given, FACTS)

    assert score_table(*(frame.reverse() for frame in given), FACTS).equals(table)
    assert table["ring_id"].to_list() == ["r-1", "r-1", None]


@pytest.mark.parametrize(
    ("rows", "bad", "known"),
    [(29, 15, False), (30, 15, True), (30, 2, False), (30, 28, False), (30, 3, True)],
)
def test_ring_risk_is_null_until_enough_rings_of_both_kinds_matured(rows, bad, known):
    tonight = rings(["r-1"], [6], [0.8])

    assert (ring_risk(tonight, history(rows, bad))["ring_risk"][0] is not None) is known


def test_ring_risk_is_null_without_history():
    assert ring_risk(rings(["r-1"], [6], [0.8])).rows() == [("r-1", None)]


def test_a_ring_like_the_abusive_ones_gets_a_high_probability():
    tonight = rings(["r-good", "r-bad", "r-none"], [1, 6, 3], [0.2, 0.8, None])
    found = dict(ring_risk(tonight, history(40, 20)).iter_rows())

    assert found["r-bad"] > 0.9
    assert found["r-good"] < 0.1
    assert 0.1 < found["r-none"] < 0.9


def test_ring_risk_matches_the_frequency_of_rings_that_look_alike():
    # 200 rings that look alike, a quarter of them abusive, and 40 clear ones of each kind
    alike = rings([f"q{i:03}" for i in range(200)], [3] * 200, [0.4] * 200).with_columns(
        pl.lit(date(2026, 1, 1)).alias("night"), pl.Series("bad", [i % 4 == 0 for i in range(200)])
    )
    found = ring_risk(rings(["r-1"], [3], [0.4]), pl.concat([alike, history(80, 40)]))

    assert found["ring_risk"][0] == pytest.approx(0.25, abs=0.05)


def test_a_ring_seen_on_many_nights_is_one_ring_with_its_newest_label():
    # 15 rings on two nights are no 30 rings
    early = history(15, 7)
    late = early.with_columns(pl.lit(date(2026, 1, 8)).alias("night"))
    tonight = rings(["r-1"], [6], [0.8])

    assert ring_risk(tonight, pl.concat([early, late]))["ring_risk"].to_list() == [None]


def test_the_order_of_rings_changes_no_bit_of_ring_risk():
    past = history(60, 25).with_columns(pl.Series("mean_risk", np.random.default_rng(3).random(60)))
    tonight = rings(["r-1", "r-2", "r-3"], [1, 4, 9], [0.1, 0.5, None])
    straight = ring_risk(tonight, past)

    assert ring_risk(tonight.reverse(), past.sample(fraction=1.0, shuffle=True, seed=1)).equals(
        straight
    )


def test_no_rings_give_no_ring_risk():
    assert ring_risk(rings(["r"], [1], [0.1]).clear(), history(40, 20)).height == 0


def test_a_ring_is_abusive_when_half_its_members_were_enforced():
    night = rings(["r-1", "r-2"], [0, 0], [0.5, 0.5])
    held = members(
        [
            ("r-1", "a", 1.0),
            ("r-1", "b", 1.0),
            ("r-2", "c", 1.0),
            ("r-2", "d", 1.0),
            ("r-2", "a", 1.0),
        ]
    )
    matured = mature_rings(night, held, {"a", "x"}, AS_OF)

    assert matured.columns == [*RINGS.columns, "night", "bad"]
    assert dict(matured.select("ring_id", "bad").iter_rows()) == {"r-1": True, "r-2": False}
