"""Users who came beside a ring when strangers do not.

A member that acted once with its ring leaves no link that stands out, and nothing about it tells it
from strangers. But strangers do not come to a post of the day before yesterday, seven of them on
the evening on which eighteen members of a ring do. How many come is known: by the ages of posts,
and by how many came to this one at other times (`rings/arrivals.py`). Where that many do not come
by chance, those who came are told with the ring.

Where two or three come to each of a ring's objects, no single one says much: so all of a ring's
calls on a channel are also asked together.

The test is of all who came, and one of them may have come by chance. Where that may be as much as
a twentieth of those on the object with the ring, none is told. And a ring may have made the post
known, which is what rings are paid for: those who come because of it stay on when the ring has
gone. So as many are expected as came in as long a stretch after it; and where the night sees too
little of that stretch, it says nothing yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.rings.arrivals import (
    Arrivals,
    log10_strangers_tail,
    log10_together_tails,
    strangers,
)
from graphguard.rings.discrete import discrete_steps, log10_discrete_q
from graphguard.rings.gatherings import MOST_BY_CHANCE
from graphguard.rings.joining import NEAR, Visits, came, homes, own_visits
from graphguard.rings.set_terms import OF_SET, Numbers, Terms, ToldSet
from graphguard.rings.significance import Floats, log10_poisson_tail

Ints = NDArray[np.int64]

BESIDE_TEST = "beside"
HALF = 0.5
"""Share of an object's users in the window that members of the ring are at least."""
LEAST_STEP_US = 1_000_000
"""Times are taken to be of a second at best, or else of what all times of a log are multiples."""
FEW = 0.1
"""Share of those who came to a call that strangers are less than, where all calls tell them."""
SEEN = 0.25
"""Share of the stretch after a ring that a night must see."""
NEVER_US = 2**62
COUNTS = ("others", "before_after", "wake")
EXPECTED = ("shape", "inside", "outside")
PRESENT = ("members", "others", "elsewhere")
"""Users on the object while the ring was: its members, those of no ring, those of others."""
EACH = (*COUNTS, *EXPECTED)
"""What p follows from."""
TERMS = (*PRESENT, "step_us", *COUNTS[1:], *EXPECTED, "log10_p")
STEP = ("log10_false", "rank")
CAMPAIGN = ("calls", "at", "campaign_log10_p")
"""Of a call that is told with all others of its ring: these, its own place among them, their p."""
PLACE = ["channel", "group", "object"]
MOST = 64
"""Users who came, above which a count is taken for this one."""
STRANGER = pl.col("home") < 0
INSIDE = pl.col("time_us").is_between("begin_us", "end_us")
CALLS = {
    "group": pl.Int64,
    "object": pl.Int64,
    "members": pl.Int64,
    "begin_us": pl.Int64,
    "end_us": pl.Int64,
    "step_us": pl.Int64,
}


@dataclass(frozen=True)
class Crowd:
    """What is known of those who came to a channel's calls.

    Attributes:
        visits: Of the channel.
        calls: CALLS, objects being those of `visits`.
        born_us: When the object of each call was made, `NEVER_US` where that is not known.
        life: `object`, `user`, `time_us`, `first_us`: who came when to these objects in all their
            life; a user once, when first in the window, or else when first at all; and when first.
        arrivals: What strangers do.
        since_us: From when on the log is stored: who came before is not known.
        until_us: The cutoff.
    """

    visits: Visits
    calls: pl.DataFrame
    born_us: Ints
    life: pl.DataFrame
    arrivals: Arrivals
    since_us: int
    until_us: int


def ring_calls(visits: Visits, groups: Sequence[Ints]) -> pl.DataFrame:
    """Objects on which members of a group are half of the users or more, and when they were there.

    Returns:
        CALLS, sorted by group and object.
    """
    own = own_visits(came(visits, homes(groups, visits.user)), HALF)
    step_us = max(int(np.gcd.reduce(visits.time_us)), LEAST_STEP_US) if len(own) else 0
    calls = own.group_by("group", "object").agg(
        members=pl.len(),
        begin_us=pl.col("at_us").min(),
        end_us=last_us(pl.col("at_us").max(), pl.lit(step_us)),
        step_us=pl.lit(step_us),
    )
    return calls.select(pl.col(name).cast(kind) for name, kind in CALLS.items()).sort(
        "group", "object"
    )


def last_us(time_us: pl.Expr, step_us: pl.Expr) -> pl.Expr:
    """The last microsecond that a time of such steps may mean."""
    return time_us + step_us - 1


