"""Recompute every number of a night's rings from the acts that are shown for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from graphguard.checks.counted import counts_differ
from graphguard.checks.leakage import CheckFailed
from graphguard.checks.numbers import CLOSE, far, told
from graphguard.checks.ring_sets import (
    campaigns_differ,
    common_differs,
    earlier_differs,
    set_links_differ,
    sets_differ,
    strangers_join,
    untied,
)
from graphguard.checks.said import SAID, texts_differ
from graphguard.config.sections import Config
from graphguard.config.values import day_us
from graphguard.errors import ArtefactInvalid
from graphguard.rings.cores import WEAK
from graphguard.rings.describe import RingInputs, member_table, ring_table
from graphguard.rings.evidence import (
    CORE,
    LIKENESS,
    NEAR,
    SETS,
    SHARED,
    acts_channel,
    event_ids,
    recounted,
    retested,
)
from graphguard.rings.fusion import channel_bits
from graphguard.rings.significance import all_pairs, log10_q
from graphguard.rings.things import OF_SITE, SITE
from graphguard.tables.commit import read_manifest
from graphguard.tables.events import read_pairs, scan_events
from graphguard.tables.files import read_json, read_parquet
from graphguard.tables.workspace import Run

CHECK = "check evidence"
LINK = ("ring_id", "key_a", "key_b", "channel")
COUNTED = ("weight", "a_first", "gap_us", "together")
OF_A_RING = ("size", "density", "evidence_bits", "channels")
TESTED = (
    "first_share",
    "log10_p",
    "log10_q",
    "synchrony_s",
    "met_share",
    "chance_share",
    "mean_risk",
)
OF_A_MEMBER = ("role", "degree", "evidence_bits")


@dataclass(frozen=True)
class EvidenceProof:
    """An evidence check that held.

    Attributes:
        rings: Rings of the night.
        links: Rows of `ring_evidence` that were counted and tested anew.
        by_sets: Of these, the links whose p is that of a set of users.
        sets: Rows of `ring_sets`: the q of each was made again from its terms.
        read: Of these, the sets whose texts were read in the log, compared and counted.
        by_likeness: Rows of users who are like each other, which rest on no act.
        acts: Rows of `ring_acts`, each found in its log.
    """

    rings: int
    links: int
    by_sets: int
    sets: int
    read: int
    by_likeness: int
    acts: int

    def __str__(self) -> str:
        return (
            f"evidence holds: {self.rings} rings; {self.links} links counted and tested anew from "
            f"{self.acts} acts, each of them in its log, {self.by_sets} of them by {self.sets} "
            f"sets that follow from their terms; the texts of {self.read} sets read and compared; "
            f"{self.by_likeness} rows of likeness rest on no act"
        )


def check_evidence(config: Config, run: Run) -> EvidenceProof:
    """Recompute sets, links, members and rings of a run from its acts, and find these in the logs.

    Raises:
        CheckFailed: A number differs, or an act is in no log.
        ArtefactInvalid: An older program wrote the run, without the acts or sets of its rings.
    """
    for name in ("ring_acts", "ring_sets"):
        path = run.stage("find_rings") / f"{name}.parquet"
        if run.has("find_rings") and not path.is_file():
            reason = "is not there: an older program wrote this night without it"
            raise ArtefactInvalid(path, reason)
    tables = {
        name: read_parquet(run.file("find_rings", f"{name}.parquet"))
        for name in ("rings", "ring_members", "ring_evidence", "ring_acts", "ring_sets")
    }
    links, acts, sets = (tables[f"ring_{name}"] for name in ("evidence", "acts", "sets"))
    # Of pairs and rings some of whose users were erased since, the tests stay as they were said.
    erased = bool(run.manifest("find_rings").get("erasures"))
    num_pairs = all_pairs(run.manifest("find_rings")["num_users"])
    differences = [
        *_acts_differ(config, run, acts),
        *_links_differ(links, acts),
        *sets_differ(sets, acts),
        *set_links_differ(links, sets, acts, num_pairs),
        *([] if erased else _rates_differ(run, links)),
        *([] if erased else [*common_differs(sets, acts), *untied(sets, links)]),
        *([] if erased else strangers_join(sets, acts)),
        *campaigns_differ(sets),
        *([] if erased else earlier_differs(sets, acts)),
        *([] if erased else counts_differ(config, run, sets, acts)),
        *([] if erased else texts_differ(config, run, sets)),
        *_rings_differ(run, tables, () if erased else TESTED),
    ]
    if differences:
        raise CheckFailed(CHECK, differences)
    channel = links.get_column("channel")
    by_likeness = int(channel.is_in(LIKENESS).sum())
    return EvidenceProof(
        rings=tables["rings"].height,
        links=links.height - by_likeness,
        by_sets=int(channel.str.contains(SETS).sum()),
        sets=sets.height,
        read=0 if erased else int((sets.get_column("test") == SAID).sum()),
        by_likeness=by_likeness,
        acts=acts.height,
    )


def _acts_differ(config: Config, run: Run, acts: pl.DataFrame) -> Iterator[str]:
    """Acts that no log holds, and names of events that are not theirs."""
    logs = acts.get_column("event_id").str.extract(r"^(.*):[0-9a-f]{16}$")
    acts = acts.with_columns(logs.alias("log"))
    wrong = event_ids(acts) != acts.get_column("event_id")
    for row in acts.filter(wrong.fill_null(value=True)).iter_rows(named=True):
        yield f"event {row['event_id']} of ring {row['ring_id']} is named after another event"
    for (log,), mine in acts.group_by("log", maintain_order=True):
        held = _in_log(config, run, str(log), mine)
        missing = mine.join(held, on=["key", "object", "time_us"], how="anti")
        for row in missing.iter_rows(named=True):
            yield (
                f"log {log} holds no event of {row['key']} on {row['object']} at {row['time_us']}"
            )


def _in_log(config: Config, run: Run, log: str, acts: pl.DataFrame) -> pl.DataFrame:
    """`key`, `object` and `time_us` of the log's events that are among the acts."""
    until = day_us(date.fromisoformat(run.facts()["as_of"]))
    since = until - config.graph.window.us
    actor, columns = config.actor_column(log), config.entity_columns(log)
    events = scan_events(run, log, since, until)
    found = [acts.select("key", "object", "time_us").clear()]
    if events is None or actor is None:
        return found[0]
    target = config.training.target
    for (kind,), mine in acts.group_by("object_type", maintain_order=True):
        if str(kind).startswith(NEAR):
            # Which values are near is not asked again: that the user wrote something then is.
            found.append(_written(run, events.select(user=actor, time_us="time_us"), mine, target))
            continue
        if str(kind).startswith(OF_SITE):
            kind_of = str(kind).removeprefix(OF_SITE)
            things = [name for name, of in columns.items() if of == kind_of and name != actor]
            for thing in things:
                named = events.select(user=actor, thing=thing, time_us="time_us")
                found.append(_on_sites(run, named, mine, (target, kind_of)))
            continue
        things = [name for name, of in columns.items() if of == kind and name != actor]
        users, objects = (
            run.workspace.ids(name).codes(mine.get_column(column).unique()).drop_nulls()
            for name, column in ((target, "key"), (str(kind), "object"))
        )
        for thing in things:
            named = events.select(
                pl.col(actor).alias("user"), pl.col(thing).alias("thing"), "time_us"
            )
            among = pl.col("user").is_in(users.implode()) & pl.col("thing").is_in(objects.implode())
            rows = named.filter(among).unique().collect()
            rows = run.workspace.ids(target).decode(rows, "user", "key")
            rows = run.workspace.ids(str(kind)).decode(rows, "thing", "object")
            found.append(rows.select("key", "object", "time_us"))
    return pl.concat(found)


