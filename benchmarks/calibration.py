"""Do probabilities mean what they say on generated platforms, are promises kept, is drift noticed?

On each world nights run every fortnight, as they would on a platform: trees, calibrated and
certified on past anchors. Each night's scores are then held against who was enforced within the
horizon, which no job has read. Beside each clean night runs its drifted twin, in which something
changed in the last fortnight (`graphguard/worlds/drifts.py`).

Reported, all clean nights pooled: slope of the reliability line, expected over observed positives
in five bins of equal positives, Brier skill, the gap in the highest hundredth; in how many nights a
precision was promised and in how many it was missed; how often the drift gate was red, clean and
drifted, and what left automatically while it was. Beside each figure stands its 95% interval over
worlds (`by_world.py`; about half a second a draw of sixty nights).

Worlds of a few thousand users hold a handful of rings, so their share is `--abuse` times that of
the default world; a night sees as many as on a platform of `--users` times `--abuse`. Trees are one
bag of at most 200 rounds (`--default-trees`: as configured). A night that is done is not run
again; `--report` tells of those that are.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from by_world import DRAWS, by_world, told
from numpy.typing import NDArray
from result import TOP, print_result, say, work_folder

from graphguard.config.load import load_config
from graphguard.config.values import day_us
from graphguard.evaluate.calibration import CalibrationReport, calibration_report
from graphguard.evaluate.metrics import auprc, auroc
from graphguard.jobs.decide import thresholds_tonight
from graphguard.jobs.nightly import Night, run_night
from graphguard.policy.rules import is_review
from graphguard.tables.files import read_json, read_parquet
from graphguard.tables.workspace import Run
from graphguard.worlds import WorldSpec, write_world
from graphguard.worlds.drifts import DRIFTS, change_days, drift_world
from graphguard.worlds.spec import END

FORTNIGHT = timedelta(days=14)
FIRST_DAYS = 70
"""Days of log before the first night: a window and four anchors."""
PROMISES = (0.8, 0.5, 0.3, 0.2, 0.1, 0.05)
CONFIDENCE = 0.9
CLEAN = "clean"
BINS = 5
World = list[dict[str, Any]]
"""Figures of a world's nights."""


@dataclass(frozen=True)
class Size:
    """How large the worlds are, and what runs on them."""

    users: int
    abuse: float
    nights: int
    drifted: bool
    default_trees: bool

    def name(self, seed: int) -> str:
        """Folder of a world's figures: another size is another folder."""
        trees = "default" if self.default_trees else "small"
        return f"{self.users}x{self.abuse:g}-{self.nights}-{trees}-{seed}"


def main() -> int:
    """Run the worlds, two at a time, print the tables, end with the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2)
    parser.add_argument("--nights", type=int, default=3, help="nights on each world")
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--abuse", type=float, default=3.0, help="times the default share")
    parser.add_argument("--first-seed", type=int, default=201)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-drift", action="store_true", help="clean nights only")
    parser.add_argument("--default-trees", action="store_true")
    parser.add_argument("--report", action="store_true", help="of the nights that are done")
    parser.add_argument("--draws", type=int, default=DRAWS, help="of worlds, for intervals")
    parser.add_argument("--one-seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = Size(
        options.users, options.abuse, options.nights, not options.no_drift, options.default_trees
    )
    if options.one_seed is not None:
        run_world(size, options.one_seed)
        return 0
    seeds = list(range(options.first_seed, options.first_seed + options.worlds))
    if not options.report:
        run_worlds(size, seeds, options.processes)
    done = [nights for seed in seeds if (nights := figures(size, seed))]
    print_result(report(done, size, options.draws))
    return 0


def run_worlds(size: Size, seeds: list[int], processes: int) -> None:
    """Run each world in a process of its own, one thread each, so that cores are not shared."""
    threads = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    waiting = [seed for seed in seeds if len(figures(size, seed)) < len(wanted(size, seed))]
    total, running = len(waiting), {}
    while waiting or running:
        while waiting and len(running) < processes:
            seed = waiting.pop(0)
            command = [sys.executable, __file__, *sys.argv[1:], "--one-seed", str(seed)]
            running[seed] = subprocess.Popen(command, env={**os.environ, **threads})
        seed, child = next(iter(running.items()))
        for other, one in running.items():
            if one.poll() is not None:
                seed, child = other, one
        code = child.wait()
        del running[seed]
        if code:
            for one in running.values():
                one.terminate()
            raise subprocess.CalledProcessError(code, child.args)
        say(f"world {seed} is done ({total - len(waiting) - len(running)} of {total})")


def done_file(size: Size, seed: int) -> Path:
    """Where the figures of a world's nights lie as they are done."""
    return work_folder("calibration") / f"{size.name(seed)}.json"


