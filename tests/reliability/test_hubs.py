"""Hubs: one device of everybody is kept, counted and sampled, and makes neither pairs nor rings.

That a hub costs no more time or memory is measured by benchmarks/hubs.py.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import yaml
from scipy.stats import chi2

from graphguard.config.load import load_config
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.ranges import ranges
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.events import read_pairs
from graphguard.tables.files import read_parquet

USES = ("user", "uses", "device")
MAX_BURST = 200
SIZES = [
    30_000,
    pytest.param(300_000, marks=pytest.mark.slow),
    pytest.param(3_000_000, marks=pytest.mark.slow),
]


DAYS, CAP = 3, 200
START_S = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
DAY_S = 86_400


@dataclass(frozen=True)
class Crowd:
    """Logins of a crowd: each user once a day on a device of its own, and on hubs on day 2.

    Attributes:
        users: Number of users.
        hubs: Devices that every user also touches; without any the user touches a second of its
            own instead.
        viral: Whether every user also likes one content within one minute.
        shuffle: Seed of the order of the rows; None leaves them by time.
        fan: The user who likes the dull content: a log before logins, so first to be stored.
    """

    users: int
    hubs: int = 1
    viral: bool = False
    shuffle: int | None = None
    fan: int = 0

    def write(self, folder):
        """Write logs, one file a day, and one label."""
        user = pl.int_range(self.users, eager=True)
        second = START_S + user % 80_000
        for day in range(DAYS):
            parts = [logins(second + day * DAY_S, user, pl.format("own{}", user))]
            if day == 1 and not self.hubs:
                parts.append(logins(second + DAY_S + 1, user, pl.format("other{}", user)))
            for hub in range(self.hubs if day == 1 else 0):
                parts.append(logins(second + DAY_S + 1, user, pl.lit(f"hub{hub:02}")))
            self._log(folder / "logins", day, pl.concat(parts))
        if self.viral:
            within_a_minute = START_S + DAY_S + user % 50
            likes = logins(within_a_minute, user, pl.lit("viral"))
        else:
            likes = logins(second[:1] + DAY_S, user[[self.fan]], pl.lit("dull"))
        self._log(folder / "likes", 1, likes.rename({"device_id": "content_id"}))
        row = {"user_id": ["user0"], "is_abusive": [True], "decided_at": [START_S * 1_000_000]}
        frame = pl.DataFrame(row).with_columns(pl.col("decided_at").cast(pl.Datetime("us", "UTC")))
        frame.write_parquet(folder / "labels.parquet")

    def _log(self, folder, day, frame):
        if self.shuffle is not None:
            frame = frame.sample(fraction=1.0, shuffle=True, seed=self.shuffle)
        place = folder / f"dt=2026-01-{day + 1:02}"
        place.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(place / "part.parquet")


def logins(second, user, device):
    """One login a user."""
    return pl.select(
        (second * 1_000_000).cast(pl.Datetime("us", "UTC")).alias("ts"),
        pl.format("user{}", user).alias("user_id"),
        device.alias("device_id"),
    )


@pytest.fixture
def crowd_config(tmp_path):
    """Write a crowd's logs once and a config on them; `hubs` are the caps."""

    def make(crowd, *, hubs=None, seed=7, name="crowd"):
        folder = tmp_path / name
        if not folder.exists():
            folder.mkdir()
            crowd.write(folder)
        edges = [
            {"name": ["user", "uses", "device"], "log": "logins"}
            | {"source": "user_id", "target": "device_id"},
            {"name": ["user", "likes", "content"], "log": "likes"}
            | {"source": "user_id", "target": "content_id"},
        ]
        path = folder / "config.yaml"
        settings = {
            "workspace": "workspace",
            "as_of": "2026-01-04",
            "logs": {
                "logins": {"path": "logins/dt={date}/*.parquet", "time": "ts"},
                "likes": {"path": "likes/*/*.parquet", "time": "ts"},
            },
            "graph": {
                "window": "3d",
                "edges": edges,
                "hubs": {"device": CAP} if hubs is None else hubs,
            },
            "labels": {"path": "labels.parquet"},
            "training": {"anchor": {"event": 2}, "seed": seed, "models": ["trees"]},
            "rings": {"traces": [{"log": "likes", "object": "content_id"}], "shared": ["device"]},
            "limits": {"min_day_ratio": 0},
        }
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return load_config(path)

    return make


