import json
from dataclasses import replace

import polars as pl
import pytest

from graphguard.rings.describe import RingInputs, member_table, ring_evidence, ring_table

MINUTE_US = 60_000_000


def inputs() -> RingInputs:
    """Ring 0 holds users 1, 2, 3 and hanger-on 4; ring 1 holds 8 and 9."""
    evidence = pl.DataFrame(
        [
            (1, 2, "likes", -9.0, 30.0, 2 * MINUTE_US, 4, 3, 5, 0.5),
            (1, 3, "likes", -6.0, 20.0, 4 * MINUTE_US, 2, 2, 2, 0.2),
            (2, 3, "likes", -6.0, 20.0, 6 * MINUTE_US, 2, 1, 3, 0.1),
            (1, 2, "shared.device", -4.0, 10.0, None, 2, 0, None, None),
            (3, 4, "embedding", -20.0, 5.0, None, 0, 0, None, None),
            (4, 8, "likes", -30.0, 90.0, MINUTE_US, 9, 9, 9, 0.1),
            (8, 9, "shared.device", -8.0, 25.0, None, 3, 0, None, None),
        ],
        schema={
            "user_a": pl.Int64,
            "user_b": pl.Int64,
            "channel": pl.String,
            "log10_p": pl.Float64,
            "bits": pl.Float64,
            "gap_us": pl.Int64,
            "weight": pl.Int64,
            "a_first": pl.Int64,
            "together": pl.Int64,
            "by_chance": pl.Float64,
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


def test_who_comes_first_and_how_often_they_meet_is_told_of_links_in_time_only():
    given = inputs()
    evidence = ring_evidence(given)
    first, second = ring_table(given, evidence).iter_rows(named=True)
    members = member_table(given, evidence)

    # 1-2, 1-3 and 2-3 met on 4 + 2 + 2 of 5 + 2 + 3 objects; .5 + .2 + .1 by chance
    assert first["met_share"] == pytest.approx(8 / 10)
    assert first["chance_share"] == pytest.approx(0.8 / 10)
    assert second["met_share"] is None
    # User 1 came first 3 times of 4 and 2 of 2; user 2 once of 4 and once of 2.
    share = dict(members.select("user", "first_share").iter_rows())
    assert share[1] == pytest.approx(5 / 6)
    assert share[2] == pytest.approx(2 / 6)
    assert share[4] is None


@pytest.mark.parametrize("channel", ["known.likes", "beside.likes"])
def test_who_joins_a_ring_makes_it_no_surer_that_it_is_one(channel):
    given = inputs()
    joins = pl.DataFrame({"user_a": [1], "user_b": [4], "channel": [channel], "log10_p": [-50.0]})
    more = replace(given, evidence=pl.concat([given.evidence, joins], how="diagonal"))

    before, after = (ring_table(one, ring_evidence(one)) for one in (given, more))

    assert after.get_column("log10_p").to_list() == before.get_column("log10_p").to_list()