def figures(size: Size, seed: int) -> list[dict[str, Any]]:
    """The nights of a world that are done."""
    path = done_file(size, seed)
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    return found


def run_world(size: Size, seed: int) -> None:
    """Make a world, run its nights, and leave what they said and what came true.

    A night that is done is not run again; each is kept as it ends.
    """
    folder, found = work_folder(f"calibration/{size.name(seed)}"), figures(size, seed)
    if not found:
        shutil.rmtree(folder)
    if not (folder / "clean").is_dir():
        make_world(size, seed, folder / "clean")
    for as_of, kind in wanted(size, seed)[len(found) :]:
        found.append(one_night(size, folder, as_of, kind))
        said = f"seed {seed}, {as_of}, {kind}: gate {found[-1]['verdict']}"
        say(f"{said}, {sum(found[-1]['label'])} positives, {found[-1]['promises']}")
        written = done_file(size, seed).with_suffix(".part")
        written.write_text(json.dumps(found), encoding="utf-8")
        written.rename(done_file(size, seed))
    shutil.rmtree(folder, ignore_errors=True)


def make_world(size: Size, seed: int, folder: Path) -> None:
    """Write the logs of a platform that lasts as long as its nights need."""
    days = FIRST_DAYS + FORTNIGHT.days * size.nights
    # Rings and lone abusers begin all along: a longer world needs more to see as many at a time.
    share = size.abuse * days / FIRST_DAYS
    spec = WorldSpec(size.users, days, seed, ring_share=0.03 * share, solo_share=0.01 * share)
    write_world(spec, folder)


def wanted(size: Size, seed: int) -> list[tuple[date, str]]:
    """The nights of a world in the order in which they run, with what has drifted before each."""
    nights = [END - FORTNIGHT * (size.nights - number) for number in range(size.nights)]
    clean = [(as_of, CLEAN) for as_of in nights]
    if not size.drifted:
        return clean
    # After all clean ones, which so have only clean nights before them.
    kinds, first = list(DRIFTS), seed * size.nights
    return clean + [(day, kinds[(first + n) % len(kinds)]) for n, day in enumerate(nights)]


def one_night(size: Size, folder: Path, as_of: date, kind: str) -> dict[str, Any]:
    """Run a night on the clean world or on one that has drifted in its last fortnight."""
    world = folder / "clean"
    if kind != CLEAN:
        world = folder / "drifted"
        drift_world(folder / "clean", world, kind, change_days(as_of))
    raw = night_config(size, folder, world)
    path = folder / f"{world.name}.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    run = run_night(Night(load_config(path, as_of=as_of.isoformat()), last="decide"))
    told = read_parquet(run.file("embed", "predictions.parquet")).sort("key")
    drift = read_json(run.file("decide", "drift.json"))
    if kind != CLEAN:
        shutil.rmtree(world)
    label = enforced(folder / "clean", as_of, told.get_column("key"))
    risk = told.get_column("risk_score").to_numpy()
    return {
        "as_of": as_of.isoformat(),
        "kind": kind,
        "verdict": drift["verdict"],
        "reason": drift["reason"],
        "automatic": automatic(run),
        "risk": [float(f"{one:.6g}") for one in risk],
        "label": label.astype(int).tolist(),
        "promises": promises(run, risk, label) if kind == CLEAN else {},
    }


