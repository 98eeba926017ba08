"""Files that come twice, in any order, or overlap: the edges are those of one clean delivery.

What can be told apart from two real events: a repeated `key` in overlapping files of a day, and the
same bytes under another name in any log. Rows alike in different files of a log without a key
count.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import pyarrow as pa
import pytest
from hostile_platform import FIRST, Platform, ingested, us
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.tables.files import read_parquet

DAYS = [FIRST, FIRST + timedelta(days=1)]
AS_OF = DAYS[-1] + timedelta(days=1)
ROWS = 12
"""Events a day and log."""


@dataclass(frozen=True)
class Batch:
    """A file: which events of a day it holds, in which order, and under which names it comes."""

    rows: tuple[int, ...]
    names: tuple[str, ...]


def shop(root):
    """Payments with a key and likes without, both in daily files."""
    platform = Platform(root)
    likes = platform.raw["logs"]["likes"]
    platform.raw["logs"]["payments"] = {
        "path": "logs/payments/dt={date}/*.parquet",
        "time": "ts",
        "key": "payment_id",
        "numeric": ["amount"],
    }
    likes["numeric"] = ["amount"]
    # Repeats are rejected rows: whose batches overlap by design has to allow for them.
    platform.raw["limits"] = {"max_reject_ratio": 1}
    (edge,) = platform.raw["graph"]["edges"]
    pays = {**edge, "name": ["user", "pays", "content"], "log": "payments"}
    platform.raw["graph"]["edges"] = [edge, pays]
    platform.write("labels.parquet", user_id=["u0"], is_abusive=[True], decided_at=[us(FIRST)])
    return platform


def events(log, day, rows):
    # Each like is there as two rows that are alike in all columns, as two real events may be.
    alike = [row for row in rows for _ in range(2 if log == "likes" else 1)]
    return pa.table(
        {
            "payment_id": [f"{day}-{row}" for row in alike],
            "user_id": [f"u{row % 5}" for row in alike],
            "content_id": [f"c{row % 4}" for row in alike],
            "ts": pa.array([us(day, row) for row in alike], pa.timestamp("us", tz="UTC")),
            "amount": [row / 8 for row in alike],
        }
    )


def deliver(platform, log, day, batches):
    for batch in batches:
        for name in batch.names:
            table = events(log, day, batch.rows)
            platform.put(f"logs/{log}/dt={day}/{name}.parquet", table)


def edges(run):
    """Hash of each decoded edge table, and its number of rows."""
    found = {}
    for edge in ("likes", "pays"):
        folders = run.partitions("build_graph", f"edges/user__{edge}__content").values()
        frame = pl.concat([read_parquet(folder / "edges.parquet") for folder in folders])
        for column, kind in (("source", "user"), ("target", "content")):
            frame = run.workspace.ids(kind).decode(frame, column, f"{column}_key")
        frame = frame.drop("source", "target").sort("day", "source_key", "target_key")
        found[edge] = (frame.height, hashlib.sha256(frame.write_csv().encode()).hexdigest())
    return found


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """The edges of a delivery in which each event comes once."""
    platform = shop(tmp_path_factory.mktemp("clean"))
    for day in DAYS:
        for log in ("likes", "payments"):
            deliver(platform, log, day, [Batch(tuple(range(ROWS)), ("part-0",))])
    return edges(platform.night("build_graph", as_of=AS_OF))


names = st.text("abcdef0123456789", min_size=1, max_size=4)


@st.composite
def deliveries(draw, overlapping):
    """Batches that hold every event of a day, each delivered one to five times, shuffled."""
    order = draw(st.permutations(range(ROWS)))
    cuts = sorted(draw(st.sets(st.integers(1, ROWS - 1), max_size=3)))
    parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, ROWS], strict=True)]
    if overlapping:
        more = st.lists(st.integers(0, ROWS - 1), min_size=1, unique=True)
        parts += draw(st.lists(more, max_size=3))
    batches = []
    for number, part in enumerate(parts):
        times = draw(st.integers(1, 5))
        # Names decide the order in which files are read.
        prefix = draw(names)
        batches.append(Batch(tuple(part), tuple(f"{prefix}-{number}-{n}" for n in range(times))))
    return batches


@pytest.mark.parametrize("examples", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_any_delivery_of_the_same_events_makes_the_same_edges(examples, clean, tmp_path_factory):
    @settings(max_examples=examples, database=None, derandomize=True)
    @given(
        likes=st.tuples(deliveries(overlapping=False), deliveries(overlapping=False)),
        payments=st.tuples(deliveries(overlapping=True), deliveries(overlapping=True)),
        night_by_night=st.booleans(),
    )
    def check(likes, payments, night_by_night):
        platform = shop(tmp_path_factory.mktemp("shop"))
        for day, liked, paid in zip(DAYS, likes, payments, strict=True):
            deliver(platform, "likes", day, liked)
            deliver(platform, "payments", day, paid)
            if night_by_night:
                run = platform.night("build_graph", as_of=day + timedelta(days=1))
        if not night_by_night:
            run = platform.night("build_graph", as_of=AS_OF)

        assert edges(run) == clean
        every = [batch for batches in (*likes, *payments) for batch in batches]
        extra = sum(len(batch.names) - 1 for batch in every)
        states = ingested(run, "deliveries").get_column("state")
        assert (states == "repeated").sum() >= extra
        assert (states == "quarantined").sum() == 0
        rejects = ingested(run, "rejects")
        assert rejects.get_column("reason").unique().to_list() in ([], ["repeated key"])

    check()


def test_a_delivery_that_grows_during_the_day_ends_as_the_whole_one(clean, tmp_path):
    """Micro-batches come one by one, each night reading what is there by then."""
    platform = shop(tmp_path)
    for day in DAYS:
        deliver(platform, "likes", day, [Batch(tuple(range(ROWS)), ("part-0",))])
    deliver(platform, "payments", DAYS[0], [Batch(tuple(range(ROWS)), ("part-0",))])
    for step, last in enumerate((4, 8, 12)):
        # Each batch holds what the one before held, and more.
        rows = Batch(tuple(range(max(0, last - 6), last)), (f"batch-{2 - step}",))
        deliver(platform, "payments", DAYS[1], [rows])
        run = platform.night("build_graph", as_of=AS_OF)

    assert edges(run) == clean
