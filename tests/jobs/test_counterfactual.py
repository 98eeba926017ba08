"""Scores without evidence: the same night's features and model, once more."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import yaml
from scipy.special import logit
from typer.testing import CliRunner

from graphguard.config.load import load_config
from graphguard.config.values import day_us
from graphguard.errors import UnknownEntity
from graphguard.evaluate.deletion import deletion_test
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.cli import app
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.counterfactual import Recount, pieces_of, strongest
from graphguard.jobs.evidence import read_evidence
from graphguard.jobs.featurize import make_features
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.train import graph_context, load_dataset
from graphguard.jobs.what_if import NotScored
from graphguard.scores.evidence import others_like
from graphguard.scores.removal import REMOVED
from graphguard.tables.events import read_features
from graphguard.tables.files import read_parquet


def call(*words):
    ended = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended.stdout


def recount_of(config, run):
    job = Job(config, config.as_of, run, None, Silent())
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    return Recount(job, graph_context(job, graph, load_dataset(job, graph)))


@pytest.fixture(scope="module")
def recount(night):
    return recount_of(*night)


@pytest.fixture(scope="module")
def risk(night):
    _, run = night
    return read_parquet(run.file("embed", "predictions.parquet")).select("key", "risk_score")


def shared_device(recount):
    """A user of several devices and one of them that others use too, as keys and as acts."""
    uses = recount.touches(pl.DataFrame({"type": ["device"]}))
    busy = uses.filter(pl.len().over("object") > 1, pl.len().over("entity") > 1)
    acts = busy.sort("entity", "object").head(1)
    ids = recount.job.workspace.ids
    user = ids("user").decode(acts, "entity", "key").item(0, "key")
    return user, ids("device").decode(acts, "object", "key").item(0, "key"), acts


def test_leaving_out_nothing_leaves_every_score_as_it_is(recount, risk):
    after = recount.risk_without(pl.DataFrame(schema=REMOVED), risk.get_column("key"))

    both = risk.join(after, on="key", validate="1:1")
    assert both.height == risk.height > 500
    assert np.abs(both["risk_score"] - both["after"]).max() < 1e-9


def test_features_without_a_device_are_those_of_logs_without_it(night, recount, world, tmp_path):
    config, run = night
    user, device, acts = shared_device(recount)
    other = tmp_path / "world"
    shutil.copytree(world, other)
    since = day_us(config.as_of) - config.graph.window.us
    for path in sorted((other / "logs" / "logins").rglob("*.parquet")):
        frame = pl.read_parquet(path)
        gone = (pl.col("user_id") == user) & (pl.col("device_id") == device)
        seen = pl.col("ts").dt.timestamp("us") >= since
        frame.filter(~(gone & seen)).write_parquet(path)
    raw = yaml.safe_load((config.root / "config.yaml").read_text().replace(str(world), str(other)))
    raw["workspace"] = str(tmp_path / "workspace")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    anew = run_night(Night(load_config(tmp_path / "config.yaml"), last="featurize"))

    wanted = read_features(anew, "user").filter(pl.col("key") == user)
    wanted = wanted.sort("anchor_us").tail(1)
    made = make_features(
        recount.job, recount.graph, recount.name, recount.anchor, recount.removal(acts)
    ).filter(pl.col("key") == user)
    stored = read_features(run, "user").filter(pl.col("key") == user).sort("anchor_us").tail(1)
    columns = [name for name in made.columns if name not in ("entity", "key", "anchor_us")]
    moved = [name for name in columns if not made[name].equals(stored[name])]
    differ = [name for name in columns if not made[name].equals(wanted[name])]

    assert "uses:device.num_objects" in moved
    assert len(moved) > 50
    # How unlikely the links of others are depends, by a little, on how busy everybody is.
    assert all(name.endswith("_link_evidence") for name in differ)
    assert made.select(differ).row(0) == pytest.approx(wanted.select(differ).row(0), rel=0.1)


def test_what_is_named_moves_scores_more_than_as_much_by_lot(recount, risk):
    # Whoever is nearly certain to be enforced is asked about; trees and features are the night's.
    top = risk.sort("risk_score", "key", descending=[True, False]).head(300)
    evidence = read_evidence(recount.job, recount.graph)
    pieces = pieces_of(evidence, top.get_column("key"))
    acts = recount.acts_of(pieces, evidence.rings)
    named = strongest(recount.without_each(pieces, acts))
    taken = acts.join(named, on=["key", "rank"], how="semi")
    drawn = others_like(
        taken.select(list(REMOVED)), recount.touches(taken.select("entity")), seed=1
    )
    lot = recount.risk_without(drawn, named.get_column("key")).rename({"after": "by_lot"})
    asked = taken.join(drawn, on="entity", how="semi").select("key").unique()
    both = named.join(asked, on="key").join(top, on="key").join(lot, on="key")

    before, without, by_lot = (
        logit(both[name].to_numpy()) for name in ("risk_score", "after", "by_lot")
    )
    assert both.height >= 30
    assert deletion_test(before, without, by_lot).passed
    assert not deletion_test(before, by_lot, without).passed


def test_the_reasons_of_a_night_hold_what_the_risk_would_be(night):
    _, run = night
    reasons = read_parquet(run.file("score", "scores.parquet")).select("entity_id", "reasons")
    told = [
        (key, one["text"])
        for key, text in reasons.iter_rows()
        for one in json.loads(text)
        if one["code"] == "counterfactual"
    ]

    assert len(told) > 5
    for _, text in told:
        before, after = map(float, text.rsplit(": ", 1)[1].split(" → "))
        assert 0 <= after <= before


def test_an_investigator_asks_what_if(night, recount, risk):
    config, _ = night
    path = config.root / "config.yaml"
    user, device, acts = shared_device(recount)
    named = f"device:{device}"

    found = json.loads(
        call("counterfactual", f"user:{user}", "--config", path, "--without", named, "--json")
    )
    after = recount.risk_without(acts, pl.Series("key", [user])).item(0, "after")
    assert found["risk_score"] == risk.filter(pl.col("key") == user).item(0, "risk_score")
    assert found["without"] == [{"words": named, "objects": 1, "after": pytest.approx(after)}]
    every = call(
        "counterfactual",
        user,
        "--run",
        config.workspace_folder,
        "--config",
        path,
        "--without",
        "device",
    )
    assert "device" in every
    suspect = risk.sort("risk_score", descending=True).item(0, "key")
    assert suspect in call("counterfactual", suspect, "--config", path)


def test_users_and_objects_that_are_not_there_are_named(night, recount):
    config, run = night
    path = config.root / "config.yaml"
    user, device, _ = shared_device(recount)
    scored = read_parquet(run.file("embed", "predictions.parquet")).get_column("key")
    silent = next(key for key in recount.graph.keys("user") if key not in set(scored))

    def ask(*words):
        call("counterfactual", *words, "--config", path)

    with pytest.raises(UnknownEntity, match="no user 'nobody' in this run"):
        ask("user:nobody")
    with pytest.raises(UnknownEntity, match=f"'{device}x' .* mean '{device}'"):
        ask(user, "--without", f"device:{device}x")
    with pytest.raises(UnknownEntity, match="objects 'devices' .* mean 'device'"):
        ask(user, "--without", "devices:d1")
    with pytest.raises(NotScored, match=f"user '{silent}' has no score in this run"):
        ask(silent)
