"""What the co-action join costs beside coordination-network-toolkit, and whether it is right.

On a real log of 35,125 shares, and on planted logs of 100,000 and a million: the toolkit loads the
log and computes its network at one window; ours pairs within all windows up to that one, tests
every pair under its nulls and writes the links. Each in a process of its own. A run of the toolkit
is stopped after `--patience` seconds. Where the window has no burst above our cap, the number of
edges must be the same. Larger logs are ours alone; `--viral ROWS` adds an object of a tenth as many
shares to one.

Right: the oracle's tables, cell by cell, as `tests/oracle` compares them.

The toolkit comes with `pip install -c constraints.txt -e '.[bench]'`. The real log's folder is
named by GRAPHGUARD_DATA (default: shared/data beside the project); without it its rows are left
out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from planted import world_a, world_a_parts
from pyarrow.parquet import ParquetWriter
from result import TOP, print_result, say, timed, work_folder
from ring_methods import by_significance
from ring_truth import ring_figures

PEERS = Path(__file__).parent / "coordination_peers.py"
WINDOWS_S = (60, 3600)
COLUMNS = {"user": pa.int32(), "object": pa.int32(), "time_us": pa.int64()}
VIRAL = 10
"""A viral object has one share for so many rows of the log."""
TOOLKIT_ROWS = 1_000_000
"""Above that the toolkit is left out: it needs more time than anybody has."""


@dataclass(frozen=True)
class Took:
    """One peer on one log: seconds and peak memory (GB) of the whole process; None if stopped."""

    seconds: float | None
    processor_seconds: float
    peak_gb: float
    figures: dict[str, Any]


def main() -> int:
    """Make the logs, run both at both windows, print the table and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="100000,1000000", help="sizes of the planted logs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--patience", type=float, default=240, help="seconds for the toolkit")
    parser.add_argument("--windows", default="60,3600", help="seconds")
    parser.add_argument("--viral", type=int, default=0, help="rows of a log with a viral object")
    options = parser.parse_args()
    folder = work_folder("coordination")
    logs = {"real": real_log(folder)} if real_data().is_file() else {}
    for rows in map(int, options.rows.split(",")):
        logs[f"{rows:,}"] = planted_log(folder, rows)
    say(
        "| log | rows | window (s) | what | seconds | processor seconds | peak memory (GB) "
        "| meetings | edges |"
    )
    say("|---|---|---|---|---|---|---|---|---|")
    found: dict[tuple[str, int, str], Took] = {}
    for name, log in logs.items():
        rows = pl.scan_parquet(log).select(pl.len()).collect().item()
        for window in map(int, options.windows.split(",")):
            for peer in ("ours", "toolkit") if rows < 2 * TOOLKIT_ROWS else ("ours",):
                took = median([run(peer, log, window, options) for _ in range(options.rounds)])
                found[name, window, peer] = took
                say(row_of(name, rows, window, (peer, took)))
    figures = summary(found)
    if options.viral:
        figures |= viral(folder, options)
    figures.update(oracle())
    print_result(figures)
    return 0 if figures["edges_equal"] else 1


def real_data() -> Path:
    """The real log, where it is present."""
    data = Path(os.environ.get("GRAPHGUARD_DATA", TOP.parent / "shared" / "data"))
    return data / "coortweet" / "russian_coord_tweets.parquet"


def real_log(folder: Path) -> Path:
    """The real log in the columns of a planted one."""
    frame = pl.read_parquet(real_data()).select(
        *(
            (pl.col(name).rank("dense").cast(pl.Int64) - 1).alias(alias)
            for name, alias in (("account_id", "user"), ("object_id", "object"))
        ),
        (pl.col("timestamp_share").cast(pl.Int64) * 1_000_000).alias("time_us"),
    )
    return written(frame, folder / "real.parquet")


def planted_log(folder: Path, rows: int, viral: int = 0) -> Path:
    """World A of about `rows` rows, with `viral` shares of one object; its rings lie beside it."""
    path = folder / f"planted_{rows}{'_viral' if viral else ''}.parquet"
    if rows < 2 * TOOLKIT_ROWS:
        return written(world_a(rows).frame(), path)
    with ParquetWriter(path, pa.schema(COLUMNS)) as writer:
        for part in world_a_parts(rows, viral=viral):
            writer.write_table(part.frame().to_arrow().cast(pa.schema(COLUMNS)))
    pl.DataFrame({"ring": part.ring}).write_parquet(path.with_suffix(".rings"))
    return path


