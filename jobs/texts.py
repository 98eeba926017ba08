"""Texts of a log as objects: what a trace with `near: text` acts on, and who says alike."""

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.config.values import DAY_US, day_us
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job
from graphguard.near.episodes import episodes
from graphguard.near.groups import centres
from graphguard.near.texts import PlainTexts, TextRules, near_texts, text_groups
from graphguard.rings.alike import Sayings, alike_sets
from graphguard.rings.evidence import ALIKE
from graphguard.rings.fusion import set_evidence
from graphguard.rings.recurrence import Sets, links_within
from graphguard.schema import EVENT_TEXT
from graphguard.tables.events import scan_events

Ints = NDArray[np.int64]
LIKENESS = (1.0, 0.8)
"""Shares of a trace's similarity at which sets that say the same are looked for: a paraphrase in
which every third word is another is not near, yet nearer than what others write about one thing."""
SITE = r"^(?i:[a-z][a-z0-9+.-]*://(?:www\.)?)([^/?#]+)"


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


def alike_links(job: Job, graph: HeteroGraph, num_pairs: float) -> list[pl.DataFrame]:
    """Pairs inside the sets that say nearly the same about one thing, before the cutoff.

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
    frames = []
    for text, trace in both:
        said = _sayings(job, graph, text, trace)
        if said is None:
            continue
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
        near, rough = found
        job.reporter.note(
            f"texts about {trace.log}.{trace.object}: two are near with chance {near.rate:.2g}, "
            f"roughly alike with {rough.rate:.2g}; {len(near.sets.users)} and "
            f"{len(rough.sets.users)} sets say the same; left out: {near.crowds} crowds, "
            f"{near.passed_on} and {rough.passed_on} posts that are passed on"
        )
        sets = Sets(
            [users for one in found for users in one.sets.users],
            np.concatenate([one.sets.objects for one in found]),
            np.concatenate([one.sets.log10_q for one in found]),
        )
        links, channel = links_within(sets, num_pairs), f"{ALIKE}{trace.log}.{trace.object}"
        frames.append(set_evidence(links, channel, job.config.graph.window.us))
    return frames


def _sayings(job: Job, graph: HeteroGraph, text: TraceConfig, trace: TraceConfig) -> Sayings | None:
    """Who wrote what about which thing in the window before the cutoff; None where nobody did."""
    actor = job.config.actor_column(trace.log)
    until = day_us(job.as_of)
    events = scan_events(job.run, trace.log, until - job.config.graph.window.us, until)
    if actor is None or events is None:
        return None
    frame = events.select(user=actor, object=trace.object, text=EVENT_TEXT).drop_nulls().collect()
    if not frame.height:
        return None
    user = graph.dense(job.config.training.target, frame.get_column("user").to_numpy())
    known = PlainTexts.of(frame.get_column("text"))
    pairs = near_texts(known.plain, known.rank, text_rules(job, text))
    group = known.name[centres(known.rank, pairs)]
    rows = pl.DataFrame(
        {
            "user": user,
            "thing": _things(job, trace, frame, user),
            "text": known.place,
            "post": frame.select(pl.struct("text", "object").rank("dense").cast(pl.Int64))
            .to_series()
            .to_numpy(),
        }
    )
    # A key that was erased since names nothing.
    known_things = rows.filter(pl.col("thing") >= 0)
    once = known_things.group_by("user", "thing", "text").agg(pl.col("post").min())
    once = once.sort("thing", "user", "text")
    columns = ("user", "thing", "text", "post")
    who, thing, what, post = (once.get_column(name).to_numpy() for name in columns)
    return Sayings(who, thing, what, post, known, group)


def _things(job: Job, trace: TraceConfig, frame: pl.DataFrame, user: Ints) -> Ints:
    """Number of the thing that each row is about: the site of a link, else the object."""
    kind = job.config.entity_columns(trace.log)[trace.object]
    known = frame.select("object").unique()
    keys = job.workspace.ids(kind).decode(known, "object", "key")
    site = pl.col("key").str.extract(SITE).str.to_lowercase()
    rows = frame.select("object").join(
        keys.select("object", "key", site=site), on="object", how="left", maintain_order="left"
    )
    rows = rows.with_columns(user=user).with_columns(
        crowd=pl.col("user").n_unique().over("site") > job.config.rings.max_burst
    )
    whole = pl.col("site").is_null() | pl.col("crowd")
    thing = rows.select(pl.when(whole).then("key").otherwise("site").alias("thing")).to_series()
    return thing.rank("dense").cast(pl.Int64).fill_null(-1).to_numpy()


def first_acts(objects: Ints, time_us: Ints) -> Ints:
    """First act on each object, shape [num_objects]."""
    first = np.full(int(objects.max(initial=-1)) + 1, 2**62, dtype=np.int64)
    np.minimum.at(first, objects, time_us)
    return first
