"""Units read through an engine: what is stored of them is what one process stores."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from graphguard.config.sections import Config
from graphguard.config.values import day_us
from graphguard.errors import ColumnMissing
from graphguard.tables.engine import PolarsEngine
from graphguard.tables.files import read_parquet
from graphguard.tables.ids import IdStore, IdStores
from graphguard.tables.remote_units import read_units
from graphguard.tables.sources import SourceUnit
from graphguard.tables.units import encode_units, read_unit, write_unit

DAY = 86_400_000_000
FIRST, AS_OF = date(2026, 1, 1), date(2026, 1, 3)
ROWS = 60


@pytest.fixture
def config(tmp_path) -> Config:
    ends = {"source": "user", "target": "item"}
    log = {"path": "x", "time": "ts"}
    return Config.model_validate(
        {
            "logs": {
                "posts": log | {"text": "note", "key": "id", "categorical": ["channel"]},
                "pays": log | {"numeric": ["amount"]},
            },
            "graph": {
                "edges": [
                    {"name": ["user", "posts", "item"], "log": "posts"} | ends,
                    {"name": ["user", "pays", "item"], "log": "pays"} | ends,
                ],
            },
            "rings": {"traces": [{"log": "posts", "object": "link"}]},
            "labels": {"path": "x"},
            "limits": {"lookback": "3d"},
            "root": tmp_path,
        }
    )


@pytest.fixture
def units(tmp_path) -> list[SourceUnit]:
    """Two days of two logs, in no order of time, with rows of every fault, too old and to come."""
    found = []
    for number, source in enumerate(("posts", "pays", "posts", "pays")):
        draw = np.random.default_rng(number)
        day = FIRST + timedelta(days=number // 2)
        time = day_us(day) + draw.integers(0, DAY, ROWS) // 10**9 * 10**9
        time[:3] = [5, day_us(AS_OF) + 1, day_us(day) + 2 * DAY]
        time[4] = day_us(day) - 9 * DAY
        amount = draw.normal(0, 1e4, ROWS)
        amount[7] = np.inf
        frame = pl.DataFrame(
            {
                "user": [None, "", *(f"u{n}" for n in draw.integers(0, 9, ROWS - 2))],
                "item": draw.integers(0, 5, ROWS),
                "link": [None if n % 3 else f"http://{n % 7}" for n in range(ROWS)],
                "ts": time,
                "note": [f"note {n} \U0001f600" for n in range(ROWS)],
                "channel": draw.choice(["web", "app"], ROWS),
                "id": draw.integers(0, 40, ROWS),
                "amount": amount,
            }
        )
        files = []
        for part in range(2):
            files.append(tmp_path / f"{source}-{day}-{part}.parquet")
            frame[part * 30 : part * 30 + 30].write_parquet(files[-1])
        found.append(SourceUnit(source, f"dt={day}", day, tuple(files)))
    return found


def stored(config, rows, folder) -> dict[str, object]:
    """What is written of units, by unit and file, and what their manifests say."""
    ids = IdStores(lambda kind: IdStore(folder / "ids" / kind))
    encode_units(config, rows, ids)
    found = {}
    for one in rows:
        out = folder / one.unit.source / one.unit.name
        out.mkdir(parents=True)
        name = f"{one.unit.source}/{one.unit.name}"
        found[name] = write_unit(out, one)
        found |= {f"{name}/{path.name}": read_parquet(path) for path in out.iterdir()}
    return found | {kind: ids[kind].frame for kind in ("user", "item")}


def test_stored_units_are_those_of_one_process(config, units, tmp_path):
    expected = stored(config, [read_unit(config, unit, AS_OF) for unit in units], tmp_path / "a")

    rows = read_units(PolarsEngine(), config, units, AS_OF)

    assert [one.unit for one in rows] == units
    assert [one.whole for one in rows] == [read_unit(config, one, AS_OF).whole for one in units]
    found = stored(config, rows, tmp_path / "b")
    assert found.keys() == expected.keys()
    assert expected["posts/dt=2026-01-02"]["late"] == 1
    assert expected["posts/dt=2026-01-01/rejects.parquet"].get_column("reason").n_unique() >= 4
    for name, table in expected.items():
        if isinstance(table, pl.DataFrame):
            assert found[name].equals(table), name
        else:
            assert found[name] == table, name


def test_a_day_without_rows_is_a_unit_all_the_same(config, units, tmp_path):
    path = units[1].files[0]
    pl.read_parquet(path).clear().write_parquet(path)
    empty = SourceUnit("pays", "dt=2026-01-01", FIRST, (path,))

    (rows,) = read_units(PolarsEngine(), config, [empty], AS_OF)

    assert rows.intake.accepted.height == 0
    assert [one["read"] for one in rows.intake.counts] == [0]
    assert stored(config, [rows], tmp_path / "a")["pays/dt=2026-01-01"]["rows"] == 0


class Wrapping(PolarsEngine):
    """As a cluster: an error of a kernel comes as one of its own kind."""

    def map_buckets(self, frame, kernel, how):
        try:
            return super().map_buckets(frame, kernel, how)
        except Exception as error:
            message = f"job aborted: {error}"
            raise RuntimeError(message) from error


def test_a_fault_of_a_file_is_told_as_on_one_machine(config, units):
    path = units[2].files[1]
    pl.read_parquet(path).drop("user").write_parquet(path)

    with pytest.raises(ColumnMissing, match="user") as raised:
        read_units(Wrapping(), config, units, AS_OF)

    assert raised.value.exit_code == 65
    with pytest.raises(ColumnMissing) as expected:
        read_unit(config, units[2], AS_OF)
    assert str(raised.value) == str(expected.value)


def test_a_fault_of_the_cluster_stays_one(config, units):
    class Lost(PolarsEngine):
        def map_buckets(self, frame, kernel, how):
            message = "all executors are gone"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="all executors are gone"):
        read_units(Lost(), config, units, AS_OF)
