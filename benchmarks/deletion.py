"""Does the evidence that is named move scores more than as much evidence by lot?

On generated platforms a night runs with trees, and one with sage. Of the users of highest risk is
taken away what was named, and in its place as much of the same kind by lot: the three columns of
largest contribution (set to the median of all users), the acts or the object of the counterfactual
(features made anew), the link of largest push (the graph sampled anew). Reported is the mean fall
of the log-odds either way, and the paired difference with its interval over users.
"""

import argparse
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from judging import as_list
from numpy.typing import NDArray
from result import TOP, print_result, say, work_folder
from scipy.special import logit

from graphguard.config.load import load_config
from graphguard.evaluate.deletion import deletion_test
from graphguard.graph.hetero import EdgeType, HeteroGraph
from graphguard.graph.without import without_edges
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.counterfactual import Recount, pieces_of, strongest
from graphguard.jobs.evidence import read_evidence
from graphguard.jobs.nightly import Night, require_as_of, run_night
from graphguard.jobs.slices import slices
from graphguard.jobs.train import graph_context, load_dataset
from graphguard.models.base import GraphContext, Model, Rows, explainer_of, load_model
from graphguard.models.link_pushes import link_explainer_of
from graphguard.scores.evidence import others_like
from graphguard.scores.removal import REMOVED
from graphguard.tables.files import read_parquet
from graphguard.worlds import WorldSpec, write_world

ASKED = 200
"""Users of highest risk on each platform."""
COLUMNS, DRAWS = 3, 5
Floats = NDArray[np.float64]
Falls = tuple[Floats, Floats, Floats]
"""Log-odds with all evidence, without what was named, [n] each; without draws by lot, [n, d]."""


def main() -> int:
    """Run the seeds, print the table, end with the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--abuse", type=float, default=3.0, help="times the default share")
    parser.add_argument("--first-seed", type=int, default=301)
    options = parser.parse_args()
    found: dict[str, list[Falls]] = {}
    for seed in range(options.first_seed, options.first_seed + options.worlds):
        folder = work_folder(f"deletion_{seed}")
        shutil.rmtree(folder)
        share = options.abuse
        spec = WorldSpec(options.users, 70, seed, ring_share=0.03 * share, solo_share=0.01 * share)
        write_world(spec, folder / "world")
        for name, falls in (*trees_falls(folder), *sage_falls(folder)):
            found.setdefault(name, []).append(falls)
        say(f"seed {seed} is done")
        shutil.rmtree(folder)
    print_result(report(found))
    return 0


def opened(folder: Path, model: str) -> Recount:
    """A night with one model on the world, and its context."""
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text.replace("../demo/world", str(folder / "world")))
    raw |= {"workspace": str(folder / "workspace"), "export": []}
    raw["training"] |= {"models": [model]}
    path = folder / f"{model}.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = load_config(path)
    run = run_night(Night(config, last="find_rings"))
    job = Job(config, require_as_of(config), run, None, Silent())
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    return Recount(job, graph_context(job, graph, load_dataset(job, graph)))


def riskiest(recount: Recount) -> tuple[pl.DataFrame, Rows, Model]:
    """Keys and risk of the users asked about, by key; their rows in that order; the model."""
    job = recount.job
    risk = read_parquet(job.run.file("embed", "predictions.parquet"))
    top = risk.sort(["risk_score", "key"], descending=[True, False]).head(ASKED).sort("key")
    data = load_dataset(job, recount.graph)
    chosen = data.inside([slices(job.config, job.as_of).score])
    keys = data.keys.gather(chosen)
    place = {key: number for number, key in enumerate(keys)}
    rows = data.rows.take(chosen[[place[key] for key in top.get_column("key")]])
    return top.select("key", "risk_score"), rows, load_model(job.run.stage("train") / "model")


def trees_falls(folder: Path) -> list[tuple[str, Falls]]:
    """Of columns, of acts in common, and of objects."""
    recount = opened(folder, "trees")
    top, rows, model = riskiest(recount)
    found = [("trees: three columns", column_falls(recount, rows, model))]
    return [*found, *evidence_falls(recount, top)]


def column_falls(recount: Recount, rows: Rows, model: Model) -> Falls:
    """Columns of largest contribution, set to the median of all rows to be scored."""
    explainer = explainer_of(model)
    if explainer is None:
        message = f"model '{model.name}' names no columns"
        raise ValueError(message)
    seen = explainer.inputs(rows, recount.context)
    place = {name: number for number, name in enumerate(seen.names)}
    pushes = explainer.contributions(seen, recount.context)[:, :-1]
    own = {name: number for number, name in enumerate(rows.names)}
    # Columns that the model makes itself cannot be set in the rows it is given.
    given = [n for n, name in enumerate(explainer.columns) if name in own and name in place]
    target = np.array([own[explainer.columns[n]] for n in given])
    named = np.argsort(-pushes[:, given], axis=1, kind="stable")[:, :COLUMNS]
    with warnings.catch_warnings():
        # A column without any value stays without.
        warnings.filterwarnings("ignore", "All-NaN slice")
        median = np.nanmedian(recount.context.rows.x, axis=0)

    def without(columns: NDArray[np.int64]) -> Floats:
        x = rows.x.copy()
        np.put_along_axis(x, target[columns], median[target[columns]], axis=1)
        return log_odds(model, replace(rows, x=x), recount.context)

    rng = np.random.default_rng(0)
    lots = []
    for _ in range(DRAWS):
        order = rng.random((len(rows), len(given)))
        np.put_along_axis(order, named, 2.0, axis=1)
        lots.append(without(np.argsort(order, axis=1)[:, :COLUMNS]))
    return log_odds(model, rows, recount.context), without(named), np.stack(lots, axis=1)


def evidence_falls(recount: Recount, top: pl.DataFrame) -> list[tuple[str, Falls]]:
    """The piece of the counterfactual, features made anew; acts in common and objects apart."""
    evidence = read_evidence(recount.job, recount.graph)
    pieces = pieces_of(evidence, top.get_column("key"))
    acts = recount.acts_of(pieces, evidence.rings)
    pieces = pieces.join(acts, on=["key", "rank"], how="semi")
    named = strongest(recount.without_each(pieces, acts))
    kind = pieces.select("key", "rank", pl.col("channel").is_null().alias("thing"))
    named = named.join(kind, on=["key", "rank"])
    taken = acts.join(named, on=["key", "rank"], how="semi")
    touches = recount.touches(taken.select("entity"))
    both = named.join(top, on="key")
    for draw in range(DRAWS):
        lot = others_like(taken.select(list(REMOVED)), touches, seed=draw)
        whose = taken.join(lot, on="entity", how="semi").select("key").unique()
        after = recount.risk_without(lot, whose.get_column("key"))
        both = both.join(after.rename({"after": f"lot{draw}"}), on="key")
    found = []
    for name, mine in (
        ("trees: the acts in common", both.filter(~pl.col("thing"))),
        ("trees: an object", both.filter("thing")),
    ):
        if mine.height:
            lots = np.stack([logit(mine[f"lot{draw}"].to_numpy()) for draw in range(DRAWS)], axis=1)
            falls = (logit(mine["risk_score"].to_numpy()), logit(mine["after"].to_numpy()), lots)
            found.append((name, falls))
    return found


def sage_falls(folder: Path) -> list[tuple[str, Falls]]:
    """The link of largest push, and other links of the same users and relations."""
    recount = opened(folder, "sage")
    _, rows, model = riskiest(recount)
    network = link_explainer_of(model)
    if network is None:
        message = f"model '{model.name}' names no links"
        raise ValueError(message)
    pushes = network.link_pushes(rows, recount.context)
    order = np.lexsort((-pushes.push, pushes.row))
    first = order[np.unique(pushes.row[order], return_index=True)[1]]
    others = [rest_of(recount, pushes.relation[n], rows, pushes, n) for n in first]
    kept = [place for place, rest in enumerate(others) if len(rest)]
    asked = rows.take(pushes.row[first[kept]])
    links = [(pushes.relation[n], pushes.source[n], pushes.target[n]) for n in first[kept]]
    rng = np.random.default_rng(0)
    lots = []
    for _ in range(DRAWS):
        drawn = [others[place][rng.integers(len(others[place]))] for place in kept]
        lots.append(rescored(model, asked, recount.context, swapped(links, drawn, asked)))
    before = log_odds(model, asked, recount.context)
    without = rescored(model, asked, recount.context, links)
    return [("sage: a link", (before, without, np.stack(lots, axis=1)))]


def rest_of(
    recount: Recount, relation: EdgeType, rows: Rows, pushes: Any, link: int
) -> NDArray[np.int64]:
    """Other ends of the user's edges of a relation in the window, without the named one."""
    user = rows.node[pushes.row[link]]
    mine = pushes.source[link] == user and relation[0] == recount.target
    side = recount.graph.out(relation) if mine else recount.graph.into(relation)
    end = pushes.target[link] if mine else pushes.source[link]
    until = rows.anchor_us[pushes.row[link]]
    low, high = side.window(np.array([user]), until - recount.context.window_us, until)
    return np.setdiff1d(side.neighbor[int(low[0]) : int(high[0])], [end])


