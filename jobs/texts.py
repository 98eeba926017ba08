"""Texts of a log as objects: what a trace with `near: text` acts on, and who says alike."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.config.values import DAY_US, day_us
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job
from graphguard.jobs.object_names import Names
from graphguard.jobs.told import Told
from graphguard.near.episodes import episodes
from graphguard.near.groups import centres
from graphguard.near.texts import PlainTexts, TextRules, near_texts, text_groups
from graphguard.rings.alike import Sayings, alike_sets
from graphguard.rings.evidence import ALIKE
from graphguard.rings.fusion import set_evidence
from graphguard.rings.recurrence import Sets, links_within
from graphguard.rings.things import OF_SITE, things_of
from graphguard.schema import EVENT_TEXT
from graphguard.tables.events import scan_events

Ints = NDArray[np.int64]
LIKENESS = (1.0, 0.8, 0.6)
"""Shares of a trace's similarity at which sets that say the same are looked for: a paraphrase in
which every second word is another is not near, yet nearer than what others write about one thing.
What is near that roughly is no surprise, and a set is told where nearly all of it is."""


@dataclass(frozen=True)
class Written:
    """Who wrote what about which thing in a window.

    Attributes:
        said: As sets that say the same are looked for.
        things: Type and name of each thing.
        acts: `user`, `object` (the thing), `time_us` of all that was written.
    """

    said: Sayings
    things: list[tuple[str, str]]
    acts: pl.DataFrame

    def names(self) -> Names:
        """Names of things by their numbers."""
        return lambda places: [self.things[place] for place in places.tolist()]

    def acts_of(self, sets: Sets, log: str) -> pl.DataFrame:
        """What members of sets wrote about the things of these, as in `Told.acts`."""
        thing = pl.Series("object", sets.objects.reshape(-1), dtype=pl.Int64).unique()
        about = self.acts.join(thing.to_frame(), on="object", how="semi")
        users = pl.col("user").n_unique().over("object").cast(pl.Int64).alias("users")
        member = pl.Series("user", np.concatenate([*sets.users, np.zeros(0, np.int64)]))
        about = about.with_columns(users, pl.lit(log).alias("log"))
        return about.join(member.unique().to_frame(), on="user", how="semi")


def text_rules(job: Job, trace: TraceConfig) -> TextRules:
    """When two texts of a trace are near."""
    return TextRules(similarity=trace.similarity, seed=job.config.training.seed)


def text_objects(job: Job, trace: TraceConfig, texts: pl.Series, time_us: Ints) -> Ints:
    """The object of each text: its near-duplicate group within an episode, numbered from 0.

    A silence of more than a day ends an episode, and of more than the widest window, so that it
    parts no two acts that could meet.
    """
    groups = np.unique(text_groups(texts, text_rules(job, trace)), return_inverse=True)[1]
    return deeds(job, groups.astype(np.int64), time_us)


def deeds(job: Job, groups: Ints, time_us: Ints) -> Ints:
    """Groups of near things within an episode, as `text_objects`."""
    return episodes(groups, time_us, max(DAY_US, job.config.rings.windows[-1].us))


def alike_links(job: Job, graph: HeteroGraph, num_pairs: float) -> list[Told]:
    """Sets that say nearly the same about one thing, before the cutoff, and the pairs inside.

    The things are the objects of the other traces of a text's log; of links the site, unless more
    users than `rings.max_burst` wrote about it.
    """
    settings = job.config.rings
    both = [
        (text, trace)
        for text in settings.traces
        for trace in settings.traces
        if text.near == "text" and trace.near is None and trace.log == text.log
    ]
    tests = max(len(both), 1) * len(LIKENESS)
    rate = float(np.log10(settings.false_discovery_rate / tests))
    told = []
    for text, trace in both:
        written = _sayings(job, graph, text, trace)
        if written is None:
            continue
        said = written.said
        rules = text_rules(job, text)
        # Groups are of near texts; what is less alike than these is told by a sample.
        found = [
            alike_sets(
                replace(said, group=said.group if share == 1 else None),
                replace(rules, similarity=share * rules.similarity),
                settings.max_burst,
                rate,
            )
            for share in LIKENESS
        ]
        for share, one in zip(LIKENESS, found, strict=True):
            job.reporter.note(
                f"texts about {trace.log}.{trace.object}, alike by "
                f"{share * text.similarity:.2g}: two are with chance {one.rate:.2g}, "
                f"{len(one.sets.users)} sets say the same; left out: {one.crowds} crowds, "
                f"{one.passed_on} posts that are passed on"
            )
        sets = Sets(
            [users for one in found for users in one.sets.users],
            np.concatenate([one.sets.objects for one in found]),
            np.concatenate([one.sets.log10_q for one in found]),
            [terms for one in found for terms in one.sets.terms],
        )
        channel, window = f"{ALIKE}{trace.log}.{trace.object}", job.config.graph.window.us
        links = set_evidence(links_within(sets, num_pairs), channel, window)
        acts = written.acts_of(sets, trace.log)
        told.append(Told(channel, links, sets.told("alike"), window, written.names(), acts))
    return told


def _sayings(job: Job, graph: HeteroGraph, text: TraceConfig, trace: TraceConfig) -> Written | None:
    """Who wrote what about which thing in the window before the cutoff; None where nobody did."""
    actor = job.config.actor_column(trace.log)
    until = day_us(job.as_of)
    events = scan_events(job.run, trace.log, until - job.config.graph.window.us, until)
    if actor is None or events is None:
        return None
    columns = {"user": actor, "object": trace.object, "text": EVENT_TEXT, "time_us": "time_us"}
    frame = events.select(**columns).drop_nulls().collect()
    if not frame.height:
        return None
    user = graph.dense(job.config.training.target, frame.get_column("user").to_numpy())
    known = PlainTexts.of(frame.get_column("text"))
    pairs = near_texts(known.plain, known.rank, text_rules(job, text))
    group = known.name[centres(known.rank, pairs)]
    kind = job.config.entity_columns(trace.log)[trace.object]
    keys = job.workspace.ids(kind).decode(frame.select("object").unique(), "object", "key")
    about = things_of(frame.with_columns(user=user), keys, job.config.rings.max_burst)
    rows = pl.DataFrame(
        {
            "user": user,
            # A key that was erased since names nothing.
            "thing": about.get_column("thing").rank("dense").cast(pl.Int64).fill_null(0) - 1,
            "text": known.place,
            "post": frame.select(pl.struct("text", "object").rank("dense").cast(pl.Int64))
            .to_series()
            .to_numpy(),
        }
    )
    known_things = rows.filter(pl.col("thing") >= 0)
    once = known_things.group_by("user", "thing", "text").agg(pl.col("post").min())
    once = once.sort("thing", "user", "text")
    names = ("user", "thing", "text", "post")
    who, thing, what, post = (once.get_column(name).to_numpy() for name in names)
    types = pl.when("whole").then(pl.lit(kind)).otherwise(pl.lit(f"{OF_SITE}{kind}"))
    named = about.drop_nulls("thing").unique(maintain_order=False).sort("thing", "whole")
    # A key that reads like a site is the same thing.
    named = named.unique("thing", keep="first", maintain_order=True)
    acts = rows.select("user", object="thing", time_us=frame.get_column("time_us"))
    return Written(
        Sayings(who, thing, what, post, known, group),
        list(named.select(types, "thing").iter_rows()),
        acts,
    )


def first_acts(objects: Ints, time_us: Ints) -> Ints:
    """First act on each object, shape [num_objects]."""
    first = np.full(int(objects.max(initial=-1)) + 1, 2**62, dtype=np.int64)
    np.minimum.at(first, objects, time_us)
    return first
