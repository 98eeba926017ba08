import polars as pl

from graphguard.tables.anchor_rows import calendar_rows, event_rows, held_bad, label_rows
from graphguard.tables.people import bad_spans

FOREVER = 2**62


def labels(*rows: tuple[int, int, bool]) -> pl.DataFrame:
    return pl.DataFrame(
        [(entity, time, bad, "", True) for entity, time, bad in rows],
        schema=["entity", "known_at_us", "bad", "source", "trains"],
        orient="row",
    )


def test_a_calendar_row_needs_an_act_inside_the_window():
    # window [10, 20):   user 1 @9 no · 2 @10 yes · 3 @19 yes · 4 @20 no
    acts = pl.DataFrame({"entity": [1, 2, 3, 3, 4], "time_us": [9, 10, 19, 12, 20]})

    assert calendar_rows(acts, 20, 10).rows() == [(2, 20), (3, 20)]


def test_an_event_row_is_cut_right_after_the_kth_event():
    acts = pl.LazyFrame({"entity": [1, 1, 1, 2, 2, 1], "time_us": [5, 3, 9, 1, 2, 7]})

    assert event_rows(acts, 3).rows() == [(1, 8)]


def test_a_clearing_ends_a_span_and_a_repeat_does_not_begin_one():
    # 1: bad@5, bad@6, cleared@8, bad@9      2: cleared@1      3: bad@4
    table = labels(
        (1, 5, True), (1, 6, True), (1, 8, False), (1, 9, True), (2, 1, False), (3, 4, True)
    )

    assert bad_spans(table).rows() == [(1, 5, 8), (1, 9, FOREVER), (3, 4, FOREVER)]


def test_a_user_is_held_bad_from_after_the_decision_until_it_is_cleared():
    spans = bad_spans(labels((1, 5, True), (1, 8, False)))
    rows = pl.DataFrame({"entity": [1] * 5, "anchor_us": [5, 6, 8, 9, 4]})

    assert held_bad(rows, spans).tolist() == [False, True, True, False, False]


def test_a_row_is_positive_if_enforced_within_the_horizon_and_not_cleared_by_the_cutoff():
    # horizon 10: [anchor, anchor + 10)     user 2 is cleared before the cutoff 100
    spans = bad_spans(labels((1, 20, True), (2, 20, True), (2, 50, False)))
    rows = pl.DataFrame({"entity": [1, 1, 1, 1, 2], "anchor_us": [10, 11, 20, 21, 15]})

    assert label_rows(rows, spans, 10, 100).tolist() == [False, True, True, False, False]


def test_users_with_fewer_events_have_a_row_at_their_last_where_it_is_asked_for():
    acts = pl.LazyFrame({"entity": [1, 1, 1, 2], "time_us": [30, 10, 20, 50]})

    assert event_rows(acts, 2).rows() == [(1, 21)]
    assert event_rows(acts, 2, fewer=True).rows() == [(1, 21), (2, 51)]
