"""A night's graph is carried on from the night before's, where that gives what all days give."""

import shutil
from datetime import UTC, datetime

import polars as pl

from graphguard.erase.erase import Request, erase
from graphguard.jobs.context import Silent
from graphguard.jobs.erase import ReportRedrawer
from graphguard.jobs.nightly import Night, run_night


class Notes(Silent):
    """Keeps what a night says."""

    def __init__(self):
        self.texts = []

    def note(self, text, **facts):
        self.texts.append(text)

    def said(self, words):
        return [text for text in self.texts if words in text]


def night(config, **changes):
    notes = Notes()
    return run_night(Night(config, last="build_graph", reporter=notes, **changes)), notes


def graph_of(run):
    folder = run.stage("build_graph") / "graph"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def from_all_days(run, config, monkeypatch):
    """The same run's graph when there is no earlier one."""
    shutil.rmtree(run.stage("build_graph"))
    with monkeypatch.context() as patch:
        patch.setattr("graphguard.jobs.build_graph.find_earlier", lambda *_: None)
        again, notes = night(config)
    assert again.run_id == run.run_id
    assert not notes.said("graph of run")
    return graph_of(again)


def test_a_night_carries_on_the_graph_of_the_night_before(make_config, monkeypatch):
    first, notes = night(make_config(as_of="2026-01-22"))
    assert not notes.said("graph of run")
    config = make_config(as_of="2026-01-23")

    second, notes = night(config)

    [text] = notes.said("graph of run")
    assert first.run_id in text
    made = graph_of(second)
    assert made == from_all_days(second, config, monkeypatch)
    assert made != graph_of(first)


def test_nights_that_were_missed_come_together(make_config, monkeypatch):
    first, _ = night(make_config(as_of="2026-01-18"))
    config = make_config(as_of="2026-01-25")

    second, notes = night(config)

    assert notes.said(first.run_id)
    assert graph_of(second) == from_all_days(second, config, monkeypatch)


def test_a_late_row_brings_its_day_anew_and_all_behind_it(
    world, make_config, tmp_path, monkeypatch
):
    logs = tmp_path / "likes"
    shutil.copytree(world / "logs" / "likes", logs)

    def config(as_of):
        made = make_config(as_of=as_of)
        settings = {"path": str(logs / "dt={date}" / "*.parquet"), "time": "ts"}
        likes = made.logs["likes"].model_copy(update=settings)
        return made.model_copy(update={"logs": {**made.logs, "likes": likes}})

    first, _ = night(config("2026-01-21"))
    newest = logs / "dt=2026-01-21" / "part-0.parquet"
    frame = pl.read_parquet(newest)
    moment = pl.lit(datetime(2026, 1, 19, 12, tzinfo=UTC)).cast(frame.schema["ts"]).alias("ts")
    pl.concat([frame, frame.head(1).with_columns(moment)]).write_parquet(newest)

    second, notes = night(config("2026-01-22"))

    before, after = (
        run.partitions("build_graph", "edges/user__likes__content") for run in (first, second)
    )
    changed = {day for day, folder in after.items() if before.get(day, folder) != folder}
    assert "dt=2026-01-19" in changed
    assert notes.said(first.run_id)
    assert graph_of(second) == from_all_days(second, config("2026-01-22"), monkeypatch)


def test_a_damaged_graph_is_not_carried_on(make_config, monkeypatch):
    first, _ = night(make_config(as_of="2026-01-22"))
    name = "csc_neighbor.npy"
    path = first.stage("build_graph") / "graph/edges/user__likes__content" / name
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    config = make_config(as_of="2026-01-23")

    second, notes = night(config)

    assert not notes.said(", less")
    [text] = notes.said("is not carried on")
    assert name in text
    assert graph_of(second) == from_all_days(second, config, monkeypatch)


def test_what_a_night_does_not_need_cannot_end_it(make_config):
    # The window's first day moves, so that days leave; one of them is damaged, and nothing but
    # carrying on reads it. And a run of which the manifest is lost is passed over.
    first, _ = night(make_config(as_of="2026-01-28"))
    oldest = min(first.partitions("build_graph", "edges/user__likes__content").items())[1]
    (oldest / "edges.parquet").unlink()

    second, notes = night(make_config(as_of="2026-01-29"))

    [text] = notes.said("is not carried on")
    assert oldest.name in text
    (second.stage("build_graph") / "manifest.json").write_text("")
    third, notes = night(make_config(as_of="2026-01-29"), run_id="again")
    [text] = notes.said("is passed over")
    assert second.run_id in text
    assert third.has("build_graph")


def test_the_nearest_of_several_runs_is_carried_on_whatever_their_names(make_config):
    config = make_config(as_of="2026-01-22")
    first, _ = night(config, run_id="prod-22")
    fewer = config.graph.model_copy(update={"edges": config.graph.edges[:-1]})
    other = make_config(as_of="2026-01-23").model_copy(update={"graph": fewer})
    _, notes = night(other, run_id="fewer-edge-types")
    assert not notes.said("the graph of run")

    _, notes = night(make_config(as_of="2026-01-23"), run_id="prod-23")

    [text] = notes.said("the graph of run")
    assert first.run_id in text


def test_a_graph_with_other_caps_or_seed_is_not_carried_on(make_config):
    night(make_config(as_of="2026-01-22"))
    _, notes = night(make_config(as_of="2026-01-23", graph={"hubs": {"device": 2}}))
    assert not notes.said("graph of run")
    _, notes = night(make_config(as_of="2026-01-24", training={"seed": 5}))
    assert not notes.said("graph of run")


def test_a_graph_from_which_somebody_was_erased_is_not_carried_on(make_config):
    config = make_config(as_of="2026-01-22")
    first, _ = night(config)
    user = first.workspace.ids("user").frame.get_column("key").min()
    erase(config, Request("user", frozenset({user})), ReportRedrawer(config), lambda *_: None)
    assert first.manifest("build_graph")["erasures"]

    second, notes = night(make_config(as_of="2026-01-23"))

    assert not notes.said("graph of run")
    keys = pl.read_ipc(second.stage("build_graph") / "graph/nodes/user/keys.arrow")["key"]
    assert user not in set(keys)
    assert len(keys) > 100
