"""Does the night find tomorrow's vandals on a real platform's log, and by how much?

For three dates a night runs on the edits of Wikipedia known by then. Its models then rank the users
whose third edit falls in the next 28 days, each by what stood in the log at that edit. Beside it,
on the same rows: XGBoost on per-user counts, taught with every row whose label was known. With
`--mode calendar` the rows are the users active before the date, as in a nightly run.

The data's folder is named by GRAPHGUARD_DATA (default: shared/data beside the project).
"""

import argparse
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xgboost
from judging import as_cell, as_list, champion_of, scores_of
from numpy.typing import NDArray
from result import TOP, print_result, say, work_folder

from graphguard.config.load import load_config
from graphguard.config.sections import Config
from graphguard.config.values import day_us
from graphguard.evaluate.bootstrap import Bootstrap, intervals, paired_difference
from graphguard.evaluate.ranking import rank_metrics
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.train import load_dataset
from graphguard.models.base import GraphContext
from graphguard.tables.commit import read_manifest
from graphguard.tables.workspace import Run

DATES = (date(2013, 10, 1), date(2014, 1, 15), date(2014, 6, 15))
AHEAD = timedelta(days=28)
BUDGET = 100
Asked = tuple[pl.Series, NDArray[np.int64]]
"""Keys and anchors of rows."""
METRICS = ("auroc", "auprc", "recall_at_fpr_0.01")
PEER = "counts"


@dataclass(frozen=True)
class Judged:
    """Test rows of one date: their labels and every model's score; the night's seconds."""

    label: NDArray[np.bool_]
    score: dict[str, NDArray[np.float64]]
    champion: str
    seconds: float


def main() -> int:
    """Run the nights, print the table, end with the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("event", "calendar", "both"), default="both")
    parser.add_argument("--keep", action="store_true", help="keep the workspace of an earlier run")
    options = parser.parse_args()
    os.environ.setdefault("GRAPHGUARD_DATA", str(TOP.parent / "shared" / "data"))
    data = Path(os.environ["GRAPHGUARD_DATA"]) / "wikipedia_vandals"
    if not (data / "edits.parquet").is_file():
        say(f"{data}: no edits.parquet; set GRAPHGUARD_DATA to the folder of the real data")
        return 99
    result: dict[str, object] = {}
    for mode in ("event", "calendar") if options.mode == "both" else (options.mode,):
        folder = work_folder(f"real_{mode}")
        if not options.keep:
            shutil.rmtree(folder)
        every = []
        for day in DATES:
            say(f"{mode}: night of {day}")
            every.append((judge_events if mode == "event" else judge_calendar)(folder, day, data))
        result[mode] = table(mode, every)
    print_result(result)
    return 0


def night_config(mode: str, folder: Path, day: date) -> Config:
    """The example config with its workspace in `folder`."""
    name = "wikipedia.yaml" if mode == "event" else "wikipedia_calendar.yaml"
    config = load_config(TOP / "configs" / name, as_of=day.isoformat())
    return config.model_copy(update={"workspace": folder / "workspace"})


def judge_events(folder: Path, day: date, data: Path) -> Judged:
    """Models of the night at `day` on users whose anchor lies in the 28 days from it."""
    config = night_config("event", folder, day)
    run = run_night(Night(config))
    # Only rows are taken from this second run, each cut at its own anchor; nothing is learned here.
    later = night_config("event", folder, day + AHEAD)
    rows_run = run_night(Night(later, last="featurize", run_id=f"{day}-rows"))
    rows_job = Job(later, day + AHEAD, rows_run, None, Silent())
    return judge(rows_job, (day_us(day), day_us(day + AHEAD)), run, data)


def judge_calendar(folder: Path, day: date, data: Path) -> Judged:
    """The night's own scores of the users active before `day`."""
    config = night_config("calendar", folder, day)
    run = run_night(Night(config))
    return judge(Job(config, day, run, None, Silent()), (day_us(day), day_us(day) + 1), run, data)


def judge(rows: Job, span: tuple[int, int], run: Run, data: Path) -> Judged:
    """Score the rows of a job with anchors in `span` by the models of `run`, and by the peer."""
    graph = HeteroGraph.open(rows.run.stage("build_graph") / "graph")
    dataset = load_dataset(rows, graph)
    horizon, window = rows.config.training.horizon.us, rows.config.graph.window.us
    # The peer learns from every row whose label was known at the night's cutoff.
    chosen = dataset.inside([span])
    past = dataset.inside([(0, span[0] - horizon + 1)])
    context = GraphContext(graph, rows.config.training.target, window, dataset.rows)
    test = (dataset.keys.gather(chosen), dataset.rows.anchor_us[chosen])
    known = (dataset.keys.gather(past), dataset.rows.anchor_us[past])
    peer = xgboost.XGBClassifier(
        n_estimators=300, max_depth=5, learning_rate=0.05, subsample=0.8, random_state=0, n_jobs=2
    )
    peer.fit(counts(data, known, window), labels(data, known, horizon))
    return Judged(
        label=labels(data, test, horizon),
        score={
            **scores_of(run, dataset.rows.take(chosen), context),
            PEER: peer.predict_proba(counts(data, test, window))[:, 1],
        },
        champion=champion_of(run),
        seconds=sum(
            float(read_manifest(run.stage(name))["seconds"]) for name in run.facts()["stages"]
        ),
    )


