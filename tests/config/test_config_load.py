"""A config is read whole or refused with file, setting, value and the nearest name."""

from datetime import date
from pathlib import Path

import pytest
import yaml

from graphguard.config.load import load_config
from graphguard.config.values import parse_as_of, parse_duration, parse_size
from graphguard.errors import BadSetting, ConfigError, UnknownSetting

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = {
    "as_of": "2026-01-31",
    "logs": {"likes": {"path": "likes/*.parquet", "time": "ts"}},
    "graph": {
        "edges": [
            {
                "name": ["user", "likes", "content"],
                "log": "likes",
                "source": "user_id",
                "target": "content_id",
            }
        ]
    },
    "labels": {"path": "l.parquet", "key": "user_id", "value": "bad", "known_at": "at"},
}


@pytest.fixture
def load(tmp_path):
    def load_with(**changes):
        raw = yaml.safe_load(yaml.safe_dump(SMALL))
        for place, value in changes.items():
            *path, last = place.split("__")
            section = raw
            for part in path:
                section = section.setdefault(part, {})
            section[last] = value
        path = tmp_path / "c.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return load_config(path)

    return load_with


def test_defaults_fill_what_a_small_file_leaves_out(load, tmp_path):
    config = load()

    assert config.as_of == date(2026, 1, 31)
    assert config.root == tmp_path
    assert config.training.models == ("trees", "sage")
    assert config.node_types() == ("content", "user")
    assert config.entity_columns("likes") == {"user_id": "user", "content_id": "content"}


MISTAKES = {
    "unknown_section": {"ring": {}},
    "unknown_setting": {"rings__min_member": 3},
    "value_below_its_bound": {"rings__min_members": 1},
    "word_of_another_kind": {"index__engine": "annoy"},
    "no_duration": {"graph__window": "30 days"},
    "no_size": {"graph__memory_budget": "2 gigabytes"},
    "edge_names_no_log": {"graph__edges": [{**SMALL["graph"]["edges"][0], "log": "like"}]},
    "log_without_time": {"logs__likes": {"path": "x"}},
    "two_rules_in_one_action": {
        "policy__actions": [{"name": "ban", "threshold": 0.5, "precision": 0.9}]
    },
    "severe_with_holdout": {
        "policy__actions": [{"name": "ban", "threshold": 0.5, "severe": True, "holdout": 0.1}]
    },
    "anchors_closer_than_the_horizon": {"training__anchor_every": "7d"},
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_as_the_golden_file_says(load, tmp_path, name):
    with pytest.raises(ConfigError) as told:
        load(**MISTAKES[name])

    golden = GOLDEN / f"config_{name}.txt"
    assert str(told.value).replace(str(tmp_path), "<folder>") + "\n" == golden.read_text()
    assert told.value.exit_code == 78


def test_an_unknown_setting_keeps_its_facts(load):
    with pytest.raises(UnknownSetting) as told:
        load(rings__min_member=3)

    assert "min_members" in str(told.value)


def test_variables_of_the_environment_are_put_in(load, monkeypatch):
    monkeypatch.setenv("GG_LOGS", "/data")

    assert load(logs__likes__path="${GG_LOGS}/likes.parquet").logs["likes"].path == (
        "/data/likes.parquet"
    )


def test_a_variable_that_is_not_set_is_named(load, monkeypatch):
    monkeypatch.delenv("GG_LOGS", raising=False)

    with pytest.raises(BadSetting, match=r"\$\{GG_LOGS\}.*no such variable"):
        load(logs__likes__path="${GG_LOGS}/likes.parquet")


@pytest.mark.parametrize(
    ("text", "told"),
    [("- a", "must hold a mapping"), ("a: [", "not valid YAML"), (None, "cannot be read")],
)
def test_a_file_that_is_no_config_is_refused(tmp_path, text, told):
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=told):
        load_config(path)


def test_a_key_that_stands_twice_is_told_with_both_lines(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("rings:\n  min_members: 3\nlogs: {}\nrings:\n  min_members: 4\n")

    with pytest.raises(ConfigError, match=r"line 4, column 1: 'rings' stands .* in line 1; keep"):
        load_config(path)


def test_a_merged_mapping_may_be_overridden(load, tmp_path):
    path = tmp_path / "c.yaml"
    load()
    text = path.read_text()
    path.write_text(
        text.replace(
            "logs:\n  likes:\n", "logs:\n  old: &old {path: old, time: at}\n  likes:\n"
        ).replace("    time: ts\n", "    time: ts\n    <<: *old\n")
    )

    logs = load_config(path).logs

    assert (logs["old"].time, logs["likes"].time) == ("at", "ts")


def test_broken_yaml_is_told_by_its_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("logs:\n  likes: {path: x, time: [ts}\n")

    with pytest.raises(ConfigError, match=r"c.yaml: not valid YAML \(line 2, column 29, while"):
        load_config(path)
    path.write_text("logs:\n\tlikes: x\n")
    with pytest.raises(ConfigError, match=r"\(line 2, column 1, while .*: found character '.t'"):
        load_config(path)


def test_a_variable_in_small_letters_is_one_too(load, monkeypatch):
    monkeypatch.delenv("gg_logs", raising=False)

    with pytest.raises(BadSetting, match=r"\$\{gg_logs\}.*no such variable"):
        load(workspace="${gg_logs}/workspace")
    assert load(as_of="${today}").as_of is not None


def test_a_word_where_a_list_belongs_is_told_so(load):
    with pytest.raises(BadSetting, match=r"rings.shared: must be a list, as \[a, b\], got 'user'"):
        load(rings__shared="user")


def test_a_word_that_is_no_choice_is_told_by_the_settings_name(load):
    with pytest.raises(BadSetting, match=r"training.models.0: Input should be 'trees'.*got 'xgb'"):
        load(training__models=["xgb"])


def test_as_of_is_a_day_and_nothing_else():
    assert parse_as_of("2026-01-31") == date(2026, 1, 31)
    today, yesterday = parse_as_of("${today}"), parse_as_of("${today-1d}")
    assert (today - yesterday).days == 1
    with pytest.raises(ValueError, match="must be a day like"):
        parse_as_of("31.1.2026")


def test_durations_are_equal_by_length():
    assert parse_duration("60s") == parse_duration("1m")
    assert str(parse_duration("60s")) == "60s"
    assert parse_duration("25h").days == 2


def test_sizes_are_equal_by_bytes():
    assert parse_size("1GB") == parse_size("1024 MB")
    assert str(parse_size("512MB")) == "512MB"
    for wrong in ("0GB", "2G", 2, "2.5GB"):
        with pytest.raises(ValueError, match="must be a size like 512MB or 2GB"):
            parse_size(wrong)
