"""The same ids and daily edges as others make them; run by `build.py`, each in its own process."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from result import say


@dataclass(frozen=True)
class Relation:
    """Where the edges of one type are: its node types, files, and columns."""

    name: str
    source_type: str
    target_type: str
    path: str
    time: str
    source: str
    target: str


def relations(config: Path) -> list[Relation]:
    """What the config calls edges."""
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    return [
        Relation(
            edge["name"][1],
            edge["name"][0],
            edge["name"][2],
            raw["logs"][edge["log"]]["path"].replace("dt={date}", "*"),
            raw["logs"][edge["log"]]["time"],
            edge["source"],
            edge["target"],
        )
        for edge in raw["graph"]["edges"]
    ]


def with_duckdb(config: Path) -> None:
    """Ids and daily edges in SQL, then CSR and CSC in numpy."""
    import duckdb

    base = duckdb.connect()
    base.execute("set threads = 2")
    base.execute("set preserve_insertion_order = false")
    nodes: dict[str, list[str]] = {}
    found = relations(config)
    for one in found:
        base.execute(
            f"create table edges_{one.name} as select {one.source} a, {one.target} b, "
            f"date_trunc('day', {one.time}) d, count(*) n, min({one.time}) t "
            f"from read_parquet('{one.path}', hive_partitioning = false) "
            f"where {one.source} is not null and {one.target} is not null group by all"
        )
        nodes.setdefault(one.source_type, []).append(f"select a k from edges_{one.name}")
        nodes.setdefault(one.target_type, []).append(f"select b k from edges_{one.name}")
    size: dict[str, int] = {}
    for kind, parts in nodes.items():
        base.execute(
            f"create table ids_{kind} as select k, row_number() over (order by k) - 1 i "
            f"from (select distinct k from ({' union all '.join(parts)}))"
        )
        size[kind] = len(base.execute(f"select i from ids_{kind}").fetchnumpy()["i"])
    for one in found:
        got = base.execute(
            f"select x.i a, y.i b, epoch_us(r.t) t, r.n n from edges_{one.name} r "
            f"join ids_{one.source_type} x on r.a = x.k join ids_{one.target_type} y on r.b = y.k"
        ).fetchnumpy()
        kept = [
            _compressed(got[row], (got[other], got["t"], got["n"]), size[kind])
            for row, other, kind in (("a", "b", one.source_type), ("b", "a", one.target_type))
        ]
        say(f"{one.name} {len(kept[0][1])}")


def _compressed(row: Any, columns: tuple[Any, ...], num_rows: int) -> list[Any]:
    """Row pointers, and the columns by row and time."""
    order = np.lexsort((columns[1], row))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=num_rows))])
    return [indptr, *(column[order] for column in columns)]


def with_pandas(config: Path) -> None:
    """What people write today: read, factorize, groupby, `HeteroData`."""
    from glob import glob

    import pandas as pd
    import torch
    from torch_geometric.data import HeteroData

    frames: list[tuple[Relation, Any]] = []
    keys: dict[str, list[Any]] = {}
    for one in relations(config):
        columns = [one.source, one.target, one.time]
        parts = [pd.read_parquet(name, columns=columns) for name in sorted(glob(one.path))]
        frame = pd.concat(parts, ignore_index=True).dropna(subset=[one.source, one.target])
        frames.append((one, frame))
        keys.setdefault(one.source_type, []).append(frame[one.source])
        keys.setdefault(one.target_type, []).append(frame[one.target])
    index = {kind: pd.Index(pd.concat(parts).unique()) for kind, parts in keys.items()}
    data = HeteroData()
    for kind, names in index.items():
        data[kind].num_nodes = len(names)
    for one, frame in frames:
        coded = pd.DataFrame(
            {
                "a": index[one.source_type].get_indexer(frame[one.source]),
                "b": index[one.target_type].get_indexer(frame[one.target]),
                "day": frame[one.time].dt.floor("D"),
                "t": frame[one.time],
            }
        )
        grouped = coded.groupby(["a", "b", "day"])["t"].agg(n="size", t="min").reset_index()
        store = data[one.source_type, one.name, one.target_type]
        store.edge_index = torch.from_numpy(grouped[["a", "b"]].to_numpy().T.copy())
        store.time = torch.from_numpy(grouped["t"].astype("int64").to_numpy().copy())
        store.count = torch.from_numpy(grouped["n"].to_numpy().copy())
        say(f"{one.name} {len(grouped)}")


PEERS = {"duckdb": with_duckdb, "pandas": with_pandas}

if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]))