def written(frame: pl.DataFrame, path: Path) -> Path:
    """Write Parquet for us; and CSV for the toolkit, where it can take that much."""
    frame.write_parquet(path)
    if frame.height < 2 * TOOLKIT_ROWS:
        empty = pl.lit("")
        frame.with_row_index("message_id").select(
            "message_id",
            pl.col("user").alias("user_id"),
            empty.alias("username"),
            pl.col("object").alias("repost_id"),
            empty.alias("reply_id"),
            empty.alias("message"),
            (pl.col("time_us") // 1_000_000).alias("timestamp"),
            empty.alias("urls"),
        ).write_csv(path.with_suffix(".csv"))
    return path


def run(peer: str, log: Path, window: int, options: argparse.Namespace) -> Took:
    """One peer in a process of its own."""
    command = [sys.executable, str(PEERS), peer, str(log), str(window)]
    if peer == "toolkit":
        command = ["timeout", "--signal=KILL", str(options.patience), *command]
    try:
        took = timed(command)
    except subprocess.CalledProcessError as error:
        if peer == "toolkit" and error.returncode in (-9, 137):
            return Took(None, 0.0, 0.0, {})
        raise
    told = json.loads(took.output.strip().splitlines()[-1])
    return Took(took.seconds, took.processor_seconds, took.peak_gb, told)


def median(each: list[Took]) -> Took:
    """The run of median time."""
    if any(one.seconds is None for one in each):
        return each[0]
    ordered = sorted(each, key=lambda one: one.seconds or 0.0)
    return ordered[statistics.median_low(range(len(ordered)))]


def row_of(name: str, rows: int, window: int, run_by: tuple[str, Took]) -> str:
    """A line of the table."""
    peer, took = run_by
    seconds = "stopped" if took.seconds is None else f"{took.seconds:.2f}"
    cells = [took.figures.get(key) for key in ("meetings", "edges")]
    told = " | ".join("" if cell is None else f"{cell:,}" for cell in cells)
    spent = f"{took.processor_seconds:.2f} | {took.peak_gb:.2f}"
    return f"| {name} | {rows:,} | {window} | {peer} | {seconds} | {spent} | {told} |"


def viral(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What an object of a tenth as many shares adds to a log, and the false rings with it."""
    took, rings = [], []
    for shares in (0, options.viral // VIRAL):
        log = planted_log(folder, options.viral, shares)
        took.append(
            median([run("ours", log, WINDOWS_S[0], options) for _ in range(options.rounds)])
        )
        truth = pl.read_parquet(log.with_suffix(".rings")).get_column("ring").to_numpy()
        links = pl.read_parquet(log.with_suffix(".links"))
        told = by_significance(links, "shares", len(truth)).rings
        rings.append((len(told), *ring_figures(told, truth)[1:]))
        name = f"{options.viral:,} and {shares:,} of one object"
        rows = pl.scan_parquet(log).select(pl.len()).collect().item()
        say(row_of(name, rows, WINDOWS_S[0], ("ours", took[-1])))
        say(f"rings told {rings[-1][0]}, found {rings[-1][1]} of {rings[-1][2]}")
    return {
        "viral_seconds": [round(one.seconds or 0.0, 2) for one in took],
        "viral_adds": round((took[1].seconds or 0.0) / (took[0].seconds or 1e-9) - 1, 3),
        "viral_adds_processor": round(took[1].processor_seconds / took[0].processor_seconds - 1, 3),
        "viral_false_rings": rings[1][0] - rings[1][1],
        "viral_rings_found": round(rings[1][1] / rings[1][2], 3),
        "viral_peak_gb": round(took[1].peak_gb, 2),
    }


def summary(found: dict[tuple[str, int, str], Took]) -> dict[str, Any]:
    """Ratios, and whether edges agree wherever both told them."""
    figures: dict[str, Any] = {}
    checked, equal = 0, True
    for (name, window, peer), took in found.items():
        if peer != "ours":
            continue
        label = {"100,000": "100k", "1,000,000": "1m"}.get(name, name.replace(",", ""))
        figures[f"seconds_{label}_{window}s"] = round(took.seconds or 0.0, 2)
        figures[f"peak_gb_{label}_{window}s"] = round(took.peak_gb, 2)
        figures[f"us_per_meeting_{label}_{window}s"] = round(
            1e6 * took.figures["pair_seconds"] / max(took.figures["meetings"], 1), 3
        )
        figures[f"processor_us_per_meeting_{label}_{window}s"] = round(
            1e6 * took.figures["pair_processor_seconds"] / max(took.figures["meetings"], 1), 3
        )
        other = found.get((name, window, "toolkit"))
        if other is None or other.seconds is None:
            continue
        figures[f"toolkit_speedup_{label}_{window}s"] = round(
            other.seconds / (took.seconds or 1e-9), 2
        )
        if took.figures["edges"] is not None:
            checked += 1
            equal &= took.figures["edges"] == other.figures["edges"]
    return figures | {"edges_checked": checked, "edges_equal": equal}


def oracle() -> dict[str, Any]:
    """Cells of the oracle's tables that came out equal, and all there are."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "oracle.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "tests/oracle", f"--junitxml={report}", "-o", "junit_family=xunit1"],
            cwd=TOP,
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.is_file():
            message = f"the oracle's tests did not run: {done.stdout[-500:]}{done.stderr[-500:]}"
            raise RuntimeError(message)
        cases = list(xml.parse(report).iter("testcase"))
    held = [(case, case.find("properties/property[@name='cells']")) for case in cases]
    cells = [(case, int(one.get("value", "0"))) for case, one in held if one is not None]
    failed = {"failure", "error", "skipped"}
    good = sum(number for case, number in cells if not failed & {part.tag for part in case})
    every = sum(number for _, number in cells)
    say(f"oracle: {good} of {every} cells equal")
    return {"oracle_cells": every, "oracle_cells_equal": good}


if __name__ == "__main__":
    sys.exit(main())
