"""A config is proposed from what the logs' columns hold; what is guessed can be read back."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import yaml

from graphguard.config.propose import propose_config
from graphguard.errors import InputMissing, NoActor

ROWS = 40
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    def write(**columns):
        plain = {
            "user_id": [f"u{row % 8}" for row in range(ROWS)],
            "device_id": [f"d{row % 20}" for row in range(ROWS)],
            "ts": [START + timedelta(hours=row) for row in range(ROWS)],
        }
        named = {name: values for name, values in (plain | columns).items() if values is not None}
        path = tmp_path / "log.parquet"
        pl.DataFrame(named).write_parquet(path)
        return path

    return write


def proposed(path, labels=None):
    text = propose_config({"acts": path}, labels, path.parent)
    return text, yaml.safe_load(text)


@pytest.mark.parametrize(("unit", "per_second"), [("seconds", 1), ("milliseconds", 1000)])
def test_a_time_in_another_unit_is_named_and_is_no_number_to_learn_from(log, unit, per_second):
    first = int(START.timestamp())
    text, config = proposed(log(ts=[(first + row) * per_second for row in range(ROWS)]))

    assert config["logs"]["acts"] == {"path": "log.parquet", "time": "ts"}
    assert f"# convert it to a timestamp or integer microseconds: its integers are {unit}" in text


def test_a_time_as_text_is_named_so_that_validate_refuses_it(log):
    text, config = proposed(log(ts=["2026-01-01T00:00:00Z"] * ROWS))

    assert config["logs"]["acts"] == {"path": "log.parquet", "time": "ts"}
    assert "by its name a time, and text is none" in text


def test_a_typed_time_goes_before_one_that_must_be_converted(log):
    times = [START + timedelta(hours=row) for row in range(ROWS)]
    _, config = proposed(log(ts=["2026-01-01"] * ROWS, seen_at=times))

    assert config["logs"]["acts"]["time"] == "seen_at"


def test_names_that_yaml_reads_as_something_else_are_quoted(log):
    columns = {"yes": ["a", "b"] * 20, "null": range(ROWS), "Card: #1, hash_id": ["x", "y"] * 20}
    _, config = proposed(log(**columns))

    assert config["logs"]["acts"]["categorical"] == ["yes"]
    assert config["logs"]["acts"]["numeric"] == ["null"]
    edge = config["graph"]["edges"][1]
    assert (edge["target"], edge["name"][2]) == ("Card: #1, hash_id", "card_1_hash")


def test_a_column_without_a_usual_name_is_told_to_be_a_guess(log):
    users = [f"u{row % 20}" for row in range(ROWS)]
    text, config = proposed(log(user_id=None, device_id=None, 用户=users))

    assert "'用户' is taken for the user who acts" in text
    assert "no column looks like an object that users act on; write at least one:" in text
    assert config["graph"]["edges"] is None


def test_many_different_words_are_names_whatever_their_share(tmp_path):
    path = tmp_path / "log.parquet"
    words = [f"п{row % 300}" for row in range(3000)]
    pl.DataFrame({"user_id": words, "страница": words}).write_parquet(path)

    _, config = proposed(path)

    assert config["graph"]["edges"][0]["target"] == "страница"


def test_logs_without_a_user_are_refused_with_all_their_columns(log):
    path = log(user_id=None, device_id=None, amount=[0.5] * ROWS)

    with pytest.raises(NoActor, match=r"\(found: amount, ts\); call it user_id, or write"):
        proposed(path)


def test_a_folder_without_parquet_says_what_it_holds(tmp_path):
    with pytest.raises(InputMissing, match="there is no such file or folder"):
        proposed(tmp_path / "nowhere")
    with pytest.raises(InputMissing, match="the folder is empty"):
        proposed(tmp_path)
    (tmp_path / "likes.csv").write_text("user_id\n1\n")
    with pytest.raises(InputMissing, match=r"holds 1 other file, such as likes.csv, .*convert"):
        proposed(tmp_path)


def test_labels_that_name_users_otherwise_are_pointed_at(log, tmp_path):
    labels = tmp_path / "labels.parquet"
    pl.DataFrame({"account": ["a"], "is_bad": [True], "at": [START]}).write_parquet(labels)

    text, _ = proposed(log(), labels)

    assert "  key: account   # the logs call it user_id" in text


@pytest.mark.parametrize(
    ("column", "values", "kind", "why"),
    [
        ("target_id", [f"u{row % 8}" for row in range(ROWS)], "user", "8 of 8 values act"),
        ("followee_id", [f"x{row % 9}" for row in range(ROWS)], "user", "by its name"),
        ("target_id", [f"t{row % 9}" for row in range(ROWS)], "target", None),
    ],
)
def test_an_object_that_names_users_makes_edges_between_users(log, column, values, kind, why):
    text, config = proposed(log(**{column: values}))

    edges = {edge["target"]: edge["name"] for edge in config["graph"]["edges"]}
    assert edges[column] == ["user", "acts", kind]
    assert (f"# acts.{column} names users: {why}" in text) is (why is not None)


def test_things_and_users_that_are_both_counted_from_one_are_not_taken_for_each_other(log):
    counted = [row % 8 for row in range(ROWS)]
    _, config = proposed(log(user_id=counted, item_id=counted[::-1]))

    assert config["graph"]["edges"][-1]["name"] == ["user", "acts", "item"]
