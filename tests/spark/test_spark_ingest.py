"""Ingest's steps on both engines: rows, rejects, counts, ids and encoded events, exactly."""

import numpy as np
import polars as pl

from graphguard.schema import IDS
from graphguard.tables.admission import UnitFiles, admit, encoded, new_ids
from graphguard.tables.row_contract import RowContract

DAY = 86_400_000_000
ROWS, UNITS = 400, 3
CONTRACT = RowContract(
    source="pays",
    keys=("user", "shop"),
    optional_keys=("link",),
    time="ts",
    numeric=("amount",),
    categorical=("channel",),
    text="note",
    unique="id",
    cutoff_us=20_002 * DAY,
)
# The JVM's own strings would put the last but one plane before U+FFEE; bytes of UTF-8 do not.
KEYS = np.array(["a", "A", "é", "\uffee", "\U0001f600", "zz", "日本", "a b", "0", "10"])


def write_units(folder) -> list[UnitFiles]:
    """Rows of every fault: null and empty keys, bad times and numbers, repeats, rows to come."""
    units = []
    for number in range(UNITS):
        draw = np.random.default_rng(number)
        user = KEYS[draw.integers(0, len(KEYS), ROWS)].tolist()
        user[3], user[4] = None, ""
        time = (20_000 + number) * DAY + draw.integers(0, DAY, ROWS)
        time[5], time[6] = 5, 20_001 * DAY + 400_000_000
        amount = draw.normal(0, 1e4, ROWS).round(3)
        amount[7], amount[8] = np.inf, np.nan
        frame = pl.DataFrame(
            {
                "user": user,
                "shop": draw.integers(0, 50, ROWS),
                "link": [None if n % 3 else f"http://{n % 7}" for n in range(ROWS)],
                "ts": pl.Series(time).cast(pl.Datetime("us")),
                "amount": amount,
                "channel": draw.choice(["card", "cash"], ROWS),
                "note": [f"note {n} \U0001f600" for n in range(ROWS)],
                "id": draw.integers(0, ROWS * 20, ROWS),
            }
        )
        path = folder / f"{number}.parquet"
        frame.write_parquet(path)
        end = (20_001 + number) * DAY
        units.append(UnitFiles((path,), end))
    return units


def test_rows_ids_and_encoded_events_are_the_same(spark, polars, tmp_path):
    units = write_units(tmp_path)
    known = pl.DataFrame({"key": ["zz", "a"], "index": [0, 1]}).cast(dict(IDS.empty().schema))
    made = {}
    for name, engine in (("spark", spark), ("polars", polars)):
        admission = admit(engine, units, CONTRACT, tmp_path)
        keys = admission.accepted.select(key="user")
        new = engine.hold(new_ids(keys, engine.table(known), known.height))
        ids = engine.table(pl.concat([known, engine.collect(new)]))
        made[name] = {
            "rejects": engine.collect(admission.rejects),
            "counts": engine.collect(admission.counts),
            "accepted": engine.collect(admission.accepted),
            "ids": engine.collect(new),
            "events": engine.collect(encoded(admission.accepted, "user", ids)),
        }

    counts = made["polars"]["counts"]
    assert counts.get_column("rejected").sum() > 20
    assert counts.get_column("not_yet").sum() > ROWS // 2
    assert made["polars"]["ids"].height == len(KEYS) - 2
    for name, expected in made["polars"].items():
        found = made["spark"][name]
        assert found.schema == expected.schema, name
        assert expected.height > 0, name
        assert found.sort(pl.all()).equals(expected.sort(pl.all())), name