def _on_sites(
    run: Run, events: pl.LazyFrame, acts: pl.DataFrame, kinds: tuple[str, str]
) -> pl.DataFrame:
    """`key`, `object` and `time_us` of acts on the sites of objects, at the times of `acts`."""
    times = acts.get_column("time_us").unique().implode()
    at = events.filter(pl.col("time_us").is_in(times)).drop_nulls().unique().collect()
    named = run.workspace.ids(kinds[0]).decode(at, "user", "key")
    named = run.workspace.ids(kinds[1]).decode(named, "thing", "link")
    site = pl.col("link").str.extract(SITE).str.to_lowercase()
    return named.select("key", object=site, time_us="time_us").drop_nulls()


def _written(run: Run, events: pl.LazyFrame, acts: pl.DataFrame, target: str) -> pl.DataFrame:
    """The acts at whose times the log has an event of their user."""
    times = acts.get_column("time_us").unique().implode()
    at = events.filter(pl.col("time_us").is_in(times)).unique().collect()
    named = run.workspace.ids(target).decode(at, "user", "key")
    held = acts.join(named, on=["key", "time_us"], how="semi")
    return held.select("key", "object", "time_us")


def _links_differ(links: pl.DataFrame, acts: pl.DataFrame) -> Iterator[str]:
    """Links of pairs, and of cores, whose counts, p or bits are not what their acts say."""
    yield from far(links, "bits", links.select(channel_bits(pl.col("log10_p"))).to_series())
    by_pair = ~pl.col("channel").is_in(LIKENESS) & ~pl.col("channel").str.contains(SETS)
    core = pl.col("channel").str.starts_with(CORE)
    counted = links.filter(by_pair | core)
    asked = counted.select(
        "ring_id",
        acts_channel(pl.col("channel")).alias("channel"),
        pl.col("key_a").alias("user_a"),
        pl.col("key_b").alias("user_b"),
        "window_us",
        "most_users",
    )
    again = recounted(asked, acts.rename({"key": "user"}))
    timed = ~counted.get_column("channel").str.starts_with(SHARED)
    for name in COUNTED:
        wrong = counted.get_column(name).ne_missing(again.get_column(name))
        if name in ("a_first", "gap_us"):
            wrong &= timed
        if name == "together":
            wrong &= counted.get_column(name).is_not_null()
        yield from told(counted.filter(wrong), name, again.get_column(name).filter(wrong))
    yield from _chances_differ(counted)
    plain, weak = counted.filter(~core), counted.filter(core)
    yield from far(plain, "log10_p", pl.Series(retested(plain)))
    # A link of a core has the p of its set; by itself it was weak.
    alone = pl.Series(retested(weak), dtype=pl.Float64)
    for row, value in zip(weak.iter_rows(named=True), alone, strict=True):
        if value > WEAK + CLOSE:
            place = ", ".join(str(row[one]) for one in LINK)
            yield f"{place}: log10_p by itself is {value}, above {WEAK}"


