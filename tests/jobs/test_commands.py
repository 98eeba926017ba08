"""First steps and look-ups, as a new user types them."""

import json

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

import graphguard
from graphguard.checks.plan import DoesNotFit, plan
from graphguard.config.load import load_config
from graphguard.config.values import day_us
from graphguard.errors import (
    BadSetting,
    ConfigError,
    FileBeyondLimit,
    InputMissing,
    NoRun,
    NotAsked,
    UnknownEntity,
    UnknownRun,
)
from graphguard.jobs.cli import app
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.nightly import _run_id as run_name
from graphguard.tables.files import read_json
from graphguard.tables.workspace import Workspace

USES = ("user", "uses", "device")


def call(*words):
    ended = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended.stdout


@pytest.fixture(scope="module")
def config_path(night):
    config, _ = night
    return config.root / "config.yaml"


def test_a_proposed_config_is_sound_and_runs(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logs = [f"{name}={world}/logs/{name}" for name in ("logins", "posts", "likes", "follows")]
    out = tmp_path / "graphguard.yaml"

    told = call("init", *logs, "--labels", world / "labels" / "decisions.parquet", "--out", out)
    assert "graphguard validate" in told
    assert "the config is sound" in call("validate", out, "--as-of", "2026-01-22")
    config = load_config(out, as_of="2026-01-22")
    assert config.rings.shared == ("address", "device")
    assert [edge.name[1] for edge in config.graph.edges].count("likes") == 1
    near = [(trace.log, trace.object) for trace in config.rings.traces if trace.near == "text"]
    assert near == [("posts", "caption")]
    raw = yaml.safe_load(out.read_text()) | {"graph": {}}
    raw["graph"] = yaml.safe_load(out.read_text())["graph"] | {"window": "14d"}
    raw["training"] = {"anchors": 4}
    out.write_text(yaml.safe_dump(raw))
    run = run_night(Night(load_config(out, as_of="2026-01-22"), last="build_graph"))
    assert run.has("build_graph")


def test_init_overwrites_nothing_unasked(world, tmp_path):
    out = tmp_path / "c.yaml"
    out.write_text("mine")

    with pytest.raises(ConfigError, match="exists; pass --force"):
        call("init", f"likes={world}/logs/likes", "--out", out)
    with pytest.raises(BadSetting, match="must be NAME=PATH, got 'likes'"):
        call("init", "likes", "--out", tmp_path / "d.yaml")
    assert out.read_text() == "mine"


def test_a_world_is_not_written_into_another(tmp_path):
    small = ("world", "--out", tmp_path, "--users", 500, "--days")
    told = call(*small, 7)

    with pytest.raises(BadSetting, match="holds a world of 500 users, 7 days and seed 7; remove"):
        call(*small, 8)
    assert call(*small, 7) == told


def test_runs_are_listed_and_compared(night, config_path):
    config, run = night
    rows = json.loads(call("runs", "list", "--config", config_path, "--json"))

    assert [row["run_id"] for row in rows] == [run.run_id]
    assert rows[0]["state"] == "committed"
    assert (
        json.loads(call("runs", "diff", run.run_id, run.run_id, "--config", config_path, "--json"))
        == []
    )
    with pytest.raises(UnknownRun, match=r"no run 'nowhere' \(it holds 1\)\. See .*runs list"):
        call("runs", "diff", run.run_id, "nowhere", "--config", config_path)
    assert call("runs", "report", "--config", config_path).strip().endswith("report.html")


def test_expand_and_explain_speak_json(night, config_path):
    config, run = night
    user = graphguard.open_run(config.workspace_folder).members().get_column("key")[0]

    near = json.loads(call("expand", f"user:{user}", "--config", config_path, "--json"))
    known = json.loads(call("explain", f"user:{user}", "--run", config.workspace_folder, "--json"))

    assert near["seeds"] == [f"user:{user}"]
    assert near["users"][0]["evidence"]
    assert known["ring"]["ring_id"]
    assert user in call("expand", f"user:{user}", "--config", config_path)
    assert "member of ring" in call("explain", f"user:{user}", "--config", config_path)


def test_a_user_or_run_that_is_not_there_is_named(night, config_path, tmp_path):
    with pytest.raises(UnknownEntity, match="no user 'nobody' in this run"):
        call("explain", "user:nobody", "--config", config_path)
    with pytest.raises(
        UnknownEntity, match=f"Run {night[1].run_id} holds .* up to 2026-01-22: look"
    ):
        call("expand", "nobody", "--config", config_path)
    with pytest.raises(UnknownEntity, match=r"no node type 'usr' .* Did you mean 'user'\?"):
        call("explain", "usr:nobody", "--config", config_path)
    with pytest.raises(NoRun, match="no run and no workspace"):
        call("explain", "user:nobody", "--run", tmp_path)


@pytest.mark.parametrize("command", ["explain", "expand", "counterfactual"])
def test_who_asks_about_a_device_is_told_that_users_are_asked_about(night, config_path, command):
    config, _ = night
    graph = graphguard.open_run(config.workspace_folder).graph()
    device = next(iter(graph.keys("device")))

    with pytest.raises(NotAsked, match=r"is of type 'device', .* name one as 'user:ID'"):
        call(command, f"device:{device}", "--config", config_path)


def test_settings_print_the_reference():
    assert "| `rings.min_members` |" in call("settings")


def test_a_plan_reads_footers_only_and_refuses_what_does_not_fit(make_config, world):
    found = plan(make_config())
    likes = next(one for one in found.logs if one.name == "likes")
    files = sorted((world / "logs" / "likes").rglob("*.parquet"))
    # as_of 2026-01-22, three anchors 7 days apart, window 7 days: back to 2025-12-25
    wanted = [path for path in files if "dt=2025-12-25" <= path.parent.name < "dt=2026-01-22"]

    assert found.fits
    assert likes.rows == sum(pl.read_parquet(path).height for path in wanted)
    assert sum(first for first, _ in found.seconds.values()) > sum(
        later for _, later in found.seconds.values()
    )
    with pytest.raises(DoesNotFit, match=r"limits\.memory_gb is 0\.1"):
        plan(make_config(limits={"memory_gb": 0.1})).require_fit()


def test_a_plan_refuses_a_night_whose_days_are_not_there(make_config):
    with pytest.raises(DoesNotFit, match=r"training needs \d+ days of log before as_of, found"):
        plan(make_config(graph={"window": "90d"})).require_fit()
    with pytest.raises(DoesNotFit, match=r"no log has a day from .* to 2030-01-01: deliver them"):
        plan(make_config(as_of="2030-01-02")).require_fit()


def test_validate_names_a_misspelt_theme_and_a_setting_as_it_is_written(make_config):
    path = make_config(features=["activity", "timming"]).root / "config.yaml"
    with pytest.raises(BadSetting, match=r"unknown theme 'timming' .* Did you mean 'timing'\?"):
        call("validate", path)
    make_config(labels={"path": "nowhere/*.parquet"})
    with pytest.raises(InputMissing, match=r"correct labels\.path"):
        call("validate", path)


def test_a_log_called_as_an_entity_type_makes_another_run_when_its_files_change(
    make_config, world, tmp_path
):
    config = make_config()
    likes = config.logs["likes"].model_copy(update={"path": str(tmp_path / "likes.parquet")})
    called = config.model_copy(update={"logs": {"user": likes}})
    names = []
    for rows in (1, 2):
        pl.DataFrame({"user_id": ["u"] * rows}).write_parquet(tmp_path / "likes.parquet")
        names.append(run_name(Workspace(tmp_path / "w"), called, called.as_of))

    assert names[0] != names[1]


def test_init_makes_the_folder_of_its_file_and_takes_no_name_twice(world, tmp_path):
    likes = f"likes={world}/logs/likes"
    with pytest.raises(BadSetting, match="names 'likes' twice"):
        call("init", likes, likes, "--out", tmp_path / "c.yaml")
    call("init", likes, "--out", tmp_path / "new" / "folder" / "c.yaml")

    assert (tmp_path / "new" / "folder" / "c.yaml").is_file()
    assert not (tmp_path / "c.yaml").exists()


def test_a_small_file_that_declares_far_too_many_rows_is_refused(make_config, tmp_path):
    bomb = tmp_path / "logs" / "dt=2026-01-20"
    bomb.mkdir(parents=True)
    ones = [pl.repeat(1, 3_000_000, dtype=pl.Int64).alias(f"x{n}") for n in range(42)]
    pl.select(ones).write_parquet(bomb / "part.parquet")
    config = make_config(limits={"max_rows_per_file": 1_000_000})
    likes = config.logs["likes"].model_copy(
        update={"path": str(tmp_path / "logs" / "dt={date}" / "*.parquet")}
    )
    spoiled = config.model_copy(update={"logs": {**config.logs, "likes": likes}})

    assert (bomb / "part.parquet").stat().st_size < 5_000_000
    with pytest.raises(FileBeyondLimit, match="3,000,000 rows, at most 1,000,000"):
        plan(spoiled)


def test_propagate_writes_what_lies_around_every_user_of_a_run(night, config_path, tmp_path):
    config, run = night
    out = tmp_path / "around"

    told = call("propagate", "--config", config_path, "--out", out)

    keys = pl.read_parquet(out / "keys.parquet").get_column("key")
    columns = read_json(out / "columns.json")
    assert f"{keys.len()} rows" in told
    path = "user-uses-device-rev_uses-user"
    matrix = np.load(out / f"{path}.npy", mmap_mode="r", allow_pickle=False)
    assert matrix.shape == (keys.len(), len(columns[path]))
    assert read_json(out / "manifest.json")["columns"] == sum(map(len, columns.values()))
    # The largest number of events among those who share a device, counted by hand.
    (partition,) = (
        folder
        for name, folder in run.partitions("featurize", "features/user").items()
        if name == f"anchor={config.as_of}"
    )
    own = pl.read_parquet(partition / "features.parquet")
    graph = graphguard.open_run(run.folder).graph()
    since = day_us(config.as_of) - config.graph.window.us
    out_side, in_side = graph.out(USES), graph.into(USES)
    events = dict(zip(own["key"], own["all.num_events"], strict=True))
    made = matrix[:, columns[path].index(f"{path}.max.all.num_events")]
    met = 0
    for user in range(keys.len()):
        low, high = out_side.indptr[user : user + 2]
        devices = out_side.neighbor[low:high][out_side.time_us[low:high] >= since]
        others = set()
        for device in devices.tolist():
            low, high = in_side.indptr[device : device + 2]
            others |= set(in_side.neighbor[low:high][in_side.time_us[low:high] >= since].tolist())
        found = [events[keys[other]] for other in sorted(others - {user}) if keys[other] in events]
        assert made[user] == max(found) if found else np.isnan(made[user])
        met += len(found)
    assert met > 100
    with pytest.raises(ConfigError, match="exists; name another folder with --out"):
        call("propagate", "--config", config_path, "--out", out)