def beside_members(
    crowds: Sequence[Crowd], groups: Sequence[Ints], log10_rate: float
) -> tuple[pl.DataFrame, dict[str, list[ToldSet]]]:
    """Users of no group who came to a group's calls, where more came than strangers explain.

    Args:
        crowds: By channel.
        groups: Members of each group; no user in two.
        log10_rate: log10 of the false-discovery rate, over all calls of all channels, and those of
            a group together.

    Returns:
        NEAR, a user's rows being of one group, that of its lowest q; and by channel a set for each
        of its rows.

    Cost: O(events on the objects of calls).
    """
    parts = [_tests(one, groups) for one in crowds if one.calls.height]
    calls = pl.concat([table for table, _ in parts]) if parts else pl.DataFrame()
    if not calls.height:
        return pl.DataFrame(schema=NEAR), {}
    campaigns, together = _campaigns(calls)
    tests = pl.concat([calls, campaigns], how="diagonal")
    columns = [calls.get_column(name).to_numpy() for name in EACH]
    alone = log10_beside(np.arange(1, MOST + 1)[:, np.newaxis], *columns[1:])
    p = tests.get_column("log10_p").to_numpy()
    steps = discrete_steps(p, np.hstack([alone, together]), np.ones(len(p)))
    judged = tests.with_columns(
        pl.Series("log10_q", log10_discrete_q(p, *steps)),
        pl.Series("log10_false", steps.log10_false),
        pl.Series("rank", steps.rank),
    )
    present = pl.col("members") + pl.col("others")
    told = judged.filter(
        (pl.col("log10_q") <= log10_rate)
        & (pl.col("expected") <= MOST_BY_CHANCE * present)
        & (pl.col("others") > 0)
    )
    called = _called(calls, told)
    near = pl.concat([others for _, others in parts]).join(called.select(*PLACE, "log10_q"), PLACE)
    order = ["user", "log10_q", "group"]
    home = near.sort(order).unique("user", keep="first").select("user", "group")
    near = near.join(home, on=["user", "group"], how="semi")
    near = near.select(pl.col(name).cast(kind) for name, kind in NEAR.items())
    near = near.sort("channel", "group", "user", "object")
    terms = {
        tuple(row[name] for name in PLACE): {
            name: row[name] for name in (*TERMS, *STEP, *(CAMPAIGN if row["calls"] else ()))
        }
        for row in called.iter_rows(named=True)
    }
    return near, _sets(near, terms)


def _campaigns(calls: pl.DataFrame) -> tuple[pl.DataFrame, Floats]:
    """All calls of a group on a channel together, where it has several.

    Returns:
        `channel`, `group`, `members`, `others`, `expected`, `calls` (a struct of EACH for each),
        `log10_p`; and log10 of the chance of one stranger, two and so on, shape [MOST, n].
    """
    many = calls.sort(PLACE).group_by("channel", "group", maintain_order=True)
    whole = many.agg(
        pl.col("members", "others", "expected").sum(), calls=pl.struct(EACH)
    ).filter(pl.col("calls").list.len() > 1)  # fmt: skip
    tails = [log10_campaign(each) for each in whole.get_column("calls").to_list()]
    table = np.stack(tails, axis=1) if tails else np.zeros((MOST, 0))
    others = np.minimum(whole.get_column("others").to_numpy(), MOST)
    p = np.where(others > 0, table[np.maximum(others, 1) - 1, np.arange(len(others))], 0.0)
    return whole.with_columns(pl.Series("log10_p", p, dtype=pl.Float64)), table


