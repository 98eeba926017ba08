"""How good is a night on generated platforms, on users and rings nobody had labelled?

For each seed a world is made, a night runs on it, and its models and rings are held against the
truth that the jobs never read. Users with a decision before the cutoff are left out; ring recall is
also given on rings of which no member had one.

Models: AUPRC, precision at the review budget, AUROC and recall at 1% false positives of trees and
sage with bootstrap intervals, beside XGBoost on per-user counts taught with the same labels. All
abusive users count as positives, those that lie still too; beside it the same with positives that
acted for a ring (or spammed) in the window, once or twice; by kind of abuse; and what trees lose on
users who were taken out of training (`benchmarks/world_models.py`).

Rings: precision is the share of reported members that are in a true ring; recall, by kind, the
share found of the members that acted for their ring in the window, once or more, and twice or
more. Beside it: co-action weight >= 2 within a minute. Pairs and rings by kind, beside what others
do: `world_rings.py`. `--parts rings` leaves the models' figures out.

Seeds 101 to 110 are for reading the bars and are not used to develop; seed 7 is the demo's.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xgboost
import yaml
from judging import scores_of
from numpy.typing import NDArray
from result import TOP, print_result, say, work_folder
from world_models import Ranked, models_table, scores_without, unseen_users
from world_rings import judge_pairs, new_tally, pairs_table

from graphguard.config.load import load_config
from graphguard.config.sections import Config
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import trace_acts
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.nightly import Night, require_as_of, run_night
from graphguard.jobs.slices import slices
from graphguard.jobs.train import graph_context, labels_of, load_dataset
from graphguard.rings.coaction import find_coactions
from graphguard.tables.files import read_parquet
from graphguard.tables.workspace import Run
from graphguard.worlds import WorldSpec, write_world
from graphguard.worlds.spec import KINDS

PEER = "counts"
PARTS = ("models", "rings")
COUNTS = ("num_events", "active_days", "num_objects", "objects_per_event", "events_per_day")
MINUTE_US = 60_000_000


@dataclass
class Found:
    """What the seeds gave, one entry a seed."""

    ranked: Ranked = field(default_factory=Ranked)
    members: list[pl.DataFrame] = field(default_factory=list)
    """True ring members that acted, without a decision: `kind, acts, found, baseline, fresh`.

    `fresh` says that no member of the ring had a decision."""
    reported: int = 0
    in_ring: int = 0
    baseline_reported: int = 0
    baseline_in_ring: int = 0


def main() -> int:
    """Run the seeds, print the tables, end with the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="7", help="such as 7 or 101-110")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=70)
    parser.add_argument("--models", default="trees,sage")
    parser.add_argument("--themes", nargs="*", help="beside the default ones, not the demo's")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="what is judged")
    options = parser.parse_args()
    found, tally = Found(), new_tally()
    figures: dict[str, Any] = {}
    seeds = read_seeds(options.seeds)
    for seed in seeds:
        folder = work_folder(f"world_{seed}")
        shutil.rmtree(folder)
        write_world(WorldSpec(options.users, options.days, seed), folder / "world")
        config = write_config(folder, options.models.split(","), options.themes)
        run = run_night(Night(config, last="find_rings"))
        if "models" in options.parts:
            judge_models(config, run, folder / "world" / "truth", found)
        if "rings" in options.parts:
            judge_rings(config, run, folder / "world" / "truth", found)
            judge_pairs(config, run, folder / "world" / "truth", tally)
        shutil.rmtree(folder)
        # A long run that is stopped has told what it knew.
        say(f"seeds up to {seed}, pooled:")
        figures = models_table(found.ranked, PEER) if "models" in options.parts else {}
        if "rings" in options.parts:
            figures |= {**rings_table(found), "pairs": pairs_table(tally)}
    print_result({"seeds": options.seeds, **figures})
    return 0


