from datetime import date

import pytest

from graphguard.errors import InputMissing
from graphguard.tables.sources import DigestCache, find_units


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_a_dated_log_has_a_unit_a_day_in_order(tmp_path):
    make(
        tmp_path,
        "l/dt=2026-01-02/b.parquet",
        "l/dt=2026-01-01/a.parquet",
        "l/dt=2026-01-02/a.parquet",
        "l/dt=junk/a.parquet",
    )

    units = find_units("l", "l/dt={date}/*.parquet", tmp_path)

    assert [(unit.name, unit.day, [path.name for path in unit.files]) for unit in units] == [
        ("dt=2026-01-01", date(2026, 1, 1), ["a.parquet"]),
        ("dt=2026-01-02", date(2026, 1, 2), ["a.parquet", "b.parquet"]),
    ]


def test_an_undated_log_is_one_unit(tmp_path):
    make(tmp_path, "p/b.parquet", "p/a.parquet")

    (unit,) = find_units("p", "p/*.parquet", tmp_path)

    assert (unit.name, unit.day, [path.name for path in unit.files]) == (
        "all",
        None,
        ["a.parquet", "b.parquet"],
    )


def test_a_pattern_may_be_absolute_or_climb_out_of_the_configs_folder(tmp_path):
    make(tmp_path, "data/a.parquet")
    home = tmp_path / "configs"
    home.mkdir()

    for pattern in ("../data/*.parquet", str(tmp_path / "data" / "*.parquet")):
        assert find_units("p", pattern, home)[0].files == (tmp_path / "data" / "a.parquet",)


def test_no_file_names_the_pattern_and_the_remedy(tmp_path):
    with pytest.raises(InputMissing, match=r"'p': no file matches .*; deliver it or correct"):
        find_units("p", "p/*.parquet", tmp_path)


@pytest.mark.parametrize(
    ("source", "section", "setting"),
    [
        ("likes", "logs", "logs.likes.path"),
        ("user", "entities", "entities.user.path"),
        ("labels", "labels", "labels.path"),
        ("labels", "logs", "logs.labels.path"),
    ],
)
def test_the_remedy_names_the_setting_as_it_is_written(tmp_path, source, section, setting):
    with pytest.raises(InputMissing, match=f"or correct {setting}$"):
        find_units(source, "p/*.parquet", tmp_path, section=section)


def test_a_folder_where_files_belong_is_told_so(tmp_path):
    make(tmp_path, "tables/a.parquet")

    with pytest.raises(InputMissing, match=r"is a folder: add `/\*.parquet` to entities.user.path"):
        find_units("user", "tables", tmp_path, section="entities")


def test_a_digest_follows_a_change_of_the_file(tmp_path):
    make(tmp_path, "a")
    cache = DigestCache(tmp_path / "cache" / "digests.json")
    before = cache.digest(tmp_path / "a")
    cache.save()
    (tmp_path / "a").write_text("something longer")

    assert DigestCache(tmp_path / "cache" / "digests.json").digest(tmp_path / "a") != before


def test_files_looked_at_together_have_the_digests_they_have_alone(tmp_path):
    paths = [tmp_path / str(number) for number in range(20)]
    for number, path in enumerate(paths):
        path.write_text(str(number % 7))

    together = DigestCache(tmp_path / "digests.json").digests(paths)

    alone = DigestCache(tmp_path / "other.json")
    assert together == [alone.digest(path) for path in paths]
    assert len(set(together)) == 7
