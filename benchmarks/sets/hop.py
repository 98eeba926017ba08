"""Hop: wallets of an airdrop, some of them rings of one owner each, and the transfers between them.

Public chain data from the airdrop's record. Five folds over the 32,475 labelled addresses, rings
whole, every other address on its own; no time. A part is judged apart: rings that outsiders
reported with evidence against all legitimate addresses, and the addresses that have a transfer.
"""

from dataclasses import replace

import numpy as np
import polars as pl
from sets.stages import Stored, data_folder, featurized, labelled, prepared, unseen_labels, write
from sets.task import Protocol, Split, Task, set_aside
from sklearn.model_selection import StratifiedGroupKFold

CUSTOM = "custom"
TRANSFERS = "with_transfer"


def protocols() -> list[Protocol]:
    """The one protocol, three populations."""
    folds = Protocol(
        "hop",
        "",
        load,
        figures=("auroc", "auprc", "custom.auroc", "custom.auprc", f"{TRANSFERS}.auprc"),
        published={"auroc": 94.9, "auprc": 91.9, "custom.auroc": 86.6, "custom.auprc": 44.6},
        source="trees with two-hop aggregates and components, measured",
        bars={"auprc": 93.0, "custom.auprc": 50.0},
    )
    return [folds]


def load() -> Task:
    """Folds that keep rings whole."""
    stored, held, moved = _stored()
    held = held.filter(pl.col("is_sybil").is_not_null()).sort("address")
    keys, label = held.get_column("address"), held.get_column("is_sybil").to_numpy()
    ring = held.get_column("ring_id")
    group = ring.fill_null(keys).rank("dense").to_numpy().astype(np.int64)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(label, label, group)
    splits = []
    for number, (rest, test) in enumerate(folds):
        train, valid = set_aside(rest, keys.to_list(), label, group)
        splits.append(Split(f"fold{number}", train, valid, test))
    reported = ring.str.starts_with("custom:").fill_null(value=False).to_numpy()
    parts = {CUSTOM: reported | (label == 0), TRANSFERS: keys.is_in(moved.implode()).to_numpy()}
    rows = labelled(stored, keys, label)
    # A ring is whole in one fold, so its members may not see each other's labels in training.
    ring_of = np.arange(stored.graph.num_nodes["wallet"]) + len(keys)
    ring_of[rows.node] = group
    context = replace(stored.context, group=ring_of)
    return Task(rows, context, tuple(splits), stored.own, parts, settings=stored.settings)


def _stored() -> tuple[Stored, pl.DataFrame, pl.Series]:
    """Features of every wallet, the labels, and the wallets with a transfer."""
    raw, folder = data_folder("hop_sybil"), prepared("hop_sybil")
    names = pl.read_parquet(raw / "addresses.parquet")
    moves = pl.read_parquet(raw / "transfers.parquet").with_columns(
        pl.col("kind", "chain").cast(pl.String),
        pl.concat_str("kind", "chain", separator=" ").alias("channel"),
        pl.col("n_transfers").cast(pl.Int64),
    )
    for side, name in (("s", "sender"), ("d", "receiver")):
        by_side = names.select(pl.col("id").alias(side), pl.col("address").alias(name))
        moves = moves.join(by_side, on=side, how="left", maintain_order="left")
    write(folder, "transfers.parquet", moves.drop("s", "d"))
    held = pl.read_parquet(raw / "labels.parquet")
    members = held.select(pl.col("address").sort()).with_columns(pl.lit(1.0).alias("member"))
    write(folder, "members.parquet", members)
    write(folder, "labels.parquet", unseen_labels(members.get_column("address")))
    moved = pl.concat([moves.get_column("sender"), moves.get_column("receiver")]).unique()
    return featurized("hop_sybil"), held, moved
