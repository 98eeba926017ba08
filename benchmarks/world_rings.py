"""Pairs and rings of a night on a generated platform, held against the truth kind by kind.

A true pair are two members of one ring who both acted for it in the window; a true ring is one of
which three members or more did. A told ring finds it by holding half of those who acted and being
half made of the ring; it counts for the kind of most of its ring members. A wrong pair counts for
each kind that an end of it is of. Pairs are counted twice: those that are linked, and those whom
one told ring holds, linked or not (members of a ring who never met on an object are no link, and
are true pairs all the same). Beside ours what others do on the acts of all traces together, a
minute's window: quantile .99, weight >= 5, Louvain and FRAUDAR (`ring_methods.py`).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from result import say
from ring_methods import Found, Weights, above, above_quantile, fraudar, louvain
from ring_truth import f1

from graphguard.config.sections import Config
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import KeyHashes
from graphguard.graph.ranges import distinct
from graphguard.jobs.acts import trace_acts
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.nightly import require_as_of
from graphguard.rings.coaction import find_coactions
from graphguard.rings.confirm import PAIR, confirmed_links
from graphguard.rings.evidence import SETS
from graphguard.rings.meetings import Acts
from graphguard.tables.events import read_pairs
from graphguard.tables.files import read_parquet
from graphguard.tables.workspace import Run
from graphguard.worlds.spec import KINDS

Ints = NDArray[np.int64]
MINUTE_US = 60_000_000
COUNTS = ("told", "right", "true", "found", "twice", "found_twice", "rings", "true_rings",
          "found_rings", "twice_rings", "found_twice_rings", "held", "held_right",
          "held_found")  # fmt: skip
ALL = "all"
Tally = dict[tuple[str, str], dict[str, int]]
"""By method and kind: `COUNTS`."""


@dataclass(frozen=True)
class Truth:
    """Of each dense user, shape [num_users].

    Attributes:
        ring: Number of the ring, -1 for none.
        kind: Place of its kind in KINDS, -1 for none.
        acts: Acts for the ring in the window.
    """

    ring: Ints
    kind: Ints
    acts: Ints


def new_tally() -> Tally:
    """An empty one."""
    return defaultdict(lambda: dict.fromkeys(COUNTS, 0))


def read_truth(config: Config, graph: HeteroGraph, folder: Path) -> Truth:
    """The truth about the users of a night's graph."""
    until = require_as_of(config)
    since = until - timedelta(days=config.graph.window.days)
    acts = pl.read_parquet(folder / "acts.parquet")
    acts = acts.filter(pl.col("day").is_between(since, until, closed="left"))
    people = pl.read_parquet(folder / "users.parquet")
    rows = pl.DataFrame({"user_id": list(graph.keys("user"))}).join(
        people, on="user_id", how="left", maintain_order="left"
    )
    done = acts.group_by("user_id").agg(pl.col("acts").sum())
    rows = rows.join(done, on="user_id", how="left", maintain_order="left")
    names = {name: number for number, name in enumerate(KINDS)}
    ring = rows.get_column("ring_id").str.strip_prefix("ring").cast(pl.Int64).fill_null(-1)
    kind = rows.get_column("kind").replace_strict(names, default=-1, return_dtype=pl.Int64)
    return Truth(ring.to_numpy(), kind.to_numpy(), rows.get_column("acts").fill_null(0).to_numpy())


def judge_pairs(config: Config, run: Run, folder: Path, tally: Tally) -> None:
    """Add a night's counts, of every method."""
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    truth = read_truth(config, graph, folder)
    for method, found in methods(config, run, graph):
        count_pairs(found, truth, method, tally)
        count_rings(found, truth, method, tally)
        count_held(found, truth, method, tally)


