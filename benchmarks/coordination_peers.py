"""One log's co-action network, ours or coordination-network-toolkit's; run by `coordination.py`.

Each call is a process of its own and prints its figures as JSON.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

SECOND = 1_000_000


def ours(log: Path, window_s: int) -> dict[str, object]:
    """Read the log, pair within the window, test all pairs, write the links: what the peer does."""
    from graphguard.graph.keyed import KeyHashes
    from graphguard.rings.coaction import find_coactions
    from graphguard.rings.link import LinkRules, linked
    from graphguard.rings.meetings import Acts

    start = time.perf_counter()
    frame = pl.read_parquet(log)
    user, thing, time_us = (frame.get_column(name).to_numpy() for name in frame.columns)
    del frame
    windows = [window_s * SECOND]
    users = int(user.max()) + 1
    rules = LinkRules(windows, 200, 1000, KeyHashes(Names(users)))
    read, spent = time.perf_counter(), time.process_time()
    acts = Acts(user, thing, time_us).ordered()
    del user, thing, time_us
    found = find_coactions(acts, windows, rules.user_hash, rules.max_burst)
    paired, spent = time.perf_counter(), time.process_time() - spent
    links = linked(acts, found, first_acts(acts), rules)
    links.write_parquet(log.with_suffix(".links"))
    done = time.perf_counter()
    return {
        "seconds": done - start,
        "pair_seconds": paired - read,
        "pair_processor_seconds": spent,
        "meetings": len(found.meetings),
        "bursts": len(found.burst_objects),
        "edges": None if len(found.burst_objects) else _distinct(found.meetings.keys()),
        "links": links.height,
    }


def toolkit(log: Path, window_s: int) -> dict[str, object]:
    """Load the log as CSV into its database, then compute the co-share network."""
    import sqlite3

    from coordination_network_toolkit.compute_networks import compute_co_retweet_parallel
    from coordination_network_toolkit.preprocess import preprocess_csv_files

    table, base = log.with_suffix(".csv"), log.with_suffix(".db")
    base.unlink(missing_ok=True)
    start = time.perf_counter()
    preprocess_csv_files(str(base), [str(table)])
    loaded = time.perf_counter()
    compute_co_retweet_parallel(str(base), window_s, n_threads=2, min_edge_weight=1)
    done = time.perf_counter()
    count = "select count(*) from co_retweet_network where user_1 < user_2"
    with sqlite3.connect(base) as held:
        edges = held.execute(count).fetchone()[0]
    return {"seconds": done - start, "load_seconds": loaded - start, "edges": edges}


class Names(Sequence[str]):
    """Keys of users that are numbers."""

    def __init__(self, users: int) -> None:
        self._users = users

    def __len__(self) -> int:
        return self._users

    def __getitem__(self, place: int) -> str:
        return str(place)


def first_acts(acts: object) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """First sight of each object: the log holds nothing else about them."""
    things = acts.object
    born = np.full(int(things.max()) + 1, 2**62, dtype=np.int64)
    np.minimum.at(born, things, acts.time_us)
    return born


def _distinct(keys: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> int:
    keys.sort()
    return int((np.diff(keys) > 0).sum()) + bool(len(keys))


PEERS = {"ours": ours, "toolkit": toolkit}

if __name__ == "__main__":
    figures = PEERS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write("\n" + json.dumps(figures) + "\n")
