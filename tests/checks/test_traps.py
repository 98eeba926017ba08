"""Traps that made others report false results: each is planted here, and a check must find it."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from graphguard.checks.anchors import check_anchors
from graphguard.checks.future import check_future
from graphguard.checks.leakage import CheckFailed
from graphguard.evaluate.echo import label_echoes
from graphguard.features import neighbours
from graphguard.graph.propagate import NeighbourRows
from graphguard.jobs import featurize
from graphguard.jobs.nightly import Night, run_night
from graphguard.models.base import RowsInvalid
from graphguard.tables.anchor_rows import label_rows
from graphguard.tables.files import read_parquet
from graphguard.tables.people import bad_spans

AS_OF = date(2026, 1, 22)
DAY_US = 86_400_000_000


def short_night(config):
    return run_night(Night(config, last="featurize"))


@pytest.fixture
def small(make_config):
    """Few columns and no rings: what is asked is who saw what, not how well."""
    edges = [
        {
            "name": ["user", "uses", "device"],
            "log": "logins",
            "source": "user_id",
            "target": "device_id",
        },
        {
            "name": ["user", "likes", "content"],
            "log": "likes",
            "source": "user_id",
            "target": "content_id",
        },
    ]
    config = make_config(
        long=True,
        features=["activity"],
        graph={"edges": edges, "hubs": {}},
        rings={"traces": [], "shared": []},
    )
    logs = {name: config.logs[name] for name in ("logins", "likes")}
    return config.model_copy(update={"logs": logs})


def test_rows_of_a_past_anchor_are_those_of_a_run_that_ended_there(small):
    proof = check_anchors(small, AS_OF, short_night)

    assert proof.anchor == date(2026, 1, 1)
    assert proof.comparison.rows > 500
    assert "no look ahead" in str(proof)


def plant_labels(monkeypatch, others):
    """A column that says who will be enforced in two weeks, and of a share of others the same."""
    honest = featurize.make_features

    def leaky(job, graph, name, anchor):
        table = honest(job, graph, name, anchor)
        spans = bad_spans(read_parquet(job.run.file("ingest", "labels.parquet")))
        told = label_rows(table, spans, 14 * DAY_US, 2**62)
        told |= np.random.default_rng(0).random(len(told)) < others
        return table.with_columns(pl.Series("all.active_days", told.astype(np.float32)))

    monkeypatch.setattr(featurize, "make_features", leaky)


def test_a_feature_made_from_labels_is_found(small, monkeypatch):
    plant_labels(monkeypatch, others=0.0)

    with pytest.raises(CheckFailed, match="column 'all.active_days' differs"):
        check_anchors(small, AS_OF, short_night)


def test_a_feature_made_from_labels_is_named_by_the_night(small, monkeypatch):
    plant_labels(monkeypatch, others=0.0)

    run = run_night(Night(small, last="train"))

    (warning,) = run.manifest("train")["warnings"]
    assert "column 'all.active_days' alone ranks the labels at AUROC 1.000 by its value" in warning


def test_an_edge_after_the_cutoff_is_found(small, monkeypatch):
    honest = neighbours.neighbour_means

    def leaky(out, into, rows, window_us):
        later = NeighbourRows(rows.node, rows.anchor_us + DAY_US, rows.values, rows.bad_since_us)
        return honest(out, into, later, window_us)

    monkeypatch.setattr(neighbours, "neighbour_means", leaky)

    with pytest.raises(CheckFailed, match=r"features/user/anchor=2026-01-01: column '.*nbr_"):
        check_anchors(small, AS_OF, short_night)


def test_silence_after_a_ban_is_found(small, monkeypatch):
    honest = featurize.make_features

    def leaky(job, graph, name, anchor):
        # What users did in the week after the anchor, told as if it lay before.
        table = honest(job, graph, name, anchor + timedelta(days=7))
        return table.with_columns(pl.col("anchor_us") - 7 * DAY_US)

    monkeypatch.setattr(featurize, "make_features", leaky)

    with pytest.raises(CheckFailed, match="features/user/anchor=2026-01-01"):
        check_anchors(small, AS_OF, short_night)


def train_night(config):
    return run_night(Night(config, last="train"))


def test_futures_dealt_by_lot_are_not_foreseen(small):
    proof = check_future(small, AS_OF, 1, train_night)

    assert proof.positives > 20
    assert abs(proof.auroc["trees"] - 0.5) <= proof.allowed < 0.18
    assert "no foresight" in str(proof)


def test_a_model_that_foresees_dealt_futures_is_found(small, monkeypatch):
    plant_labels(monkeypatch, others=0.3)

    with pytest.raises(CheckFailed, match=r"model 'trees' ranks futures .* at AUROC 0\.[7-9]"):
        check_future(small, AS_OF, 1, train_night)


def test_rows_of_users_banned_before_their_anchor_never_train(small, monkeypatch):
    monkeypatch.setattr(
        featurize, "held_bad", lambda rows, spans: np.zeros(rows.height, dtype=np.bool_)
    )

    with pytest.raises(RowsInvalid, match=r"rows are of users enforced before their anchor"):
        run_night(Night(small, last="train"))


def test_a_column_that_repeats_the_label_is_named_and_a_good_one_is_not():
    draw = np.random.default_rng(0)
    label = (np.arange(2000) < 100).astype(int)
    good = label + draw.normal(0, 0.5, 2000)  # AUROC .92
    copied = label + draw.normal(0, 0.1, 2000)
    silent = np.where(label == 1, np.nan, draw.normal(size=2000))
    x = np.stack([good, -copied, silent], axis=1)

    found = label_echoes(x, label, ["good", "copied", "silent"])

    assert [(echo.column, echo.by) for echo in found] == [
        ("copied", "value"),
        ("silent", "missing"),
    ]
    assert "alone ranks the labels at AUROC 1.000 by its absence" in str(found[1])


def test_a_column_with_few_positives_is_not_suspected():
    label = (np.arange(500) < 9).astype(int)

    assert label_echoes(label[:, None].astype(float), label, ["copy"]) == ()