def methods(config: Config, run: Run, graph: HeteroGraph) -> Iterator[tuple[str, Found]]:
    """Ours as the night wrote it, and the others on the same acts."""
    yield "ours", told_by(config, run, graph)
    day = require_as_of(config)
    job = Job(config, day, run, None, Silent())
    parts, offset = [], 0
    for trace in config.rings.traces:
        made = trace_acts(job, graph, trace, day)
        if made is not None:
            acts = made[0]
            parts.append((acts.user, acts.object + offset, acts.time_us))
            offset += len(made[1])
    acts = Acts(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    found = find_coactions(acts, [MINUTE_US], KeyHashes(graph.keys("user")))
    weights = Weights.of(found, graph.num_nodes["user"])
    yield "quantile_99", above_quantile(weights)
    yield "weight_5", above(weights, 4)
    yield "louvain", louvain(weights)
    yield "fraudar", fraudar(found)


def told_by(config: Config, run: Run, graph: HeteroGraph) -> Found:
    """Pairs that are discoveries of the night, or are linked within its rings; and these.

    Linked are pairs of a set that is a discovery, and those that stand out among the pairs of users
    whom discoveries connect (`rings/confirm.py`).
    """
    place = {key: number for number, key in enumerate(graph.keys("user"))}
    members = read_parquet(run.file("find_rings", "ring_members.parquet"))
    rings = members.group_by("ring_id").agg("key").sort("ring_id").get_column("key")
    dense = [np.array(sorted(place[key] for key in ring), dtype=np.int64) for ring in rings]
    pairs = read_pairs(run, f"anchor={require_as_of(config).isoformat()}")
    ends = {name: graph.dense("user", pairs.get_column(name).to_numpy()) for name in PAIR}
    pairs = pairs.with_columns(pl.Series(name, values) for name, values in ends.items())
    evidence = read_parquet(run.file("find_rings", "ring_evidence.parquet"))
    sets = evidence.filter(pl.col("channel").str.contains(SETS))
    ends = {
        f"user_{end}": np.array([place[key] for key in sets.get_column(f"key_{end}")], np.int64)
        for end in "ab"
    }
    sets = sets.with_columns(pl.Series(name, values) for name, values in ends.items())
    kept = [*PAIR, "channel", "log10_p", "log10_q"]
    every = pl.concat([pairs.select(kept), sets.select(kept)])
    rate = config.rings.false_discovery_rate
    linked = confirmed_links(every, rate).select(PAIR).to_numpy().T
    home = np.full(graph.num_nodes["user"], -1)
    for number, users in enumerate(dense):
        home[users] = number
    within = (home[linked[0]] >= 0) & (home[linked[0]] == home[linked[1]])
    alone = pairs.filter(pl.col("log10_q") <= np.log10(rate)).select(PAIR).to_numpy().T
    low, high = np.sort(np.concatenate([linked[:, within], alone], axis=1), axis=0)
    keys = distinct(low << 32 | high)
    return Found(np.stack([keys >> 32, keys & (2**32 - 1)]), dense)


def count_pairs(found: Found, truth: Truth, method: str, tally: Tally) -> None:
    """Pairs told, right and true; those of users that acted twice or more."""
    for number, name in (*enumerate(KINDS), (-1, ALL)):
        counts = tally[method, name]
        mine = truth.kind == number if number >= 0 else truth.ring >= 0
        for least, title in ((1, "true"), (2, "twice")):
            size = np.bincount(truth.ring[mine & (truth.acts >= least)])
            counts[title] += int(_pairs(size).sum())
        if found.pairs is None:
            continue
        one, other = found.pairs
        same = (truth.ring[one] >= 0) & (truth.ring[one] == truth.ring[other])
        at = mine[one] | mine[other] if number >= 0 else np.ones(len(one), dtype=np.bool_)
        acts = np.minimum(truth.acts[one], truth.acts[other])
        counts["told"] += int(at.sum())
        counts["right"] += int((at & same).sum())
        counts["found"] += int((at & same & (acts >= 1)).sum())
        counts["found_twice"] += int((at & same & (acts >= 2)).sum())


def count_rings(found: Found, truth: Truth, method: str, tally: Tally) -> None:
    """Rings told, true and found."""
    inside = truth.ring >= 0
    kind_of = dict(zip(truth.ring[inside].tolist(), truth.kind[inside].tolist(), strict=True))
    for least, prefix in ((1, "true"), (2, "twice")):
        size = np.bincount(truth.ring[inside & (truth.acts >= least)])
        for ring in np.flatnonzero(size >= 3).tolist():
            for name in (KINDS[kind_of[ring]], ALL):
                tally[method, name][f"{prefix}_rings"] += 1
                tally[method, name][f"found_{prefix}_rings".replace("true_", "")] += _is_found(
                    found.rings, truth, ring, least
                )
    for members in found.rings:
        tally[method, ALL]["rings"] += 1
        kinds = truth.kind[members][inside[members]]
        if len(kinds):
            tally[method, KINDS[int(np.bincount(kinds).argmax())]]["rings"] += 1


def count_held(found: Found, truth: Truth, method: str, tally: Tally) -> None:
    """Pairs whom one told ring holds, those of one true ring, and of these who both acted."""
    for number, name in (*enumerate(KINDS), (-1, ALL)):
        counts = tally[method, name]
        for members in found.rings:
            inside = truth.ring[members] >= 0
            mine = truth.kind[members] == number if number >= 0 else inside
            acted = mine & (truth.acts[members] >= 1)
            others = members if number < 0 else members[~mine]
            whole = _pairs(len(members))
            counts["held"] += whole if number < 0 else whole - _pairs(len(others))
            for title, kept in (("held_right", mine), ("held_found", acted)):
                counts[title] += int(_pairs(np.bincount(truth.ring[members[kept]])).sum())


def _pairs(size: Any) -> Any:
    return size * (size - 1) // 2


def _is_found(rings: list[Ints], truth: Truth, ring: int, least: int) -> bool:
    acted = np.flatnonzero((truth.ring == ring) & (truth.acts >= least))
    return any(
        2 * np.isin(acted, members).sum() >= len(acted)
        and 2 * (truth.ring[members] == ring).sum() >= len(members)
        for members in rings
    )


def pairs_table(tally: Tally) -> dict[str, Any]:
    """Print and return the figures, by method and kind."""
    say(
        "| method | kind | pairs linked | precision | true | recall | acted twice | recall "
        "| pairs in a ring | precision | recall "
        "| rings told | true | found | F1 | acted twice | found |"
    )
    say("|" + "---|" * 17)
    figures: dict[str, Any] = {}
    for (method, kind), one in tally.items():
        precision = [_share(one["right"], one["told"]), _share(one["held_right"], one["held"])]
        held_recall = _share(one["held_found"], one["true"])
        recall = [_share(one["found"], one["true"]), _share(one["found_twice"], one["twice"])]
        ring_f1 = f1(one["rings"], one["found_rings"], one["true_rings"])
        values = [one["told"], precision[0], one["true"], recall[0], one["twice"], recall[1],
                  one["held"], precision[1], held_recall, one["rings"], one["true_rings"],
                  one["found_rings"], ring_f1, one["twice_rings"],
                  one["found_twice_rings"]]  # fmt: skip
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in values]
        say("| " + " | ".join([method, kind, *("" if c == "None" else c for c in cells)]) + " |")
        figures[f"{method}_{kind}"] = {
            **one,
            "pair_precision": precision[0],
            "pair_recall": recall[0],
            "pair_recall_twice": recall[1],
            "ring_pair_precision": precision[1],
            "ring_pair_recall": held_recall,
            "ring_f1": ring_f1,
        }
    return figures


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
