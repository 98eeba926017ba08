from math import comb

import networkx as nx
import numpy as np
import polars as pl
import pytest

from graphguard.rings.cores import (
    WEAK,
    core_links,
    core_numbers,
    in_core,
    log10_sets,
    told_cores,
)
from graphguard.rings.set_terms import OF_SET


def table(pairs, log10_p=WEAK - 1):
    rows = sorted(tuple(sorted(pair)) for pair in pairs)
    return pl.DataFrame(rows, schema=["user_a", "user_b"], orient="row").with_columns(
        log10_p=pl.lit(float(log10_p)), log10_q=pl.lit(0.0)
    )


def chance_links(rng, users, number):
    drawn = {tuple(sorted(pair)) for pair in rng.integers(0, users, (2 * number, 2)).tolist()}
    return [pair for pair in sorted(drawn) if pair[0] != pair[1]][:number]


def ring(rng, members, share):
    return [(a, b) for a in members for b in members if a < b and rng.random() < share]


def users_of(links):
    return set(links.get_column("user_a")) | set(links.get_column("user_b"))


def test_the_core_of_a_ring_is_found_among_links_that_chance_made():
    rng = np.random.default_rng(0)
    members = range(20_000, 20_014)
    links = table(chance_links(rng, 20_000, 400) + ring(rng, members, 0.6) + [(3, 20_000)])

    found = core_links(links, 20_014, -2.0)

    assert users_of(found) == set(members)
    assert (found.get_column("log10_q") <= -2).all()


def test_links_that_chance_made_have_no_core():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert core_links(table(chance_links(rng, 20_000, 600)), 20_000, -2.0).height == 0


def test_a_star_of_a_busy_user_is_no_core_however_large():
    links = table([(0, other) for other in range(1, 40)])
    assert core_links(links, 20_000, -2.0).height == 0


def test_links_above_the_bound_do_not_count():
    rng = np.random.default_rng(1)
    tied = ring(rng, range(12), 1.0)
    assert core_links(table(tied), 20_000, -2.0).height == 66
    assert core_links(table(tied, WEAK + 0.1), 20_000, -2.0).height == 0


def test_a_few_tied_users_are_chance_where_links_are_many():
    rng = np.random.default_rng(2)
    four = ring(rng, range(500, 504), 1.0)
    assert core_links(table(four), 20_000, -2.0).height == 6
    assert core_links(table(four + chance_links(rng, 500, 700)), 504, -2.0).height == 0


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_expected_number_of_sets_counts_trees(size):
    trees = {2: 1, 3: 3, 5: 125}[size]
    expected = comb(300, size) * trees * 0.002 ** (size - 1)
    (found,) = log10_sets(np.array([size]), 0.002, 300)
    assert 10**found == pytest.approx(expected)


def test_chance_connects_no_more_sets_than_told():
    users, links, rounds = 400, 60, 300
    counts = np.zeros(users + 1)
    for seed in range(rounds):
        graph = nx.Graph(chance_links(np.random.default_rng(seed), users, links))
        for part in nx.connected_components(graph):
            counts[len(part)] += 1
    told = 10 ** log10_sets(np.arange(1, users + 1), links / (users * (users - 1) / 2), users)
    for size in range(2, 8):
        mean = counts[size] / rounds
        assert mean <= told[size - 1] + 3 * np.sqrt(told[size - 1] / rounds), size


def test_cores_are_those_of_the_reference():
    rng = np.random.default_rng(3)
    for _ in range(20):
        links = chance_links(rng, 30, 60)
        one, other = np.array(links).T
        core = nx.k_core(nx.Graph(links), 3)
        kept = in_core(one, other, 30, 3)
        assert {tuple(pair) for pair in np.array(links)[kept].tolist()} == {
            tuple(sorted(pair)) for pair in core.edges
        }


def test_no_links_have_no_core():
    assert (
        core_links(table([]).cast({"user_a": pl.Int64, "user_b": pl.Int64}), 10, -2.0).height == 0
    )


def test_q_of_a_core_follows_again_from_its_size_and_the_share_of_links():
    rng = np.random.default_rng(0)
    members = range(20_000, 20_014)
    links = table(chance_links(rng, 20_000, 400) + ring(rng, members, 0.6) + [(3, 20_000)])
    core = core_links(links, 20_014, -2.0)

    (told,) = told_cores(core, links.height, 20_014)

    assert told.users.tolist() == list(members)
    # User 3 hangs on it by one link, and who hangs on him counts too.
    assert told.size > len(members)
    assert core_numbers(told.size, told.terms)[OF_SET] == pytest.approx(told.log10_q)
    assert set(core.get_column("log10_q")) == {told.log10_q}
    assert core_numbers(told.size - 1, told.terms)[OF_SET] > told.log10_q
