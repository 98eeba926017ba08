"""What becomes of damaged files: mutants of one Parquet file, delivered to nights of the ingest.

Every mutant is delivered on a day of its own beside a good file, to nights with
`limits.bad_files: quarantine`, under three regimes: the platform delivers a manifest; it does not,
but pages carry checksums; neither. A mutant ends refused (in quarantine), with rows rejected,
unchanged (its damage lies where nothing is read), or silently wrong: taken, and other rows than
were written. Good files must all arrive whole.

`--mutants N` a regime; `--seed`. Ends with one line `RESULT {json}`.
"""

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from result import graphguard, print_result, say, timed, work_folder

from graphguard.config.limits import LimitConfig
from graphguard.config.load import load_config
from graphguard.config.values import day_us
from graphguard.errors import DataError
from graphguard.schema import FIXED_POINT
from graphguard.tables.files import read_parquet
from graphguard.tables.guard import FileLimits, Guard
from graphguard.tables.workspace import Workspace
from graphguard.worlds.damage import damaged

FIRST = date(2000, 1, 3)
ROWS = 1500
COLUMNS = ["user_id", "content_id", "ts", "amount", "channel"]
KEYS = COLUMNS[:2]
REGIMES = {"manifest": False, "page checksums": True, "neither": False}
"""Whether pages carry checksums in each."""
OUTCOMES = ("refused", "rows rejected", "unchanged", "silently wrong")
A_NIGHT = 1000
"""Mutants a night: more would be more folders than one workspace sees in a life."""


@dataclass(frozen=True)
class Trial:
    """One night's mutants: those with seeds from `first` on, under one regime."""

    root: Path
    regime: str
    first: int
    number: int

    @property
    def as_of(self) -> date:
        """The day after the last mutant's."""
        return FIRST + timedelta(days=self.number)


def main() -> None:
    """Run all regimes, and say what became of the mutants."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mutants", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    figures: dict[str, object] = {"mutants": chosen.mutants}
    say(
        "| regime | mutants | " + " | ".join(OUTCOMES) + " | good files lost | s a file | peak GB |"
    )
    say("|---|---|" + "---|" * (len(OUTCOMES) + 3))
    for regime in REGIMES:
        found, seconds, peak = run_regime(regime, chosen.mutants, chosen.seed)
        cells = [f"{found[name]:,}" for name in OUTCOMES]
        cells += [str(found["good lost"]), f"{seconds / chosen.mutants:.4f}", f"{peak:.2f}"]
        say(f"| {regime} | {chosen.mutants:,} | " + " | ".join(cells) + " |")
        short = regime.replace(" ", "_")
        figures |= {f"{short}_{name.replace(' ', '_')}": found[name] for name in OUTCOMES}
        figures |= {f"{short}_good_lost": found["good lost"], f"{short}_peak_gb": round(peak, 3)}
        figures[f"{short}_died"] = found["died"]
    figures |= cost_of_proof(chosen.mutants, chosen.seed)
    print_result(figures)


def run_regime(regime: str, mutants: int, seed: int) -> tuple[Counter[str], float, float]:
    """What became of a regime's mutants, the seconds and the largest peak of its nights."""
    total: Counter[str] = Counter(dict.fromkeys((*OUTCOMES, "good lost", "died"), 0))
    seconds, peak = 0.0, 0.0
    for start in range(0, mutants, A_NIGHT):
        root = work_folder("fuzz") / regime.replace(" ", "_")
        shutil.rmtree(root, ignore_errors=True)
        trial = Trial(root, regime, seed + start, min(A_NIGHT, mutants - start))
        config = deliver(trial)
        took = timed(graphguard("nightly", "--config", str(config), "--to", "ingest"))
        seconds, peak = seconds + took.seconds, max(peak, took.peak_gb)
        total += judged(trial, config)
        shutil.rmtree(root)
    return total, seconds, peak