def night_config(size: Size, folder: Path, world: Path) -> dict[str, Any]:
    """The demo's config on a world: trees alone, and an action for each promised precision."""
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    raw: dict[str, Any] = yaml.safe_load(text.replace("../demo/world", str(world)))
    raw |= {"workspace": str(folder / "workspace"), "export": []}
    raw["training"] |= {"models": ["trees"], "min_positives": 3}
    if not size.default_trees:
        raw["training"]["trees"] = {"bags": 1, "rounds": 200}
    promised = [
        {"name": f"act_{one:g}", "precision": one, "confidence": CONFIDENCE} for one in PROMISES
    ]
    raw["policy"] = {
        "actions": [*promised, {"name": "review", "budget": 100}],
        "review_budget": 100,
        "max_action_rate": 1.0,
    }
    return raw


def enforced(world: Path, as_of: date, keys: pl.Series) -> NDArray[np.bool_]:
    """Who of the scored users was enforced within the horizon, and not cleared in it."""
    labels = pl.read_parquet(world / "labels" / "decisions.parquet")
    time = pl.col("decided_at").dt.timestamp("us")
    inside = labels.filter(time >= day_us(as_of), time < day_us(as_of + FORTNIGHT))
    newest = inside.sort("decided_at").unique("user_id", keep="last")
    bad = newest.filter("is_abusive").get_column("user_id")
    return keys.is_in(bad.implode()).to_numpy()


def automatic(run: Run) -> int:
    """Decisions of the night that no person looks at first."""
    decided = read_parquet(run.file("decide", "decisions.parquet")).get_column("action")
    return sum(not is_review(action) for action in decided)


def promises(
    run: Run, risk: NDArray[np.float64], label: NDArray[np.bool_]
) -> dict[str, tuple[int, int]]:
    """For each precision that was promised: rows at or above the threshold, and their positives."""
    found = {}
    for name, threshold in thresholds_tonight(run).items():
        if threshold is not None:
            above = risk >= threshold
            found[name.removeprefix("act_")] = (int(above.sum()), int(label[above].sum()))
    return found


def report(worlds: list[World], size: Size, draws: int) -> dict[str, Any]:
    """Print the tables and return the figures, each with its interval over worlds."""
    found, ranges = figures_of(worlds), by_world(worlds, figures_of, draws)
    nights = [night for world in worlds for night in world]
    clean = [night for night in nights if night["kind"] == CLEAN]
    risk, label = said_and_true(clean)
    made = calibration_report(risk, label, bins=BINS)
    say_calibration(made, f"{len(clean)} clean nights pooled", ranges)
    promised = say_promises(clean, ranges)
    say_gate(nights, ranges)
    return {
        "users": size.users,
        "abuse": size.abuse,
        "rows": len(label),
        "positives": int(label.sum()),
        "clean_runs": len(clean),
        "drifted_runs": len(nights) - len(clean),
        "automatic_while_red": sum(n["automatic"] for n in nights if n["verdict"] == "red"),
        **promised,
        **{name: np.round(value, 4).tolist() for name, value in found.items()},
        "intervals": ranges,
    }


def figures_of(worlds: Sequence[World]) -> dict[str, float | list[float]]:
    """What worlds' nights show in all; of drifted nights only where there are some."""
    nights = [night for world in worlds for night in world]
    clean = [night for night in nights if night["kind"] == CLEAN]
    drifted = [night for night in nights if night["kind"] != CLEAN]
    risk, label = said_and_true(clean)
    found = calibration_report(risk, label, bins=BINS)
    figures: dict[str, float | list[float]] = {
        "auprc": auprc(risk, label),
        "auroc": auroc(risk, label),
        "reliability_slope": found.slope,
        "diagram_slope": found.diagram_slope,
        "expected_over_observed": list(found.expected_over_observed),
        "brier_skill": found.brier_skill,
        "ece": found.ece,
        "top_said": found.top_said,
        "top_seen": found.top_seen,
        "top_over": found.top_said - found.top_seen,
        "top_gap": abs(found.top_said - found.top_seen),
        "promise_missed_share": max(map(len, missed(clean).values())) / len(clean),
        "gate_red_clean": share_red(clean),
    }
    return figures | ({"gate_red_drifted": share_red(drifted)} if drifted else {})


