import numpy as np
import polars as pl
import pytest

from graphguard.graph.hetero import Adjacency
from graphguard.graph.neighbour_joins import neighbour_table
from graphguard.graph.propagate import NEVER, NeighbourRows, neighbour_means
from graphguard.schema import FIXED_POINT
from graphguard.tables.engine import PolarsEngine

ROWS = {"user": pl.Int64, "bad": pl.Int64, "age": pl.Int64}
EDGES = dict.fromkeys(("user", "object", "time_us"), pl.Int64)


def neighbours(edges, rows, span=(0, 100)) -> pl.DataFrame:
    engine = PolarsEngine()
    tables = (
        engine.table(pl.DataFrame(edges, schema=EDGES, orient="row")),
        engine.table(pl.DataFrame(rows, schema=ROWS, orient="row")),
    )
    return engine.collect(neighbour_table(engine, *tables, ["age"], span)).sort("user")


def test_own_values_and_own_label_are_left_out():
    # object 0: users 1, 2 (bad), 3      object 1: user 1 alone
    edges = [(1, 0, 5), (2, 0, 6), (3, 0, 7), (1, 1, 8)]
    rows = [(1, 0, 10 * FIXED_POINT), (2, 1, 20 * FIXED_POINT), (3, 0, 40 * FIXED_POINT)]

    made = neighbours(edges, rows)

    assert made.get_column("user").to_list() == [1, 2, 3]
    assert made.get_column("mean_age").to_list() == [30.0, 25.0, 15.0]
    assert made.get_column("bad_share").to_list() == [0.5, 0.0, 0.5]
    assert made.get_column("bad_touches").to_list() == [1, 0, 1]
    assert made.get_column("other_touches").to_list() == [2, 2, 2]
    assert made.get_column("fewest_others").to_list() == [2, 2, 2]


def test_a_user_alone_has_no_mean_and_a_missing_value_counts_for_nothing():
    edges = [(1, 0, 5), (2, 1, 6), (3, 1, 7)]
    rows = [(1, 0, 7), (2, 0, None), (3, 0, 9 * FIXED_POINT)]

    made = neighbours(edges, rows)

    assert made.get_column("mean_age").to_list() == [None, 9.0, None]
    assert made.get_column("bad_share").to_list() == [None, 0.0, 0.0]
    assert made.get_column("fewest_others").to_list() == [None, 1, 1]


def test_edges_outside_the_span_change_nothing():
    edges, rows = [(1, 0, 10), (2, 0, 19)], [(1, 0, 1), (2, 0, 2), (3, 1, 3)]
    outside = [(3, 0, 9), (3, 0, 20), (1, 5, 20)]

    assert neighbours(edges + outside, rows, (10, 20)).equals(neighbours(edges, rows, (10, 20)))


def side(ends, others, time, num_rows) -> Adjacency:
    order = np.lexsort((others, time, ends))
    indptr = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(ends, minlength=num_rows), out=indptr[1:])
    ones = np.ones(len(ends), dtype=np.int32)
    return Adjacency(indptr, others[order].astype(np.int32), time[order], ones)


@pytest.mark.parametrize("seed", range(4))
def test_the_joins_agree_with_propagation_over_the_mapped_graph(seed):
    draw = np.random.default_rng(seed)
    users, objects, edges = 50, 30, 400
    user, thing = draw.integers(0, users, edges), draw.integers(0, objects, edges)
    time = draw.integers(0, 100, edges)
    values = np.where(draw.random(users) < 0.2, np.nan, draw.normal(3, 50, users))
    bad = draw.random(users) < 0.3
    rows = NeighbourRows(
        node=np.arange(users),
        anchor_us=np.full(users, 90),
        values=values[:, None],
        bad_since_us=np.where(bad, 5, NEVER),
    )
    adjacencies = (side(user, thing, time, users), side(thing, user, time, objects))
    expected = neighbour_means(*adjacencies, rows, 60)
    fixed = [None if np.isnan(v) else round(v * FIXED_POINT) for v in values.tolist()]

    made = neighbours(
        list(zip(user.tolist(), thing.tolist(), time.tolist(), strict=True)),
        list(zip(range(users), bad.astype(int).tolist(), fixed, strict=True)),
        (30, 90),
    )

    place = made.get_column("user").to_numpy()
    assert len(place) > 40
    for name, wanted in (
        ("mean_age", expected.means[:, 0]),
        ("bad_share", expected.bad_share),
        ("bad_touches", expected.bad_touches),
        ("other_touches", expected.other_touches),
        ("fewest_others", expected.fewest_others),
    ):
        found = made.get_column(name).cast(pl.Float64).fill_null(np.nan).to_numpy()
        np.testing.assert_allclose(found, wanted[place], rtol=2e-5, atol=1e-5, err_msg=name)
