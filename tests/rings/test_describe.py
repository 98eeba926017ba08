import json

import polars as pl
import pytest

from graphguard.rings.describe import RingInputs, member_table, ring_evidence, ring_table

MINUTE_US = 60_000_000


def inputs() -> RingInputs:
    """Ring 0 holds users 1, 2, 3 and hanger-on 4; ring 1 holds 8 and 9."""
    evidence = pl.DataFrame(
        [
            (1, 2, "likes", -9.0, 30.0, 2 * MINUTE_US),
            (1, 3, "likes", -6.0, 20.0, 4 * MINUTE_US),
            (2, 3, "likes", -6.0, 20.0, 6 * MINUTE_US),
            (1, 2, "shared.device", -4.0, 10.0, None),
            (3, 4, "embedding", -20.0, 5.0, None),
            (4, 8, "likes", -30.0, 90.0, MINUTE_US),
            (8, 9, "shared.device", -8.0, 25.0, None),
        ],
        schema={
            "user_a": pl.Int64,
            "user_b": pl.Int64,
            "channel": pl.String,
            "log10_p": pl.Float64,
            "bits": pl.Float64,
            "gap_us": pl.Int64,
        },
        orient="row",
    )
    touches = pl.DataFrame(
        [
            *[(user, "device", "d1", 3) for user in (1, 2, 3)],
            *[(user, "content", "viral", 9_000) for user in (1, 2, 3, 4)],
            (1, "device", "own", 1),
        ],
        schema={"user": pl.Int64, "type": pl.String, "key": pl.String, "popularity": pl.Int64},
        orient="row",
    )
    return RingInputs(
        members=pl.DataFrame({"ring": [0, 0, 0, 0, 1, 1], "user": [1, 2, 3, 4, 8, 9]}),
        evidence=evidence,
        risk=pl.DataFrame({"user": [1, 2, 3, 8], "risk_score": [0.9, 0.8, 0.1, 0.5]}),
        bad=pl.DataFrame({"user": [2, 50]}),
        touches=touches,
        num_pairs=1_000.0,
    )


def test_evidence_is_kept_within_rings_only():
    rows = ring_evidence(inputs()).select("ring", "user_a", "user_b", "channel").rows()

    assert (0, 4, 8, "likes") not in rows
    assert len(rows) == 6


def test_members_have_a_role_a_degree_and_their_evidence():
    given = inputs()
    table = member_table(given, ring_evidence(given))

    assert table.select("user", "role", "degree").rows() == [
        (1, "core", 2),
        (2, "core", 2),
        (3, "core", 3),
        (4, "edge", 1),
        (8, "core", 1),
        (9, "core", 1),
    ]
    # Pair 1-2 has two channels, of which the weaker counts half.
    assert table.get_column("evidence_bits").to_list()[0] == pytest.approx(30 + 5 + 20)


def test_a_ring_is_as_unlikely_as_its_best_pair_among_all_pairs():
    given = inputs()
    first, second = ring_table(given, ring_evidence(given)).iter_rows(named=True)

    # The embedding's -20 is no test of coordination and does not count.
    assert first["log10_p"] == pytest.approx(-6.0)
    assert first["synchrony_s"] == pytest.approx(240.0)
    assert first["density"] == pytest.approx(4 / 6)
    assert first["known_bad"] == 1
    assert first["mean_risk"] == pytest.approx(0.6)
    assert first["channels"].split(",") == ["likes", "shared.device", "embedding"]
    assert second["log10_p"] == pytest.approx(-5.0)
    assert second["synchrony_s"] is None


def test_what_ties_a_ring_is_rare_before_popular_and_never_one_members_own():
    given = inputs()
    ties = json.loads(ring_table(given, ring_evidence(given)).get_column("ties")[0])

    assert [(tie["key"], tie["members"]) for tie in ties] == [("d1", 3), ("viral", 4)]