def read_seeds(text: str) -> list[int]:
    """Seeds of `7`, `7,8` or `101-110`."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(s) for s in text.split(",")]


def write_config(folder: Path, models: list[str], themes: list[str] | None) -> Config:
    """The demo's config on this world; with other themes beside the default ones if given."""
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text.replace("../demo/world", str(folder / "world")))
    raw["workspace"], raw["export"] = str(folder / "workspace"), []
    raw["training"]["models"] = models
    if themes is not None:
        raw["features"] = [*Config.model_fields["features"].default, *themes]
    (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return load_config(folder / "config.yaml")


def acts_in_window(config: Config, truth: Path) -> pl.DataFrame:
    """Acts for a ring, or spam, of each user in the window before the cutoff."""
    until = require_as_of(config)
    since = until - timedelta(days=config.graph.window.days)
    acts = pl.read_parquet(truth / "acts.parquet")
    inside = acts.filter(pl.col("day").is_between(since, until, closed="left"))
    return inside.group_by("user_id").agg(pl.col("acts").sum())


def judge_models(config: Config, run: Run, truth: Path, found: Found) -> None:
    """Score the rows of users nobody had labelled, with every model and with the peer."""
    day = require_as_of(config)
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    job = Job(config, day, run, None, Silent())
    data = load_dataset(job, graph)
    chosen = data.inside([slices(config, day).score])
    keys = data.keys.gather(chosen)
    labelled = run_labels(run)
    chosen = chosen[~keys.is_in(labelled.implode()).to_numpy()]
    context = graph_context(job, graph, data)
    scores = scores_of(run, data.rows.take(chosen), context)
    scores[PEER] = peer_scores(config, data, chosen)
    people = pl.read_parquet(truth / "users.parquet")
    rows = pl.DataFrame({"user_id": data.keys.gather(chosen)})
    rows = rows.join(people, on="user_id", how="left", maintain_order="left")
    rows = rows.join(acts_in_window(config, truth), on="user_id", how="left", maintain_order="left")
    ranked = found.ranked
    ranked.label.append(rows.get_column("abusive").to_numpy())
    ranked.acts.append(rows.get_column("acts").fill_null(0).to_numpy())
    ranked.kind.append(rows.get_column("kind").to_numpy())
    for name, score in scores.items():
        ranked.score.setdefault(name, []).append(score)
    if "trees" in config.training.models:
        ranked.unseen.append(unseen_users(data, chosen, config.training.seed))
        ranked.without.append(scores_without(job, data, context, chosen))


def run_labels(run: Run) -> pl.Series:
    """Keys of users with a decision before the cutoff."""
    labels = read_parquet(run.file("ingest", "labels.parquet"))
    return run.workspace.ids("user").decode(labels, "entity", "key").get_column("key").unique()


def peer_scores(config: Config, data: Any, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """XGBoost on the per-user counts among the columns, taught with all mature anchors."""
    spans = slices(config, require_as_of(config))
    past = data.inside([*spans.train, spans.select, spans.calibrate])
    places = [
        place
        for place, name in enumerate(data.rows.names)
        if name.endswith(COUNTS) and "nbr_" not in name
    ]
    trees = xgboost.XGBClassifier(
        n_estimators=300, max_depth=5, learning_rate=0.05, subsample=0.8, random_state=0, n_jobs=2
    )
    trees.fit(data.rows.x[past][:, places], labels_of(data, past))
    scored: NDArray[np.float64] = trees.predict_proba(data.rows.x[chosen][:, places])[:, 1]
    return scored.astype(np.float64)


def judge_rings(config: Config, run: Run, truth: Path, found: Found) -> None:
    """Hold the night's rings, and the users that co-action weight >= 2 flags, against the truth."""
    people = pl.read_parquet(truth / "users.parquet")
    labelled = run_labels(run)
    members = read_parquet(run.file("find_rings", "ring_members.parquet")).get_column("key")
    flagged = weight_two(config, run)
    for keys, rule in ((members, "rings"), (flagged, "baseline")):
        told = people.filter(pl.col("user_id").is_in(keys.implode()))
        inside = int(told.get_column("ring_id").is_not_null().sum())
        if rule == "rings":
            found.reported += told.height
            found.in_ring += inside
        else:
            found.baseline_reported += told.height
            found.baseline_in_ring += inside
    known = pl.col("user_id").is_in(labelled.implode())
    ringed = people.filter(pl.col("ring_id").is_not_null())
    ringed = ringed.with_columns((~known.any().over("ring_id")).alias("fresh"))
    acted = ringed.join(acts_in_window(config, truth), on="user_id")
    found.members.append(
        acted.filter(~known).select(
            "fresh",
            "kind",
            "acts",
            pl.col("user_id").is_in(members.implode()).alias("found"),
            pl.col("user_id").is_in(flagged.implode()).alias("baseline"),
        )
    )


def weight_two(config: Config, run: Run) -> pl.Series:
    """Users with two or more common objects within a minute with somebody: the usual rule."""
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    day = require_as_of(config)
    job = Job(config, day, run, None, Silent())
    users: set[int] = set()
    for trace in config.rings.traces:
        made = trace_acts(job, graph, trace, day)
        if made is not None:
            hashes = np.arange(graph.num_nodes["user"], dtype=np.uint64)
            pairs = find_coactions(made[0], [MINUTE_US], hashes).pairs
            strong = pairs.filter(pl.col("weight_0") >= 2)
            users |= set(strong.get_column("user_a")) | set(strong.get_column("user_b"))
    keys = graph.keys("user")
    return pl.Series("key", [keys[user] for user in sorted(users)], dtype=pl.String)


def rings_table(found: Found) -> dict[str, Any]:
    """Print and return precision, and recall by kind."""
    members = pl.concat(found.members)
    precision = found.in_ring / max(found.reported, 1)
    usual = found.baseline_in_ring / max(found.baseline_reported, 1)
    say(f"ring members reported: {found.reported}, in a true ring: {precision:.3f}")
    say(f"flagged by weight >= 2: {found.baseline_reported}, in a true ring: {usual:.3f}")
    say(
        "| kind | members that acted | recall | acted twice | recall "
        "| in rings never labelled | recall | weight >= 2: recall |"
    )
    say("|---|---|---|---|---|---|---|---|")
    kinds: dict[str, Any] = {}
    for kind in KINDS:
        mine = members.filter(pl.col("kind") == kind)
        twice = mine.filter(pl.col("acts") >= 2)
        fresh = mine.filter(pl.col("fresh"))
        row = {
            "members": mine.height,
            "recall": share(mine, "found"),
            "twice": twice.height,
            "recall_twice": share(twice, "found"),
            "fresh": fresh.height,
            "recall_fresh": share(fresh, "found"),
            "baseline_recall": share(mine, "baseline"),
        }
        kinds[kind] = row
        say("| " + " | ".join([kind, *(str(value) for value in row.values())]) + " |")
    figures = {"precision": round(precision, 4), "reported": found.reported}
    usual_figures = {"precision": round(usual, 4), "reported": found.baseline_reported}
    return {"rings": {**figures, "weight_two": usual_figures, "kinds": kinds}}


def share(rows: pl.DataFrame, name: str) -> float | None:
    """Share of the rows where `name` holds; None without rows."""
    return round(float(rows.get_column(name).sum()) / rows.height, 3) if rows.height else None


if __name__ == "__main__":
    sys.exit(main())