def _chances_differ(links: pl.DataFrame) -> Iterator[str]:
    """Links whose chances are not one for each common object, or not what was expected."""
    # An older program kept only their sum.
    if "chances" in links.columns:
        coins = links.filter(pl.col("chances").is_not_null())
        chances = coins.get_column("chances")
        number = chances.list.len().cast(pl.Int64)
        wrong = number != coins.get_column("together")
        yield from told(coins.filter(wrong), "together", number.filter(wrong))
        yield from far(coins, "by_chance", chances.list.sum())


def _rates_differ(run: Run, links: pl.DataFrame) -> Iterator[str]:
    """Links whose q is not that of their pair among all pairs of the night."""
    facts = run.facts()
    name = f"anchor={facts['as_of']}"
    pairs = read_pairs(run, name)
    searched = read_manifest(run.partitions("link", "pairs")[name])
    pair = ["user_a", "user_b"]
    least = pairs.group_by(pair).agg(pl.col("log10_p").min(), pl.col("log10_q").first()).sort(pair)
    p = least.get_column("log10_p").to_numpy() + np.log10(max(searched["channels"], 1))
    again = log10_q(np.minimum(p, 0.0), all_pairs(searched["users"]))
    yield from far(least, "log10_q", pl.Series(again))
    ids = run.workspace.ids(read_json(run.folder / "config.json")["training"]["target"])
    for column in pair:
        least = ids.decode(least, column, column.replace("user", "key"))
    own = ~pl.col("channel").str.contains(SETS) & ~pl.col("channel").is_in(LIKENESS)
    mine = links.filter(own)
    held = mine.select("key_a", "key_b").join(
        least.select("key_a", "key_b", "log10_q"),
        on=["key_a", "key_b"],
        how="left",
        maintain_order="left",
    )
    wrong = mine.get_column("log10_q").ne_missing(held.get_column("log10_q"))
    yield from told(mine.filter(wrong), "log10_q", held.get_column("log10_q").filter(wrong))


def _rings_differ(
    run: Run, tables: Mapping[str, pl.DataFrame], more: tuple[str, ...]
) -> Iterator[str]:
    """Members and rings whose numbers, and those named in `more`, are not those of their links."""
    links = tables["ring_evidence"].rename(
        {"ring_id": "ring", "key_a": "user_a", "key_b": "user_b"}
    )
    held = tables["ring_members"].sort("ring_id", "key")
    members = held.select(pl.col("ring_id").alias("ring"), pl.col("key").alias("user"), "entity")
    predictions = read_parquet(run.file("embed", "predictions.parquet"))
    risk = members.join(predictions.select("entity", "risk_score"), on="entity")
    inputs = RingInputs(
        members=members.drop("entity"),
        evidence=links,
        risk=risk.select("user", "risk_score"),
        bad=pl.DataFrame(schema={"user": pl.String}),
        touches=pl.DataFrame(
            schema={"user": pl.String, "type": pl.String, "key": pl.String, "popularity": pl.Int64}
        ),
        num_pairs=all_pairs(run.manifest("find_rings")["num_users"]),
    )
    found = member_table(inputs, links).sort("ring", "user")
    rings = tables["rings"].sort("ring_id")
    described = ring_table(inputs, links).sort("ring")
    for table, again, own in ((held, found, OF_A_MEMBER), (rings, described, OF_A_RING)):
        for name in (*own, *(name for name in more if name in table.columns)):
            if table.schema[name] == pl.Float64:
                yield from far(table, name, again.get_column(name))
                continue
            wrong = table.get_column(name).ne_missing(again.get_column(name))
            yield from told(table.filter(wrong), name, again.get_column(name).filter(wrong))
