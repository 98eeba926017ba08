"""Every number of a ring follows from its acts, and a number that does not is told."""

import shutil

import polars as pl
import pytest

from graphguard.checks.evidence import check_evidence
from graphguard.checks.leakage import CheckFailed
from graphguard.schema import TABLES
from graphguard.tables.files import read_parquet, write_parquet
from graphguard.tables.workspace import Workspace


@pytest.fixture(scope="module")
def copied(night, tmp_path_factory):
    """A workspace whose ring tables may be spoilt: config and a function that opens the run."""
    config, run = night
    folder = tmp_path_factory.mktemp("spoilt") / "workspace"
    shutil.copytree(run.workspace.root, folder)
    return config, Workspace(folder).run(run.run_id)


@pytest.fixture
def spoil(copied):
    """Change a table of the copy for one test."""
    config, run = copied
    kept = {}

    def change(name, how):
        path = run.file("find_rings", f"{name}.parquet")
        kept[path] = path.read_bytes()
        path.chmod(0o644)
        table = how(read_parquet(path))
        path.unlink()
        write_parquet(path, table, TABLES[name])
        return config, run

    yield change
    for path, content in kept.items():
        path.unlink()
        path.write_bytes(content)


def test_links_members_and_rings_follow_from_the_acts_shown(night):
    proof = check_evidence(*night)

    assert proof.rings > 0
    assert proof.links > 20
    assert proof.acts > 50
    assert proof.sets > 5
    assert proof.by_sets > 20


SIDES, NO_SIDES = r'"sides": \[[0-9, ]+\]', '"sides": [7, 7]'


def first(column, value):
    """Set the first row's value."""
    row = pl.int_range(pl.len()) == 0
    return lambda table: table.with_columns(
        pl.when(row).then(value).otherwise(column).alias(column)
    )


def plain(column, value):
    """Set the value of the first link in time: of sets less is tested anew."""
    timed = pl.col("chances").is_not_null()
    row = timed & (timed.cum_sum() == 1)
    return lambda table: table.with_columns(
        pl.when(row).then(value).otherwise(column).alias(column)
    )


def sides(sets):
    """Change what was beside the first burst."""
    once = pl.col("test") == "once"
    once &= once.cum_sum() == 1
    without = pl.col("terms").str.replace(SIDES, NO_SIDES)
    return sets.with_columns(pl.when(once).then(without).otherwise("terms").alias("terms"))


def chances(new):
    """Change the chances of links in time; the others have none."""
    timed = pl.col("chances").is_not_null()
    return lambda table: table.with_columns(
        pl.when(timed).then(new).otherwise("chances").alias("chances")
    )


@pytest.mark.parametrize(
    ("table", "how", "told"),
    [
        ("ring_evidence", chances(pl.col("chances") / 2), "by_chance is"),
        ("ring_evidence", chances(pl.col("chances").list.slice(1)), "together is"),
        ("ring_evidence", chances(None), "log10_p is"),
        ("ring_evidence", plain("weight", pl.col("weight") + 1), "weight is"),
        ("ring_evidence", plain("log10_q", pl.col("log10_q") - 1), "log10_q is"),
        ("ring_evidence", first("bits", pl.col("bits") + 1), "bits is"),
        ("ring_sets", first("log10_q", pl.col("log10_q") - 1), "log10_q is"),
        ("ring_sets", first("users", pl.col("users") + 1), "log10_p is"),
        ("ring_sets", first("keys", pl.col("keys").list.slice(1)), "weight is"),
        ("ring_sets", lambda sets: sets[1:], "is of no set"),
        ("ring_sets", sides, "in the log"),
        ("ring_members", first("degree", pl.col("degree") + 1), "degree is"),
        ("rings", first("evidence_bits", pl.col("evidence_bits") * 2), "evidence_bits is"),
        ("rings", first("log10_p", pl.col("log10_p") - 1), "log10_p is"),
        ("ring_acts", first("time_us", pl.col("time_us") + 1), "holds no event of"),
        ("ring_acts", first("event_id", pl.lit("likes:0123456789abcdef")), "named after another"),
        ("ring_acts", lambda acts: acts[acts.height // 2 :], "recomputed"),
    ],
)
def test_a_number_that_does_not_follow_is_told(spoil, table, how, told):
    with pytest.raises(CheckFailed, match="check evidence failed") as failed:
        check_evidence(*spoil(table, how))

    assert told in str(failed.value)