def said_and_true(nights: list[dict[str, Any]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities and labels of all rows of nights."""
    risk = np.concatenate([np.array(night["risk"]) for night in nights])
    return risk, np.concatenate([np.array(night["label"]) for night in nights])


def say_calibration(
    found: CalibrationReport, what: str, ranges: Mapping[str, Any] | None = None
) -> None:
    """Print the reliability table, with intervals where there are any."""
    held = ranges or {}
    skill, ece = told(held.get("brier_skill")), told(held.get("ece"))
    say(f"{what}: Brier skill {found.brier_skill:.4f}{skill}")
    say(f"calibration error {found.ece:.4f}{ece}")
    slope, diagram = told(held.get("reliability_slope")), told(held.get("diagram_slope"))
    line = f"of the diagram {found.diagram_slope:.3f}{diagram}"
    say(f"slope of the log-odds {found.slope:.3f}{slope}, {line}")
    say("| probability | rows | positives | said | seen | expected over observed |")
    say("|---|---|---|---|---|---|")
    ratios = iter(held.get("expected_over_observed", ()))
    for one in found.bins:
        ratio = f"{one.said / one.seen:.2f}{told(next(ratios, None))}" if one.positives else ""
        cells = f"{one.rows} | {one.positives} | {one.said:.4f} | {one.seen:.4f} | {ratio}"
        say(f"| {one.low:.4f} to {one.high:.4f} | {cells} |")
    over = f"{found.top_said - found.top_seen:+.3f}{told(held.get('top_over'))}"
    say(f"highest hundredth: said {found.top_said:.3f}, came true {found.top_seen:.3f}, {over}")


def held_by(clean: list[dict[str, Any]]) -> dict[str, list[tuple[int, int]]]:
    """Rows above the threshold, and their positives, of each night that promised a precision."""
    return {
        one: [night["promises"][one] for night in clean if one in night["promises"]]
        for one in map(str, PROMISES)
    }


def missed(clean: list[dict[str, Any]]) -> dict[str, list[tuple[int, int]]]:
    """Those of `held_by` that held less than was promised."""
    return {
        precision: [(rows, hits) for rows, hits in held if hits < float(precision) * rows]
        for precision, held in held_by(clean).items()
    }


def say_promises(clean: list[dict[str, Any]], ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Print in how many nights each precision was promised, and in how many it was missed."""
    made, broken = held_by(clean), missed(clean)
    say("| precision promised | nights it was promised in | missed | users above, in all | right |")
    say("|---|---|---|---|---|")
    for precision, held in made.items():
        rows, hits = sum(one[0] for one in held), sum(one[1] for one in held)
        right = f"{hits / rows:.3f}" if rows else ""
        say(f"| {precision} | {len(held)} | {len(broken[precision])} | {rows} | {right} |")
    worst = max(map(len, broken.values())) / len(clean)
    interval = told(ranges.get("promise_missed_share"))
    say(f"the most missed one: in {worst:.3f} of the nights{interval}")
    return {
        "promises_made": {one: len(held) for one, held in made.items()},
        "promises_missed": {one: len(held) for one, held in broken.items()},
    }


def say_gate(nights: list[dict[str, Any]], ranges: Mapping[str, Any]) -> None:
    """Print how often the gate was red by kind of drift, and what left in spite of it."""
    say("| kind | nights | gate red | automatic decisions while red |")
    say("|---|---|---|---|")
    for kind in (CLEAN, *DRIFTS):
        mine = [night for night in nights if night["kind"] == kind]
        red = [night for night in mine if night["verdict"] == "red"]
        if mine:
            left = sum(night["automatic"] for night in red)
            say(f"| {kind} | {len(mine)} | {len(red)} | {left} |")
    for name, what in (("gate_red_clean", CLEAN), ("gate_red_drifted", "drifted")):
        if name in ranges:
            say(f"gate red on {what} nights, by worlds:{told(ranges[name])}")


def share_red(nights: list[dict[str, Any]]) -> float:
    """Share of the nights whose gate was red."""
    return sum(night["verdict"] == "red" for night in nights) / len(nights)


if __name__ == "__main__":
    sys.exit(main())