@pytest.fixture
def build(crowd_config):
    """Run a night to its graph, or to a later stage; returns the run and the graph."""

    def run(crowd, last="build_graph", **settings):
        done = run_night(Night(crowd_config(crowd, **settings), last=last))
        return done, HeteroGraph.open(done.stage("build_graph") / "graph")

    return run


def sharers(graph, device="hub00"):
    """Keys of the users whose edges to the device were kept, sorted."""
    into, place = graph.into(USES), graph.index_of("device", device)
    kept = into.neighbor[into.indptr[place] : into.indptr[place + 1]]
    keys = graph.keys("user")
    return sorted(keys[int(user)] for user in kept)


@pytest.mark.parametrize("users", SIZES)
def test_a_hub_stays_a_node_with_its_true_degree_and_as_many_edges_as_its_cap(build, users):
    _, graph = build(Crowd(users))

    hub = graph.index_of("device", "hub00")
    out, into = graph.out(USES), graph.into(USES)
    kept = np.diff(into.indptr)
    degree = np.asarray(graph.degree(USES, "target"))
    assert graph.num_nodes == {"content": 1, "device": users + 1, "user": users}
    assert degree[hub] == users
    assert kept[hub] == CAP
    assert (np.delete(kept, hub) == DAYS).all()
    assert (np.delete(degree, hub) == DAYS).all()
    assert (np.asarray(graph.degree(USES, "source")) == DAYS + 1).all()
    # Both directions hold the same edges to it.
    holders = np.repeat(np.arange(users), np.diff(out.indptr))[np.asarray(out.neighbor) == hub]
    assert sorted(holders.tolist()) == sorted(
        into.neighbor[into.indptr[hub] : into.indptr[hub + 1]].tolist()
    )


def test_the_sample_follows_keys_and_seed_and_not_the_order_of_storage(build, monkeypatch):
    # Day by day, so that indices follow the order in which users are met.
    monkeypatch.setattr("graphguard.jobs.ingest.GROUP_BYTES", 0)
    _, first = build(Crowd(2_000), name="first")
    _, shuffled = build(Crowd(2_000, shuffle=3, fan=1_234), name="shuffled")
    _, other_seed = build(Crowd(2_000), name="first", seed=8)
    _, larger = build(Crowd(2_001, shuffle=4), name="larger")

    assert len(sharers(first)) == CAP
    assert sharers(shuffled) == sharers(first)
    order = [graph.storage("user").tolist() for graph in (first, shuffled)]
    assert order[0] != order[1]
    # Another seed draws anew: about CAP * CAP / 2000 = 20 are drawn by both.
    assert 3 <= len(set(sharers(other_seed)) & set(sharers(first))) <= 50
    # One user more can push out no more than one.
    assert len(set(sharers(larger)) & set(sharers(first))) >= CAP - 1


def test_every_edge_of_a_hub_is_kept_equally_often(build):
    users, hubs, cap, seeds = 200, 50, 40, 8
    tally = np.zeros((users, hubs))
    for seed in range(seeds):
        _, graph = build(Crowd(users, hubs=hubs), hubs={"device": cap}, seed=seed)
        for hub in range(hubs):
            place = [int(key.removeprefix("user")) for key in sharers(graph, f"hub{hub:02}")]
            assert len(place) == cap
            tally[place, hub] += 1

    # Each user is kept in 80 of the 400 samples of 40 in 200; sampling without replacement spreads
    # less than independent draws by (users - cap) / (users - 1).
    expected = seeds * hubs * cap / users
    spread = expected * (users - cap) / (users - 1)
    statistic = float(((tally.sum(axis=1) - expected) ** 2 / spread).sum())
    assert 1e-4 < chi2.sf(statistic, users - 1) < 1 - 1e-4
    # And each edge by itself: how many were kept in 0, 1, ... 8 of the seeds is binomial.
    share = cap / users
    chance = np.array([share**n * (1 - share) ** (seeds - n) for n in range(seeds + 1)])
    chance *= [1, 8, 28, 56, 70, 56, 28, 8, 1]
    wanted, found = chance * users * hubs, np.bincount(tally.astype(int).ravel(), minlength=9)
    wanted, found = np.r_[wanted[:5], wanted[5:].sum()], np.r_[found[:5], found[5:].sum()]
    assert chi2.sf(float(((found - wanted) ** 2 / wanted).sum()), 5) > 1e-4