def labels(data: Path, asked: Asked, horizon_us: int) -> NDArray[np.bool_]:
    """Whether each row's user is blocked in [anchor, anchor + horizon)."""
    held = pl.read_parquet(data / "labels.parquet", columns=["user", "is_vandal", "blocked_ts"])
    held = held.filter((pl.col("is_vandal") == 1) & pl.col("blocked_ts").is_not_null())
    first = held.group_by("user").agg(pl.col("blocked_ts").min().dt.epoch("us").alias("blocked"))
    rows = pl.DataFrame({"user": asked[0], "anchor": asked[1]})
    joined = rows.join(first, on="user", how="left", maintain_order="left")
    since = joined.get_column("blocked") - joined.get_column("anchor")
    return since.is_between(0, horizon_us, closed="left").fill_null(value=False).to_numpy()


def counts(data: Path, asked: Asked, window_us: int) -> NDArray[np.float64]:
    """Per-user counts of the window before each anchor: what anybody would count first.

    Edits, pages, days, hours, edits per page, per day, of the commonest page, and on the last day.
    """
    edits = pl.scan_parquet(data / "edits.parquet").select(
        "user", "page", pl.col("ts").dt.epoch("us").alias("t")
    )
    rows = pl.LazyFrame({"user": asked[0], "anchor": asked[1]}).with_row_index("row")
    day, hour = 86_400_000_000, 3_600_000_000
    inside = (
        rows.join(edits, on="user")
        .filter((pl.col("t") < pl.col("anchor")) & (pl.col("t") >= pl.col("anchor") - window_us))
        .with_columns(pl.len().over("row", "page").alias("on_page"))
    )
    pages, days = pl.col("page").n_unique(), (pl.col("t") // day).n_unique()
    made = inside.group_by("row").agg(
        pl.len().alias("edits"),
        pages.alias("pages"),
        days.alias("days"),
        (pl.col("t") // hour).n_unique().alias("hours"),
        (pl.len() / pages).alias("edits_per_page"),
        (pl.len() / days).alias("edits_per_day"),
        pl.col("on_page").max().alias("top_page"),
        (pl.col("t") >= pl.col("anchor") - day).sum().alias("last_day"),
        (pl.col("t") >= pl.col("anchor") - hour).sum().alias("last_hour"),
    )
    table = rows.select("row").join(made, on="row", how="left", maintain_order="left")
    return table.drop("row").collect().to_numpy().astype(np.float64)


def table(mode: str, every: list[Judged]) -> dict[str, Any]:
    """Print and return the figures of each date and of all dates pooled."""
    found: dict[str, Any] = {}
    label = np.concatenate([one.label for one in every])
    names = [*sorted(set(every[0].score) - {PEER}), PEER]
    pooled = {name: np.concatenate([one.score[name] for one in every]) for name in names}
    pooled["champion"] = np.concatenate([one.score[one.champion] for one in every])
    say(f"| {mode}: date | rows | positives | model | AUROC | AUPRC | recall at 1% FPR |")
    say("|---|---|---|---|---|---|---|")
    for day, one in zip(DATES, every, strict=True):
        scores = {**one.score, "champion": one.score[one.champion]}
        found[day.isoformat()] = block(day.isoformat(), one.label, scores)
        found[day.isoformat()]["champion_is"] = one.champion
        found[day.isoformat()]["seconds"] = round(one.seconds, 1)
    found["pooled"] = block("pooled", label, pooled)
    return found


def block(title: str, label: NDArray[np.bool_], scores: dict[str, Any]) -> dict[str, Any]:
    """One date's rows of the table, with the champion's lead over the peer."""
    metrics = {n: m for n, m in rank_metrics(BUDGET).items() if n in METRICS}
    settings = Bootstrap(seed=0)
    held: dict[str, Any] = {"rows": len(label), "positives": int(label.sum())}
    for name in sorted(scores):
        found = intervals(scores[name], label, metrics, settings)
        held[name] = {metric: as_list(found[metric]) for metric in METRICS}
        cells = " | ".join(as_cell(found[metric]) for metric in METRICS)
        say(f"| {title} | {len(label)} | {int(label.sum())} | {name} | {cells} |")
    lead = paired_difference((scores["champion"], scores[PEER]), label, metrics, settings)
    held["lead"] = {metric: as_list(lead[metric]) for metric in METRICS}
    cells = " | ".join(as_cell(lead[metric]) for metric in METRICS)
    say(f"| {title} | | | champion minus {PEER} | {cells} |")
    return held


if __name__ == "__main__":
    sys.exit(main())
