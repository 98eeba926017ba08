"""Multi-hop aggregates of a run's own features, over every metapath from users back to users.

Reads the graph, `features` at the cutoff and the known labels of a run; writes a folder of matrices
(docs/graph.md). No stage reads them: they are for whoever wants to look further than one object.
"""

import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from graphguard.config.sections import Config
from graphguard.config.values import day_us
from graphguard.errors import ConfigError, NotCommitted
from graphguard.features.catalogue import column_catalogue
from graphguard.graph.array_files import ColumnWriter
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.metapaths import metapaths
from graphguard.graph.multihop import NodeValues, Propagation, propagate
from graphguard.graph.propagate import NEVER
from graphguard.tables.commit import committing
from graphguard.tables.files import parquet_writer, read_parquet
from graphguard.tables.people import bad_spans
from graphguard.tables.workspace import Run


def propagate_run(run: Run, config: Config, hops: int, out: Path) -> str:
    """Write the aggregates of every user in the run's graph.

    Args:
        run: A run with `featurize` done.
        config: Its config; `graph.window` and `graph.memory_budget` count.
        hops: Most steps of a metapath.
        out: Folder to make: `keys.parquet` (the user of each row), `columns.json`, and a matrix
            a metapath.

    Returns:
        A line about it.

    Raises:
        ConfigError: `out` is there.
        NotCommitted: The run has no features at its cutoff.
    """
    if out.exists():
        message = f"{out} exists; name another folder with --out, or remove it"
        raise ConfigError(message)
    target = config.training.target
    graph = HeteroGraph.open(run.file("build_graph", "graph"))
    as_of = date.fromisoformat(run.manifest("featurize")["as_of"])
    anchor_us = day_us(as_of)
    rules = Propagation(
        anchor_us, config.graph.window.us, memory_bytes=config.graph.memory_budget.bytes
    )
    paths = [path for path in metapaths(graph.edge_types, target, hops) if path.end == target]
    facts: dict[str, object] = {"as_of": as_of.isoformat(), "hops": hops}
    with committing(out, facts) as aside, tempfile.TemporaryDirectory(dir=aside.parent) as scratch:
        features = _features(run, target, as_of)
        names = _columns(features, config)
        values = _matrix(features, names, (graph, target), Path(scratch) / "values.npy")
        held = NodeValues(names, values, _bad_since(run, graph, target, anchor_us))
        made = propagate(graph, {target: held}, paths, rules, aside)
        keys = pa.table({"key": pa.array(graph.keys(target)[:], pa.string())})
        with parquet_writer(aside / "keys.parquet", keys.schema) as writer:
            writer.write_table(keys)
        facts["rows"] = graph.num_nodes[target]
        facts["columns"] = sum(map(len, made.values()))
    return f"{out}: {facts['rows']} rows, {facts['columns']} columns of {len(made)} metapaths"


def _features(run: Run, target: str, as_of: date) -> Path:
    name = f"anchor={as_of.isoformat()}"
    folder = run.partitions("featurize", f"features/{target}").get(name)
    if folder is None:
        message = f"features of run {run.run_id} at {as_of}"
        raise NotCommitted(message, "featurize")
    return folder / "features.parquet"


def _columns(features: Path, config: Config) -> tuple[str, ...]:
    """The users' own columns; those of their neighbours are aggregates themselves."""
    there = set(pq.read_schema(features).names)
    return tuple(column.name for column in column_catalogue(config) if column.name in there)


def _matrix(
    features: Path, names: tuple[str, ...], graph: tuple[HeteroGraph, str], path: Path
) -> np.ndarray:
    """The columns by dense index in a mapped file, one in memory at a time; NaN without a row."""
    hetero, target = graph
    entity = read_parquet(features, ["entity"]).get_column("entity").to_numpy()
    dense = hetero.dense(target, entity)
    there = dense >= 0
    with ColumnWriter(path, hetero.num_nodes[target], len(names)) as writer:
        for number, name in enumerate(names):
            column = read_parquet(features, [name]).get_column(name).cast(pl.Float32)
            values = np.full(hetero.num_nodes[target], np.nan, dtype=np.float32)
            values[dense[there]] = column.fill_null(np.nan).to_numpy()[there]
            writer.write(number, values)
    matrix: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return matrix


def _bad_since(run: Run, graph: HeteroGraph, target: str, anchor_us: int) -> np.ndarray:
    """When those who are held to be bad at the anchor became known, by dense index."""
    spans = bad_spans(read_parquet(run.file("ingest", "labels.parquet")))
    held = (pl.col("known_at_us") < anchor_us) & (pl.col("until_us") >= anchor_us)
    first = spans.filter(held).group_by("entity").agg(pl.col("known_at_us").min())
    dense = graph.dense(target, first.get_column("entity").to_numpy())
    since = np.full(graph.num_nodes[target], NEVER, dtype=np.int64)
    since[dense[dense >= 0]] = first.get_column("known_at_us").to_numpy()[dense >= 0]
    return since
