"""Find rings: linked and neighbouring users become rings with names that last."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.values import day_us
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.ranges import distinct_pairs, ranges
from graphguard.jobs.audiences import audience_links
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.earlier import earlier_groups, earlier_links
from graphguard.jobs.joining import join_rings
from graphguard.jobs.likeness import like_users
from graphguard.jobs.recurring import recurring_pairs
from graphguard.jobs.ring_acts import ring_acts
from graphguard.jobs.ring_channels import ring_channels
from graphguard.jobs.ring_names import Found, write_rings
from graphguard.jobs.ring_nulls import ring_nulls
from graphguard.jobs.ring_sets import ring_sets, told_acts
from graphguard.jobs.slow import slow_cores
from graphguard.jobs.texts import alike_links
from graphguard.rings.confirm import confirmed_links
from graphguard.rings.describe import RingInputs, member_table, ring_evidence, ring_table
from graphguard.rings.extend import extend_groups
from graphguard.rings.fusion import channel_bits, pair_bits
from graphguard.rings.grouping import GroupRules, Links, find_groups
from graphguard.rings.significance import all_pairs
from graphguard.rings.two import without_homes
from graphguard.tables.anchor_rows import held_bad
from graphguard.tables.events import read_pairs
from graphguard.tables.files import read_parquet, write_json
from graphguard.tables.people import bad_spans

PAIR = ("user_a", "user_b")


def run(job: Job, out: Path) -> Facts:
    """Write the tables of `jobs/ring_names.py`, index.json and nulls.json."""
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    target = job.config.training.target
    pairs = _pairs(job, graph)
    near, facts = like_users(job, graph)
    num_pairs = all_pairs(graph.num_nodes[target])
    job.reporter.step(1, 3, "neighbourhoods")
    channels, earlier = ring_channels(job, graph), earlier_groups(job, graph)
    told = [
        *recurring_pairs(job, graph, num_pairs),
        *alike_links(job, graph, num_pairs),
        *slow_cores(job, pairs, num_pairs),
        # Who made what before the window is told by all days that the run has stored.
        *audience_links(job, graph, num_pairs, since_us=0),
        *earlier_links(job, graph, (channels, earlier), num_pairs),
    ]
    pairs = pl.concat([pairs, *(one.links for one in told)], how="diagonal_relaxed")
    groups, bad = _groups(job, pairs, near, graph.num_nodes[target]), _bad(job, graph)
    groups, joined = join_rings(job, graph, channels, groups, (bad, num_pairs))
    told += joined
    pairs = pl.concat([pairs, *(one.links for one in joined)], how="diagonal_relaxed")
    inputs = _inputs(job, graph, (pairs, near, bad), groups, num_pairs)
    evidence = ring_evidence(inputs)
    rings = ring_table(inputs, evidence)
    # A ring that is no discovery by itself at the night's alpha is not reported at all.
    rings = rings.filter(pl.col("log10_p") <= np.log10(job.config.rings.night_alpha))
    evidence, members = (
        part.join(rings.select("ring"), on="ring", how="semi", maintain_order="left")
        for part in (evidence, member_table(inputs, evidence))
    )
    job.reporter.step(2, 3, "rings")
    acts = ring_acts(job, graph, evidence, told_acts(told, members))
    sets = ring_sets(job, graph, evidence, told)
    write_rings(job, graph, out, Found(rings, members, evidence, acts, sets))
    write_json(out / "index.json", facts)
    nulls = ring_nulls(job, graph, channels, earlier)
    write_json(out / "nulls.json", nulls)
    job.reporter.step(3, 3, "names")
    counts = {"rows": rings.height, "num_rings": rings.height, "members": members.height}
    return {**counts, "num_users": graph.num_nodes[target], "alarms": nulls["alarms"], **facts}


def _pairs(job: Job, graph: HeteroGraph) -> pl.DataFrame:
    """PAIRS of the cutoff with dense users and `bits`."""
    pairs = read_pairs(job.run, f"anchor={job.as_of.isoformat()}")
    target = job.config.training.target
    dense = {name: graph.dense(target, pairs.get_column(name).to_numpy()) for name in PAIR}
    return pairs.with_columns(
        *(pl.Series(name, values) for name, values in dense.items()),
        channel_bits(pl.col("log10_p")).alias("bits"),
    )


def _groups(
    job: Job, pairs: pl.DataFrame, near: pl.DataFrame, num_users: int
) -> list[NDArray[np.int64]]:
    """Groups of discoveries and what confirms them, with users whom weaker links name."""
    settings = job.config.rings
    bits = pair_bits(confirmed_links(pairs, settings.false_discovery_rate))
    first, second, weight = (bits.get_column(name).to_numpy() for name in (*PAIR, "bits"))
    rules = GroupRules(min_members=settings.min_members)
    groups = find_groups(Links(first, second, weight), rules)
    groups = without_homes(groups, pairs, all_pairs(num_users), settings.night_alpha)
    tests = max(num_users * pairs.get_column("channel").n_unique(), 1)
    enough = float(np.log10(settings.false_discovery_rate / tests))
    return extend_groups(groups, pairs, near, enough)


def _inputs(
    job: Job,
    graph: HeteroGraph,
    found: tuple[pl.DataFrame, pl.DataFrame, NDArray[np.int64]],
    groups: list[NDArray[np.int64]],
    num_pairs: float,
) -> RingInputs:
    pairs, near, bad = found
    target = job.config.training.target
    numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    users = np.concatenate(groups) if groups else np.zeros(0, dtype=np.int64)
    members = pl.DataFrame({"ring": numbers.astype(np.int64), "user": users.astype(np.int64)})
    predictions = read_parquet(job.run.file("embed", "predictions.parquet"))
    scored = graph.dense(target, predictions.get_column("entity").to_numpy())
    risk = pl.DataFrame({"user": scored, "risk_score": predictions.get_column("risk_score")})
    neighbour = near.with_columns(
        pl.lit(0, dtype=pl.Int64).alias("window_us"),
        pl.lit(0, dtype=pl.Int64).alias("weight"),
        pl.lit(0, dtype=pl.Int64).alias("a_first"),
        pl.lit(0.0).alias("expected"),
        pl.lit(0.0).alias("log10_q"),
        channel_bits(pl.col("log10_p")).alias("bits"),
    )
    evidence = pl.concat([pairs, neighbour], how="diagonal_relaxed")
    return RingInputs(
        members=members,
        evidence=evidence,
        risk=risk,
        bad=pl.DataFrame({"user": bad}),
        touches=_touches(job, graph, users),
        num_pairs=num_pairs,
    )


def _bad(job: Job, graph: HeteroGraph) -> NDArray[np.int64]:
    """Dense users held to be bad at the cutoff."""
    spans = bad_spans(read_parquet(job.run.file("ingest", "labels.parquet")))
    rows = spans.select("entity").unique().sort("entity")
    rows = rows.with_columns(pl.lit(day_us(job.as_of), dtype=pl.Int64).alias("anchor_us"))
    bad = rows.filter(pl.Series(held_bad(rows, spans))).get_column("entity").to_numpy()
    dense = graph.dense(job.config.training.target, bad)
    return dense[dense >= 0]


def _touches(job: Job, graph: HeteroGraph, users: NDArray[np.int64]) -> pl.DataFrame:
    """Objects that the given users touched in the window, with how many users each has."""
    until = day_us(job.as_of)
    since = until - job.config.graph.window.us
    schema = {"user": pl.Int64, "type": pl.String, "key": pl.String, "popularity": pl.Int64}
    frames = [pl.DataFrame(schema=schema)]
    for edge in job.config.graph.edges:
        if edge.name[0] != job.config.training.target:
            continue
        adjacency, back = graph.out(edge.name), graph.into(edge.name)
        first, last = adjacency.window(users, since, until)
        touched = adjacency.neighbor[ranges(first, last)].astype(np.int64)
        pairs = distinct_pairs(np.repeat(users, last - first), touched)
        low, high = back.window(pairs[1], since, until)
        keys = graph.keys(edge.name[2])
        names = {int(place): keys[int(place)] for place in np.unique(pairs[1])}
        frames.append(
            pl.DataFrame(
                {
                    "user": pairs[0],
                    "type": [edge.name[2]] * pairs.shape[1],
                    "key": [names[int(place)] for place in pairs[1]],
                    "popularity": high - low,
                },
                schema=schema,
            )
        )
    return pl.concat(frames)
