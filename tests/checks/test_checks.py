"""The checks hold on an honest night, and fail when a leak or a lost row is planted."""

from datetime import date, timedelta

import polars as pl
import pytest

from graphguard.checks.incremental import check_incremental
from graphguard.checks.leakage import CheckFailed, CheckVacuous, check_leakage
from graphguard.checks.mirror import mirror, rewritten
from graphguard.jobs import known_tonight
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables import people
from graphguard.tables.commit import read_manifest
from graphguard.tables.files import read_parquet, write_json

AS_OF = date(2026, 1, 22)


def night(config):
    return run_night(Night(config, run_id=f"{config.as_of}-check"))


def short_night(config):
    return run_night(Night(config, last="ingest", run_id=f"{config.as_of}-check"))


def test_nothing_after_the_cutoff_is_seen(make_config):
    proof = check_leakage(make_config(), AS_OF, night)

    assert proof.later_rows > 1000
    assert proof.comparison.tables > 200
    assert proof.comparison.files > 5
    assert "no leak" in str(proof)


def test_a_planted_leak_of_labels_is_found(make_config, monkeypatch):
    def leaky(config, as_of):
        return people.label_rows(config, as_of + timedelta(days=4))

    monkeypatch.setattr(known_tonight, "label_rows", leaky)

    with pytest.raises(CheckFailed, match=r"labels\.parquet"):
        check_leakage(make_config(), AS_OF, short_night)


def test_a_cutoff_after_the_last_row_makes_the_check_vacuous(make_config):
    with pytest.raises(CheckVacuous, match="is vacuous: 0 of"):
        check_leakage(make_config(), date(2026, 2, 5), night)


def test_nights_one_by_one_equal_one_rebuild(make_config):
    proof = check_incremental(make_config(), AS_OF, 3, lambda one: run_night(Night(one)))

    assert proof.nights == 3
    assert proof.comparison.rows > 50_000


@pytest.mark.slow
def test_seven_nights_equal_one_rebuild_with_both_models(make_config):
    models = {"models": ["trees", "sage"], "sage": {"epochs": 2, "fanouts": [4, 2], "hidden": 16}}

    proof = check_incremental(
        make_config(training=models), AS_OF, 7, lambda one: run_night(Night(one))
    )

    assert proof.nights == 7


def test_a_lost_row_is_found(make_config):
    config = make_config()

    def careless(one):
        run = run_night(Night(one, last="build_graph"))
        if "nightly" in str(one.workspace) and one.as_of == AS_OF - timedelta(days=1):
            for folder in run.partitions("build_graph", "edges/user__likes__content").values():
                path = folder / "edges.parquet"
                rows = read_parquet(path)
                manifest = read_manifest(folder)
                if manifest["rows"] > 1:
                    rows.head(rows.height - 1).write_parquet(path)
                    write_json(folder / "manifest.json", {**manifest, "rows": rows.height - 1})
                    break
        return run

    with pytest.raises(CheckFailed, match="edges/user__likes__content"):
        check_incremental(config, AS_OF, 2, careless)


def test_a_rewrite_touches_only_rows_from_the_cutoff_on(make_config, tmp_path):
    config = make_config()
    found = mirror(config, AS_OF, tmp_path / "mirror", rewritten)
    path = tmp_path / "mirror" / "inputs" / "labels" / "all" / "00000.parquet"
    before = pl.read_parquet(config.labels.path)
    after = pl.read_parquet(path)
    cut = pl.col("decided_at") < pl.lit(AS_OF).cast(before.schema["decided_at"])

    assert found.later_rows > 1000
    assert after.filter(cut).equals(before.filter(cut))
    assert not after.filter(~cut).equals(before.filter(~cut))