def whole_file(number: int, *, checksums: bool, prefix: str = "u") -> tuple[pa.Table, bytes]:
    """A file of likes with all kinds of columns, and its bytes."""
    draw = np.random.default_rng(0)
    table = pa.table(
        {
            "user_id": [f"{prefix}{one:05d}" for one in draw.integers(0, 400, number)],
            "content_id": [f"c{one:07d}" for one in draw.integers(0, 10**6, number)],
            "ts": pa.array(
                day_us(FIRST) - 1 - draw.integers(0, 86_400_000_000, number), pa.timestamp("us")
            ),
            "amount": np.round(draw.lognormal(3, 1, number), 2),
            "channel": draw.choice(["card", "transfer", "voucher"], number),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", write_page_checksum=checksums, row_group_size=ROWS // 3
    )
    return table, sink.getvalue().to_pybytes()


def deliver(trial: Trial) -> Path:
    """Write a night's logs, labels and config; returns the config."""
    checksums = REGIMES[trial.regime]
    _, whole = whole_file(ROWS, checksums=checksums)
    _, good = whole_file(3, checksums=True, prefix="good")
    for number in range(trial.number):
        day = FIRST + timedelta(days=number)
        folder = trial.root / "likes" / f"dt={day}"
        folder.mkdir(parents=True)
        (folder / "part-0.parquet").write_bytes(good)
        (folder / "part-1.parquet").write_bytes(damaged(whole, trial.first + number)[1])
        sums = {"part-0.parquet": good, "part-1.parquet": whole}
        listed = {name: sha256(data).hexdigest() for name, data in sums.items()}
        (folder / "_manifest.json").write_text(json.dumps({"files": listed}))
    labels = {"user_id": ["u00001"], "is_abusive": [True], "decided_at": [day_us(FIRST)]}
    pl.DataFrame(labels).write_parquet(trial.root / "labels.parquet")
    log = {
        "path": "likes/dt={date}/*.parquet",
        "time": "ts",
        "numeric": ["amount"],
        "categorical": ["channel"],
    }
    if trial.regime == "manifest":
        log["manifest"] = "likes/dt={date}/_manifest.json"
    ends = {"log": "likes", "source": "user_id", "target": "content_id"}
    raw = {
        "as_of": str(trial.as_of),
        "logs": {"likes": log},
        "graph": {"edges": [{"name": ["user", "likes", "content"], **ends}]},
        "labels": {"path": "labels.parquet"},
        "training": {"anchor": {"event": 1}},
        # Rejected rows are counted here, and do not stop the night.
        "limits": {
            "bad_files": "quarantine",
            "max_reject_ratio": 1.0,
            "earliest": "1990-01-01",
            # All files hold the rows of one day.
            "lookback": "20000d",
        },
    }
    path = trial.root / "config.yaml"
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


def judged(trial: Trial, config: Path) -> Counter[str]:
    """What the night made of each mutant, by comparing all rows with those that were written."""
    settings = load_config(config)
    workspace = Workspace(settings.workspace_folder)
    (folder,) = (workspace.root / "runs").iterdir()
    run = workspace.run(folder.name)
    table = read_parquet(run.file("ingest", "deliveries.parquet"))
    mutants = table.filter(pl.col("file").str.ends_with("part-1.parquet"))
    state = dict(mutants.select("unit", "state").iter_rows())
    lost = read_parquet(run.file("ingest", "intake.parquet")).filter(pl.col("rejected") > 0)
    rejected = {Path(name).parent.name for name in lost.get_column("file")}
    names = {kind: workspace.ids(kind) for kind in ("user", "content")}
    expected = {state: expected_rows(trial, state) for state in ("taken", "quarantined")}
    found: Counter[str] = Counter()
    folders = run.partitions("ingest", "events/likes")
    for number in range(trial.number):
        unit = f"dt={FIRST + timedelta(days=number)}"
        events = read_parquet(folders[unit] / "events.parquet")
        for column, kind in (("user_id", "user"), ("content_id", "content")):
            keys = names[kind].decode(events.select(column), column, "__key").get_column("__key")
            events = events.with_columns(keys.alias(column))
        rows = sorted(events.select("user_id", "content_id", "time_us", "amount", "channel").rows())
        found["good lost"] += sum(one[0].startswith("good") for one in rows) != 3
        same = rows == expected[state[unit]]
        if state[unit] != "taken":
            found["refused"] += 1
            # A quarantined file may leave nothing behind.
            found["good lost"] += not same
        elif same:
            found["unchanged"] += 1
        else:
            found["rows rejected" if unit in rejected else "silently wrong"] += 1
    found["died"] = trial.number - len(state)
    return found


def expected_rows(trial: Trial, state: str) -> list[tuple[object, ...]]:
    """What a day must hold: the good file's rows, and the other's as written if it is taken."""
    tables = [whole_file(3, checksums=True, prefix="good")[0]]
    if state == "taken":
        tables.append(whole_file(ROWS, checksums=REGIMES[trial.regime])[0])
    frame = pl.concat([pl.DataFrame(pl.from_arrow(table)) for table in tables])
    amount = (pl.col("amount") * FIXED_POINT).round().cast(pl.Int64)
    return sorted(frame.with_columns(amount, pl.col("ts").cast(pl.Int64)).select(COLUMNS).rows())


def cost_of_proof(mutants: int, seed: int) -> dict[str, object]:
    """Seconds that the process which opens files first takes for each, and how often it died."""
    _, whole = whole_file(ROWS, checksums=True)
    folder = work_folder("fuzz")
    path, slowest = folder / "one.parquet", 0.0
    limits = FileLimits.of(LimitConfig())
    with Guard(limits) as guard:
        start = time.perf_counter()
        path.write_bytes(whole)
        guard.prove(path, COLUMNS, coded=KEYS, decode=True)
        started = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(mutants):
            guard.prove(path, COLUMNS, coded=KEYS, decode=True)
        sound = (time.perf_counter() - start) / mutants
        for number in range(mutants):
            path.write_bytes(damaged(whole, seed + number)[1])
            before = time.perf_counter()
            try:
                guard.prove(path, COLUMNS, coded=KEYS, decode=True)
            except DataError:
                slowest = max(slowest, time.perf_counter() - before)
        deaths = guard.started - 1
    path.unlink()
    say(f"first file {started:.2f} s, a sound file {sound * 1000:.2f} ms, slowest {slowest:.2f} s")
    return {
        "proof_first_s": round(started, 3),
        "proof_ms": round(sound * 1000, 3),
        "proof_slowest_s": round(slowest, 3),
        "reader_deaths": deaths,
    }


if __name__ == "__main__":
    sys.exit(main())