@pytest.fixture
def counted(monkeypatch):
    """How many pairs each kind of pair work makes, before any is dropped."""
    pairs = {"sharing": 0, "coaction": 0}

    def counting(kind):
        def made(first, last):
            found = ranges(first, last)
            pairs[kind] += len(found)
            return found

        return made

    monkeypatch.setattr("graphguard.rings.link.ranges", counting("sharing"))
    for module in ("meetings", "coaction"):
        monkeypatch.setattr(f"graphguard.rings.{module}.ranges", counting("coaction"))
    return pairs


@pytest.mark.parametrize(
    ("caps", "most"),
    [({"device": CAP}, CAP * (CAP - 1) // 2), ({}, 0)],
    ids=["capped_by_graph_hubs", "uncapped_but_above_max_sharers"],
)
def test_pair_work_never_sees_an_uncapped_hub(build, counted, caps, most):
    # 30,000 users on one device and 30,000 likes of one content within a minute: 450 million pairs
    run, graph = build(Crowd(30_000, viral=True), last="link", hubs=caps)

    hub = graph.index_of("device", "hub00")
    assert np.diff(graph.into(USES).indptr)[hub] == (CAP if caps else 30_000)
    assert counted["sharing"] == most
    # A sample stands for the burst. An act is kept with max_burst over the acts that follow it in
    # its window, so the last ones are kept whole: max_burst * (1 + ln(acts / max_burst)) in all.
    sample = MAX_BURST * (1 + np.log(30_000 / MAX_BURST))
    assert 0 < counted["coaction"] < 1.2 * sample**2 / 2 < 0.002 * 450e6
    assert not read_pairs(run, "anchor=2026-01-04").height


@pytest.mark.slow
def test_a_ring_made_only_of_a_hub_is_not_reported(make_config, world, tmp_path):
    # On the last day but one every user of the world also logs in on one public device, at one
    # address; ten of them also like twelve posts within half a minute each.
    logs = tmp_path / "world" / "logs"
    shutil.copytree(world / "logs", logs)
    (logins,), (likes,), (posts,) = (
        (logs / name / "dt=2026-01-20").glob("*.parquet") for name in ("logins", "likes", "posts")
    )
    held = pl.read_parquet(logins)
    users = pl.read_parquet(world / "truth" / "users.parquet").sort("user_id")
    crowd = users.select(
        (held["ts"][0] + pl.duration(seconds=pl.int_range(pl.len()) % 3000)).alias("ts"),
        "user_id",
        pl.lit("public").alias("device_id"),
        pl.lit(held["address"][0]).alias("address"),
    )
    pl.concat([held, crowd.cast(dict(held.schema))], how="diagonal").write_parquet(logins)
    ring = users.filter(~pl.col("abusive")).head(10).select("user_id")
    boosted = pl.read_parquet(posts).head(96).gather_every(8).select("content_id", "created_at")
    bursts = boosted.join(ring, how="cross").select(
        "user_id",
        "content_id",
        ts=pl.col("created_at") + pl.duration(hours=5, seconds=pl.int_range(pl.len()) % 10 * 3),
    )
    before = pl.read_parquet(likes)
    pl.concat([before, bursts.cast(dict(before.schema))]).sort("ts").write_parquet(likes)
    base = make_config()
    moved = {
        name: log.model_copy(update={"path": log.path.replace(str(world), str(tmp_path / "world"))})
        for name, log in base.logs.items()
    }

    run = run_night(Night(base.model_copy(update={"logs": moved}), last="find_rings"))

    members = read_parquet(run.file("find_rings", "ring_members.parquet"))
    evidence = read_parquet(run.file("find_rings", "ring_evidence.parquet"))
    guilty = {*ring["user_id"], *users.filter("abusive")["user_id"]}
    assert set(ring["user_id"]) <= set(members["key"])
    # Who came beside a ring joins it whatever is shared. No other, and none for the hub: each ring
    # has other evidence, or far fewer sharers.
    linked = evidence.filter(~pl.col("channel").str.starts_with("beside."))
    assert linked.filter(pl.col("channel") != "shared.device").height
    assert {*linked["key_a"], *linked["key_b"]} <= guilty
