"""Rings on real sets without times: wallets that share rare counterparties, reviewers of one shop.

Nothing tells when anybody acted, so the only channel is what two users share: rare objects say
much, hubs say nothing (`rings/link.sharing_links`).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from result import TOP, say
from ring_methods import Found, by_significance
from ring_truth import b_cubed, ring_figures
from sets.amazon import FOLDS
from sets.amazon import load as load_amazon
from sets.cells import run_cell

from graphguard.graph.components import linked_components
from graphguard.rings.link import LinkRules, sharing_links

RARE = 20
"""Users of an object above which the simple rules take it for a hub."""
MOST_SHARERS = 200


@dataclass(frozen=True)
class Touched:
    """Who touched what: `user` and `object` are dense, each pair once, shape [n]."""

    user: NDArray[np.int64]
    object: NDArray[np.int64]
    num_users: int


def data(name: str) -> Path | None:
    """Folder of a set; None where it is absent, which is said."""
    folder = Path(os.environ.get("GRAPHGUARD_DATA", TOP.parent / "shared" / "data")) / name
    if folder.is_dir():
        return folder
    say(f"{folder}: no such folder, left out; set GRAPHGUARD_DATA")
    return None


def shared_rings(touched: Touched) -> Found:
    """Ours: pairs that share more rare objects than chance explains, and their rings."""
    rules = LinkRules([1], 200, MOST_SHARERS, np.zeros(touched.num_users, dtype=np.uint64))
    links = sharing_links(touched.user, touched.object, rules)
    return by_significance(links, "shared", touched.num_users)


def hop() -> dict[str, Any]:
    """Wallets: rings that outsiders reported with evidence, and those found as components."""
    folder = data("hop_sybil")
    if folder is None:
        return {}
    wallets, touched, direct = _wallets(folder)
    ring = wallets.get_column("ring_id")
    names = ring.rank("dense").cast(pl.Int64) - 1
    truth = names.fill_null(-1).to_numpy()
    custom = ring.str.starts_with("custom").fill_null(value=False).to_numpy()
    graph = (~custom) & (truth >= 0)
    found = {
        "ours": shared_rings(touched).rings,
        "direct_transfers": _components(direct, touched.num_users),
        "components_without_hubs": _without_hubs(touched),
        "two_rare_counterparties": _two_rare(touched),
    }
    say("| hop_sybil | rings | B-cubed P | R | F1 | found | of | mean R of the others | largest |")
    say("|---|---|---|---|---|---|---|---|---|")
    figures: dict[str, Any] = {}
    for method, rings in found.items():
        precision, recall, score = b_cubed(rings, truth, custom)
        told, hits, true = ring_figures(rings, np.where(custom, truth, -1))
        others = b_cubed(rings, truth, graph)[1]
        largest = max(map(len, rings), default=0)
        cells = [told, *(f"{one:.3f}" for one in (precision, recall, score)), hits, true]
        say("| " + " | ".join(map(str, [method, *cells, f"{others:.3f}", largest])) + " |")
        start = "hop" if method == "ours" else f"hop_{method}"
        figures |= {f"{start}_bcubed_f1": round(score, 4), f"{start}_rings_found": hits}
    return figures | {"hop_rings": true}


def amazon() -> dict[str, Any]:
    """Reviewers: how pure rings are among labelled members, and how many spammers they hold."""
    folder = data("amazon_collusive")
    if folder is None:
        return {}
    # Who buys the same thing need not think the same of it: what is shared is a rating of an item.
    ratings = pl.read_parquet(folder / "ratings.parquet").unique()
    users = ratings.get_column("user").unique().sort()
    known = pl.read_parquet(folder / "labels.parquet")
    people = pl.DataFrame({"user": users}).join(known, on="user", how="left", maintain_order="left")
    touched = Touched(
        (ratings.get_column("user").rank("dense").cast(pl.Int64) - 1).to_numpy(),
        ratings.select(pl.struct("item", "rating").rank("dense").cast(pl.Int64) - 1)
        .to_series()
        .to_numpy(),
        len(users),
    )
    label = people.get_column("is_spammer").cast(pl.Int64).fill_null(-1).to_numpy()
    figures: dict[str, Any] = {}
    say("| amazon_collusive | rings | spammers | share of all | purity | largest | worst |")
    say("|---|---|---|---|---|---|---|")
    ours = shared_rings(touched).rings
    risk, usual = _risk_of_reviewers(), float((label == 1).sum() / (label >= 0).sum())
    for method, rings in (
        ("ours", ours),
        # What nobody's labels know of is no less a ring; whom to act on, risk says.
        ("ours_riskier_than_usual", [one for one in ours if risk[one].mean() >= usual]),
        ("two_rare_items", _two_rare(touched)),
    ):
        inside = [label[members] for members in rings]
        spam = [int((one == 1).sum()) for one in inside]
        judged = [int((one >= 0).sum()) for one in inside]
        purity = [max(a, n - a) / n for a, n in zip(spam, judged, strict=True) if n]
        held, every = sum(spam), int((label == 1).sum())
        pure = sum(spam) / max(sum(judged), 1)
        worst = min(purity, default=1.0)
        largest = max(map(len, rings), default=0)
        cells = [len(rings), held, f"{held / every:.3f}", f"{pure:.3f}", largest, f"{worst:.3f}"]
        say("| " + " | ".join(map(str, [method, *cells])) + " |")
        start = "amazon" if method == "ours" else f"amazon_{method}"
        figures |= {
            f"{start}_ring_purity": round(pure, 4),
            f"{start}_worst_ring_purity": round(worst, 4),
            f"{start}_spammers_held": round(held / every, 4),
            f"{start}_largest_ring": largest,
        }
    return figures


def _risk_of_reviewers() -> NDArray[np.float64]:
    """Score of each user by trees that learned from the other four folds, in order of key."""
    task = load_amazon()
    risk = np.full(len(task.rows), np.nan)
    for split in task.splits[:FOLDS]:
        risk[split.test] = run_cell(task, split, ("amazon", "", "trees", split.name), "")[1]
    return risk


def _wallets(folder: Path) -> tuple[pl.DataFrame, Touched, NDArray[np.int64]]:
    """Labelled wallets with a transfer, what each touched, and transfers among them.

    A wallet touches its counterparties and itself, so that a transfer is two shared wallets.
    """
    labels = pl.read_parquet(folder / "labels.parquet").filter(pl.col("is_sybil").is_not_null())
    known = labels.join(pl.read_parquet(folder / "addresses.parquet"), on="address")
    moved = pl.read_parquet(folder / "transfers.parquet", columns=["s", "d"]).unique()
    moved = moved.filter(pl.col("s") != pl.col("d"))
    both = pl.concat([moved, moved.select(s="d", d="s")]).unique()
    wallets = known.sort("id").with_row_index("user").with_columns(pl.col("user").cast(pl.Int64))
    ids = wallets.select("user", "id")
    met = both.join(ids, left_on="s", right_on="id").select("user", "d")
    direct = met.join(ids.rename({"user": "other"}), left_on="d", right_on="id")
    every = pl.concat([met, ids.select("user", d="id")]).unique().sort("user", "d")
    touched = Touched(
        every.get_column("user").to_numpy(),
        (every.get_column("d").rank("dense").cast(pl.Int64) - 1).to_numpy(),
        wallets.height,
    )
    return wallets, touched, direct.select("user", "other").to_numpy().T


def _rare(touched: Touched) -> Touched:
    size = np.bincount(touched.object)
    kept = size[touched.object] <= RARE
    return Touched(touched.user[kept], touched.object[kept], touched.num_users)


def _components(pairs: NDArray[np.int64], num_users: int) -> list[NDArray[np.int64]]:
    label = linked_components(num_users, pairs[0], pairs[1])
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    return [np.sort(part) for part in parts if len(part) >= 2]


def _without_hubs(touched: Touched) -> list[NDArray[np.int64]]:
    rare = _rare(touched)
    size = touched.num_users + int(rare.object.max(initial=0)) + 1
    label = linked_components(size, rare.user, rare.object + touched.num_users)
    label = label[: touched.num_users]
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    return [np.sort(part) for part in parts if len(part) >= 2]


def _two_rare(touched: Touched) -> list[NDArray[np.int64]]:
    rare = _rare(touched)
    frame = pl.DataFrame({"user": rare.user, "object": rare.object})
    pairs = (
        frame.join(frame, on="object", suffix="_b")
        .filter(pl.col("user") < pl.col("user_b"))
        .group_by("user", "user_b")
        .len()
        .filter(pl.col("len") >= 2)
        .sort("user", "user_b")
    )
    return _components(pairs.select("user", "user_b").to_numpy().T, touched.num_users)