def swapped(links: list[Any], ends: list[Any], rows: Rows) -> list[Any]:
    """The links with other ends in the place of those that are not the user."""
    found = []
    for (relation, source, _), end, user in zip(links, ends, rows.node, strict=True):
        mine = source == user
        found.append((relation, source, end) if mine else (relation, end, user))
    return found


def rescored(model: Model, rows: Rows, context: GraphContext, links: list[Any]) -> Floats:
    """Log-odds in the graph without a link of each user."""
    removed: dict[EdgeType, Any] = {}
    for relation in {one[0] for one in links}:
        mine = [one for one in links if one[0] == relation]
        ends = (np.array([one[side] for one in mine], dtype=np.int64) for side in (1, 2))
        removed[relation] = tuple(ends)
    left = replace(context, graph=without_edges(context.graph, removed))
    return log_odds(model, rows, left)


def log_odds(model: Model, rows: Rows, context: GraphContext) -> Floats:
    """Log-odds of the model's own probability, clipped where float32 says 0 or 1."""
    score = model.predict(rows, context).astype(np.float64)
    found: Floats = logit(np.clip(score, 1e-7, 1 - 1e-7))
    return found


def report(found: dict[str, list[Falls]]) -> dict[str, Any]:
    """Print the table and return the figures, all worlds pooled."""
    say("| what is taken away | users | named: the log-odds fall by | by lot | difference |")
    say("|---|---|---|---|---|")
    figures: dict[str, Any] = {}
    for name, parts in found.items():
        before, named, lots = (np.concatenate(one) for one in zip(*parts, strict=True))
        made = deletion_test(before, named, lots)
        low, high = made.gain.low, made.gain.high
        gain = f"{made.gain.value:.3f} ({low:.3f} to {high:.3f})"
        say(f"| {name} | {made.rows} | {made.named:.3f} | {made.random:.3f} | {gain} |")
        key = name.replace(": ", "_").replace(" ", "_")
        figures[key] = {
            "users": made.rows,
            "named": round(made.named, 4),
            "by_lot": round(made.random, 4),
            "gain": as_list(made.gain),
            "passed": made.passed,
        }
    return figures


if __name__ == "__main__":
    sys.exit(main())
