"""A platform of two logs that tests deliver broken, hostile or strange files to."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from graphguard.config.load import load_config
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.files import read_json, read_parquet

CLI = [sys.executable, "-c", "from graphguard.jobs.cli import main; main()"]
# A child begins with its parent's peak of memory, so that the parent has to be a small one.
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    file.write(f"{used.ru_maxrss / 1024} {used.ru_utime + used.ru_stime}")
sys.exit(code)
"""
FIRST = date(2026, 1, 5)
SECOND_US = 1_000_000


def us(day, seconds=0):
    """Microseconds of a moment of a day."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int(start.timestamp()) * SECOND_US + int(seconds * SECOND_US)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stderr: str
    seconds: float
    peak_mb: float
    """The largest of its processes."""
    cpu_seconds: float

    @property
    def figures(self):
        took = f"{self.seconds:.1f} s ({self.cpu_seconds:.1f} of cpu)"
        return f"exit {self.code} in {took}, peak {self.peak_mb:.0f} MB"


@dataclass
class Platform:
    """Folder of likes and labels, with the config of nights on them."""

    root: Path
    raw: dict = field(default_factory=dict)

    def __post_init__(self):
        self.raw = {
            "workspace": "workspace",
            "logs": {"likes": {"path": "logs/likes/dt={date}/*.parquet", "time": "ts"}},
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
            "labels": {"path": "labels.parquet"},
            # One row a user, at its first event: such a night needs no history.
            "training": {"anchor": {"event": 1}},
        }
        self.write(
            "labels.parquet",
            user_id=["u0"],
            is_abusive=[True],
            decided_at=pl.Series([us(FIRST)]).cast(pl.Datetime("us", "UTC")),
        )

    def write(self, name, **columns):
        """Write a file with page checksums."""
        return self.put(name, pl.DataFrame(columns).to_arrow())

    def put(self, name, table, **options):
        """Write an Arrow table."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **{"write_page_checksum": True, **options})
        return path

    def likes(self, day, number, part=0, **more):
        """Write a day of likes: user u0 likes c0, u1 c1 ..., a second apart."""
        return self.put(self.part(day, part), likes_table(day, number).combine_chunks(), **more)

    def part(self, day, part=0):
        return f"logs/likes/dt={day.isoformat()}/part-{part}.parquet"

    def sign(self, day, files=None):
        """Write the manifest of a day as the platform would, of `files` or all that is there."""
        folder = self.root / "logs" / "likes" / f"dt={day.isoformat()}"
        files = sorted(folder.glob("*.parquet")) if files is None else files
        listed = {path.name: sha256(path.read_bytes()).hexdigest() for path in files}
        (folder / "_manifest.json").write_text(json.dumps({"files": listed}))
        self.raw["logs"]["likes"]["manifest"] = "logs/likes/dt={date}/_manifest.json"

    def config(self, as_of=FIRST + timedelta(days=1)):
        path = self.root / "config.yaml"
        path.write_text(yaml.safe_dump(self.raw), encoding="utf-8")
        return load_config(path, as_of=as_of.isoformat())

    def night(self, to="ingest", as_of=FIRST + timedelta(days=1)):
        """Run a night up to a stage, in this process."""
        return run_night(Night(self.config(as_of), last=to))

    def command(self, to="ingest", as_of=FIRST + timedelta(days=1)):
        """Run a night by the command line, and take its time and the peak of its memory."""
        self.config(as_of)
        config = ["--config", str(self.root / "config.yaml"), "--as-of", as_of.isoformat()]
        peak = self.root / "peak"
        start = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-c", MEASURED, str(peak), *CLI, "nightly", *config, "--to", to],
            check=False,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        return Ended(ended.returncode, ended.stderr, seconds, *map(float, peak.read_text().split()))


def likes_table(day, number):
    step = [us(day, n) for n in range(number)]
    return pa.table(
        {
            "user_id": [f"u{n}" for n in range(number)],
            "content_id": [f"c{n}" for n in range(number)],
            "ts": pa.array(step, pa.timestamp("us", tz="UTC")),
        }
    )


def run_facts(platform):
    """The content of the one run's run.json."""
    (path,) = (platform.root / "workspace" / "runs").glob("*/run.json")
    return read_json(path)


def ingested(run, name):
    """A table that a run's ingest left."""
    return read_parquet(run.file("ingest", f"{name}.parquet"))