def _called(calls: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The calls that are told, by themselves or with all of their ring's: whichever is surer.

    Returns:
        `calls` with `log10_q`, STEP and, of those told with others, CAMPAIGN.
    """
    found = ["log10_q", *STEP]
    alone = told.filter(pl.col("object").is_not_null()).select(*PLACE, *found)
    whole = told.filter(pl.col("object").is_null())
    order = pl.int_range(pl.len()).over("channel", "group").alias("at")
    surely = pl.col("expected") < FEW * pl.col("others")
    within = calls.sort(PLACE).with_columns(order).filter(surely)
    whole = whole.select("channel", "group", *found, "calls", campaign_log10_p="log10_p")
    both = pl.concat(
        [calls.join(alone, on=PLACE), within.join(whole, on=["channel", "group"])], how="diagonal"
    )
    # Of equals the call alone, whose terms are fewer.
    return both.sort(*PLACE, "log10_q", "at", nulls_last=False).unique(
        PLACE, keep="first", maintain_order=True
    )


def _sets(near: pl.DataFrame, terms: Mapping[Any, Terms]) -> dict[str, list[ToldSet]]:
    sets: dict[str, list[ToldSet]] = {}
    for row in near.iter_rows(named=True):
        mine = terms[row["channel"], row["group"], row["object"]]
        user, thing = np.array([row["user"]]), np.array([row["object"]])
        one = ToldSet(BESIDE_TEST, user, thing, 1, row["log10_q"], mine)
        sets.setdefault(row["channel"], []).append(one)
    return sets


def beside_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of one who joins say: p of all who came, with all calls together, and q."""
    each = [np.array([float(terms[name])]) for name in EACH]
    alone = float(log10_beside(*each)[0])
    numbers: Numbers = {("log10_p",): alone}
    whole = alone
    if "calls" in terms:
        others = min(sum(call["others"] for call in terms["calls"]), MOST)
        whole = float(log10_campaign(terms["calls"])[others - 1])
        numbers["campaign_log10_p",] = whole
        numbers |= {("calls", terms["at"], name): terms[name] for name in EACH}
    step = np.array([terms["log10_false"]]), np.array([terms["rank"]])
    q = float(log10_discrete_q(np.array([whole]), *step)[0])
    return numbers | {OF_SET: q if users == 1 else 0.0}


def log10_campaign(calls: Sequence[Mapping[str, Any]]) -> Floats:
    """log10 of the chance that one stranger, two and so on come to all calls, shape [MOST].

    Args:
        calls: EACH of every call.
    """
    came, wake, *known = (np.array([float(call[name]) for call in calls]) for name in EACH[1:])
    by_age = log10_together_tails(came, known[0], np.stack(known[1:]), MOST)
    stayed = log10_poisson_tail(np.arange(1, MOST + 1), np.full(MOST, wake.sum()))
    result: Floats = np.maximum(by_age, stayed)
    return result


def log10_beside(
    others: Ints, before_after: Ints, wake: Floats, shape: Floats, inside: Floats, outside: Floats
) -> Floats:
    """log10 of the chance that so many strangers come beside a ring.

    Shapes that fit each other.

    Args:
        others: How many came.
        before_after: Strangers that came before the ring or after it.
        wake: Of these, in as long a stretch after it.
        shape: By which objects differ (`Arrivals.shape`).
        inside: How many come to a usual object while the ring was there.
        outside: How many before and after.
    """
    came = np.minimum(others, MOST)
    by_age = log10_strangers_tail(came, before_after, shape, np.stack([inside, outside]))
    stayed: Floats = np.maximum(by_age, log10_poisson_tail(came, wake))
    return stayed


def _tests(crowd: Crowd, groups: Sequence[Ints]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Each call with what came to it and its p; and who came, as NEAR without q."""
    calls, life = _open(crowd, groups)
    found = _counted(calls, life)
    begin, end, born = (
        found.get_column(name).to_numpy() for name in ("begin_us", "end_us", "born_us")
    )
    arrivals = crowd.arrivals
    inside = arrivals.expected(born, begin, end)
    since = np.maximum(born, crowd.since_us)
    whole = arrivals.expected(born, since, np.array([crowd.until_us]))
    channel = pl.lit(crowd.visits.channel).alias("channel")
    found = found.with_columns(
        channel,
        pl.lit(arrivals.shape).alias("shape"),
        pl.Series("inside", inside),
        pl.Series("outside", np.maximum(whole - inside, 0.0)),
    )
    columns = [found.get_column(name).to_numpy() for name in (*COUNTS, *EXPECTED)]
    _, came_then, _, shape, *expected = columns
    found = found.with_columns(
        pl.Series("log10_p", log10_beside(*columns)),
        pl.Series("expected", strangers(came_then, shape, np.stack(expected))),
    )
    return found, life.filter(STRANGER & INSIDE).select(channel, "group", "object", "user")


def _open(crowd: Crowd, groups: Sequence[Ints]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calls of which enough is known, and `life` beside them with `home`, -1 for none."""
    span_us = pl.col("end_us") - pl.col("begin_us")
    calls = crowd.calls.with_columns(pl.Series("born_us", crowd.born_us), span_us.alias("span_us"))
    after = (crowd.until_us - 1 - pl.col("end_us")).clip(0, pl.col("span_us"))
    calls = calls.with_columns(seen=after / pl.col("span_us"))
    calls = calls.filter((pl.col("born_us") <= pl.col("begin_us")) & (pl.col("seen") >= SEEN))
    user = crowd.life.get_column("user").to_numpy()
    home = pl.Series("home", homes(groups, user)[user])
    life = crowd.life.with_columns(home).join(calls, on="object")
    # What had users before it was made was made before.
    early = life.filter(pl.col("first_us") < pl.col("born_us")).select("object").unique()
    return calls.join(early, on="object", how="anti"), life.join(early, on="object", how="anti")


def _counted(calls: pl.DataFrame, life: pl.DataFrame) -> pl.DataFrame:
    """The calls with PRESENT and COUNTS, sorted by group and object."""
    stayed = pl.col("time_us").is_between("end_us", pl.col("end_us") + pl.col("span_us"), "right")
    of_others = ~STRANGER & (pl.col("home") != pl.col("group"))
    number = {
        "others": STRANGER & INSIDE,
        "elsewhere": of_others & INSIDE,
        "before_after": STRANGER & ~INSIDE,
        "stayed": STRANGER & stayed,
    }
    place = ["group", "object"]
    counts = life.group_by(place).agg(
        one.sum().cast(pl.Int64).alias(name) for name, one in number.items()
    )
    found = calls.join(counts, on=place, how="left").sort(place)
    found = found.with_columns(pl.col(list(number)).fill_null(0))
    return found.with_columns(wake=pl.col("stayed") / pl.col("seen"))
