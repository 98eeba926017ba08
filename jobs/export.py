"""Export: decisions, scores and rings go to the sinks, unless a gate is red."""

from pathlib import Path
from typing import Any

import polars as pl

from graphguard.jobs.context import Facts, Job
from graphguard.sinks import open_sink
from graphguard.sinks.base import INTERNAL
from graphguard.tables.files import read_parquet, write_json
from graphguard.tables.lease import fenced
from graphguard.tables.workspace import Run

GATED = ("ingest", "train", "embed", "find_rings", "score", "decide")


def run(job: Job, out: Path) -> Facts:
    """Replace the day's partition in every sink; writes receipt.json."""
    gates = [gate for stage in GATED for gate in job.run.manifest(stage).get("gates", [])]
    receipts: list[dict[str, Any]] = []
    if gates:
        for gate in gates:
            job.reporter.note(f"red gate: {gate}")
    else:
        tables = exported_tables(job.run)
        for number, settings in enumerate(job.config.export, 1):
            sink = open_sink(settings, job.config.root)
            # Another run may have taken over: then the sink is its own to write.
            with fenced(job.run.folder):
                receipts.append(sink.export(tables, job.as_of, job.run.run_id))
            job.reporter.step(number, len(job.config.export), settings.path)
    write_json(out / "receipt.json", {"gates": gates, "receipts": receipts})
    rows = sum(one["rows"] for receipt in receipts for one in receipt["tables"].values())
    return {"rows": rows}


def exported_tables(run: Run) -> dict[str, pl.DataFrame]:
    """The tables of a run that leave the house."""
    return {
        "decisions": read_parquet(run.file("decide", "decisions.parquet")),
        "scores": read_parquet(run.file("score", "scores.parquet")),
        "rings": read_parquet(run.file("find_rings", "rings.parquet")),
        "ring_members": read_parquet(run.file("find_rings", "ring_members.parquet")).drop(INTERNAL),
    }
