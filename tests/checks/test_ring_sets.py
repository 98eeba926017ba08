"""What a set says follows from its terms and acts, and its links from it; what does not is told."""

import json
from functools import reduce
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from graphguard.checks.counted import TOUCHES, users_differ
from graphguard.checks.ring_sets import (
    campaigns_differ,
    common_differs,
    earlier_differs,
    set_links_differ,
    sets_differ,
    strangers_join,
    untied,
    with_spans,
)
from graphguard.ring_schema import RING_ACTS, RING_EVIDENCE, RING_SETS
from graphguard.rings.beside import EACH, beside_numbers, log10_campaign
from graphguard.rings.set_numbers import TESTS
from graphguard.rings.set_terms import OF_SET

NUM_PAIRS = 1_000.0
MINUTE_US = 60_000_000
STANDS = {"log10_p": 0.0, "log10_q": 0.0, "tests": 50.0, "step": [-99.0, 2]}
"""No step: each test has the q of its own p."""
BURST = {"by_age": 0.1, "others": [6, 2], "rates": [0.015, 0.005], "sides": [0, 1], **STANDS}
OVERLAP = {"busy": [6.0, 5.0], "sizes": [5, 4], "touches": 400.0, **STANDS}
PAIR = {"common": 6, "expected": 0.01, "log10_p": 0.0, "log10_q": 0.0}
# Name of the test: users, objects, keys in the ring, terms.
SETS = {
    "again": (5, ["x", "y"], "abcd", {
        "activity": OVERLAP,
        "timing": {"crowd": 9, "chances": [[0.01] * 4, [0.02] * 4], **STANDS},
    }),
    "once": (5, ["x"], "abcde", BURST),
    "company": (6, ["x", "y"], "abcdef", {
        "bursts": [{**BURST, "users": 5}, {**BURST, "users": 4}],
        "overlaps": [{**OVERLAP, "shared": 3}],
    }),
    "core": (4, [], "abcd", {"links": 60, "known": 0, "users": 20_000}),
    "audience": (9, ["x", "y", "z"], "abcd", {"things": 300, "pairs": [
        {**PAIR, "ends": [0, 1], "way": "alone", "tests": 9e4, "step": [-99.0, 1]},
        {**PAIR, "ends": [0, 2], "way": "set", "draws": [-6.0, -5.0, -7.0]},
        {**PAIR, "ends": [1, 2], "way": "core", "connected": 5, "links": 6, "known": 1},
    ]}),
    "alike": (6, ["deal.example"], "abcde", {
        "similarity": 0.5, "among": 7, "texts": [1, 1, 1, 1, 2, 2], "log_trees": 3.0,
        "chances": {"anywhere": 0.001, "elsewhere": 0.0, "around": 0.002}, **STANDS,
    }),
}  # fmt: skip
SETS["earlier"] = (5, ["x"], "abcde", {
    "users": 9, "each": 0.001, "log10_p": 0.0, "log10_false": -4.0, "rank": 3,
})  # fmt: skip
SECONDS = {"x": 0, "y": 5_000, "z": 9_000, "deal.example": 20_000}


def with_numbers(test, users, terms):
    """The terms with their p and q, and the q of the set."""
    terms = json.loads(json.dumps(terms))
    numbers = TESTS[test](users, terms)
    for place, value in numbers.items():
        if place != OF_SET:
            reduce(lambda held, at: held[at], place[:-1], terms)[place[-1]] = value
    return terms, numbers[OF_SET]


def channel_of(test):
    return f"{'once' if test == 'company' else test}.likes.post"


def row(test, number=0):
    users, objects, keys, terms = SETS[test]
    filled, log10_q = with_numbers(test, users, terms)
    window = None if test == "core" else MINUTE_US
    return {
        "ring_id": "r", "channel": channel_of(test), "number": number, "test": test,
        "window_us": window, "object_type": "post", "objects": objects, "users": users,
        "keys": list(keys), "log10_q": log10_q, "terms": json.dumps(filled),
    }  # fmt: skip


def tables(test):
    """RING_SETS, RING_ACTS and RING_EVIDENCE of one ring held by one kind of set."""
    rows = [row(test)]
    if test == "company":
        # The two bursts, a to e on x and c to f on y; a and f never met.
        second = {**row("once", 2), "objects": ["y"], "keys": list("cdef"), "users": 4}
        terms, log10_q = with_numbers("once", 4, BURST)
        rows += [row("once", 1), {**second, "terms": json.dumps(terms), "log10_q": log10_q}]
    sets = pl.DataFrame(rows, schema=RING_SETS.empty().schema)
    trace = channel_of(test) if test == "alike" else "likes.post"
    there = {
        (one, key)
        for part in rows
        if part["test"] != "company"
        for one in part["objects"]
        for key in part["keys"]
    }
    acts = pl.DataFrame(
        [
            {"ring_id": "r", "channel": trace, "object_type": "post", "object": thing, "users": 9,
             "key": key, "time_us": (SECONDS[thing] + ord(key) % 9) * 1_000_000,
             "event_id": f"likes:{number:016x}"}
            for number, (thing, key) in enumerate(sorted(there))
        ],
        schema=RING_ACTS.empty().schema,
    )  # fmt: skip
    links = []
    for a, b in combinations("abcdef", 2):
        mine = [one for one in rows if {a, b} <= set(one["keys"])]
        met = [one for one in mine if one["test"] != "company"] or mine
        if met:
            on = {thing for one in met if one["test"] != "company" for thing in one["objects"]}
            log10_q = min(one["log10_q"] for one in met)
            links.append({
                "ring_id": "r", "key_a": a, "key_b": b, "channel": channel_of(test),
                "weight": len(on), "log10_q": log10_q, "log10_p": log10_q - np.log10(NUM_PAIRS),
            })  # fmt: skip
    evidence = pl.DataFrame(links).join(
        pl.DataFrame(schema=RING_EVIDENCE.empty().schema), on="ring_id", how="left"
    )
    return sets, acts, evidence.select(pl.DataFrame(links).columns)


def differences(sets, acts, links):
    return [
        *sets_differ(sets, acts),
        *set_links_differ(links, sets, acts, NUM_PAIRS),
        *common_differs(sets, acts),
        *earlier_differs(sets, acts),
        *untied(sets, links),
        *strangers_join(sets, acts),
    ]


@pytest.mark.parametrize("test", SETS)
def test_a_set_its_acts_and_its_links_say_the_same(test):
    assert differences(*tables(test)) == []


def changed(place, factor=1.5):
    """Change one term of the first set."""

    def how(sets):
        first = sets.row(0, named=True)
        terms = json.loads(first["terms"])
        inner = reduce(lambda held, at: held[at], place[:-1], terms)
        inner[place[-1]] = inner[place[-1]] * factor + 1
        text = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(json.dumps(terms)))
        return sets.with_columns(text.otherwise("terms").alias("terms"))

    return how


TERMS = [
    ("again", ("activity", "busy", 0)),
    ("again", ("activity", "sizes", 1)),
    ("again", ("activity", "touches")),
    ("again", ("activity", "log10_p")),
    ("again", ("timing", "crowd")),
    ("again", ("timing", "chances", 1, 2)),
    ("again", ("timing", "tests")),
    ("again", ("timing", "step", 1)),
    ("once", ("by_age",)),
    ("once", ("others", 0)),
    ("once", ("rates", 1)),
    ("once", ("tests",)),
    ("once", ("step", 1)),
    ("company", ("bursts", 1, "users")),
    ("company", ("bursts", 0, "by_age")),
    ("company", ("bursts", 1, "log10_p")),
    ("company", ("overlaps", 0, "shared")),
    ("company", ("overlaps", 0, "touches")),
    ("core", ("links",)),
    ("core", ("known",)),
    ("core", ("users",)),
    ("audience", ("things",)),
    ("audience", ("pairs", 0, "common")),
    ("audience", ("pairs", 1, "expected")),
    ("audience", ("pairs", 0, "tests")),
    ("audience", ("pairs", 1, "draws", 1)),
    ("audience", ("pairs", 2, "connected")),
    ("audience", ("pairs", 2, "links")),
    ("audience", ("pairs", 2, "log10_q")),
    ("alike", ("among",)),
    ("alike", ("texts", 0)),
    ("alike", ("log_trees",)),
    ("alike", ("chances", "around")),
    ("alike", ("tests",)),
    ("earlier", ("users",)),
    ("earlier", ("each",)),
    ("earlier", ("log10_p",)),
    ("earlier", ("log10_false",)),
    ("earlier", ("rank",)),
]


@pytest.mark.parametrize(("test", "place"), TERMS, ids=[f"{a}-{b}" for a, b in TERMS])
def test_a_term_that_was_changed_is_told(test, place):
    sets, acts, links = tables(test)

    assert differences(changed(place)(sets), acts, links)


def set_to(column, value):
    return lambda table: table.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(value).otherwise(column).alias(column)
    )


@pytest.mark.parametrize("test", SETS)
@pytest.mark.parametrize(
    ("which", "how"),
    [
        (0, set_to("log10_q", pl.col("log10_q") - 1)),
        (0, set_to("users", pl.col("users") + 1)),
        (0, set_to("users", pl.lit(2, dtype=pl.Int64))),
        (0, set_to("keys", pl.col("keys").list.slice(1))),
        (0, set_to("keys", pl.concat_list("keys", pl.lit("m")))),
        (0, set_to("terms", pl.lit("{}"))),
        (0, lambda sets: sets[1:]),
        (2, set_to("log10_q", pl.col("log10_q") - 1)),
        (2, set_to("log10_p", pl.col("log10_p") - 1)),
        (2, set_to("key_b", pl.lit("m"))),
        (2, lambda links: links[:-1]),
    ],
    ids=["q", "users", "few", "member", "stranger", "terms", "set", "link-q", "link-p", "end",
         "link"],
)  # fmt: skip
def test_a_member_a_q_or_a_link_that_was_changed_is_told(test, which, how):
    parts = list(tables(test))
    if test == "audience" and parts[which].columns == RING_SETS.empty().columns:
        # How many users an audience has is no part of its test, but it has its members.
        parts[0] = parts[0].with_columns(pl.lit(4, dtype=pl.Int64).alias("users"))
    parts[which] = how(parts[which])

    told = differences(*parts)

    only_size = test == "audience" and which == 0 and parts[0]["users"].to_list() == [5]
    assert bool(told) != only_size


@pytest.mark.parametrize("test", ["again", "once", "company", "audience", "alike", "earlier"])
@pytest.mark.parametrize("how", [lambda acts: acts[1:], lambda acts: acts[:0]])
def test_an_act_that_is_not_there_is_told(test, how):
    sets, acts, links = tables(test)

    assert differences(sets, how(acts), links)


@pytest.mark.parametrize("test", ["again", "once", "company"])
def test_users_who_were_not_together_in_time_are_told(test):
    sets, acts, links = tables(test)
    late = set_to("time_us", pl.col("time_us") + 2 * MINUTE_US)

    assert any(", not 60 s" in one for one in differences(sets, late(acts), links))


def test_objects_that_share_fewer_users_than_the_ring_has_on_them_are_told():
    sets, acts, links = tables("audience")
    sets = changed(("pairs", 0, "common"), factor=0)(sets)

    assert any("share 1 users, 4 of the ring alone" in one for one in common_differs(sets, acts))


TOUCHED = {
    # Users a to e within 9 s from 100 s on; before 90 s and 40 s, after 111 s and long after.
    "x": {"a": 100, "b": 103, "c": 104, "d": 105, "e": 109, "m": 90, "n": 40, "o": 111, "p": 9_999},
    "y": {"a": 500, "b": 501, "c": 502, "d": 503, "e": 504, "n": 505, "q": 506},
    "z": {"a": 900, "b": 900, "m": 900},
}


@pytest.mark.parametrize(
    ("test", "right"),
    [
        ("again", {("timing", "crowd"): 6}),
        ("once", {("sides",): [1, 1]}),
        ("audience", {("pairs", 0, "common"): 6, ("pairs", 1, "common"): 3,
                      ("pairs", 2, "common"): 2}),
    ],
)  # fmt: skip
def test_what_a_set_counts_of_all_users_of_its_objects_is_counted_in_the_log(test, right):
    touches = pl.DataFrame(
        [(key, thing, at * 1_000_000) for thing, users in TOUCHED.items() for key, at in
         users.items()],
        schema=TOUCHES, orient="row",
    )  # fmt: skip
    held = row(test) | {"window_us": 5_000_000}
    terms = json.loads(held["terms"])
    for place, value in right.items():
        reduce(lambda inner, at: inner[at], place[:-1], terms)[place[-1]] = value
    sets = pl.DataFrame([held | {"terms": json.dumps(terms)}], schema=RING_SETS.empty().schema)

    assert list(users_differ(sets, touches)) == []
    less = touches.filter(~pl.col("key").is_in(["m", "n", "b"]))
    told = list(users_differ(sets, less))
    if test == "once":
        # Without b the burst is not known whole, and what was beside it cannot be counted.
        assert told == ["set 0 of once.likes.post in r: others is 8, 5 in the log"]
        other = pl.when(pl.col("key") == "m").then(95_000_000).otherwise("time_us")
        told = list(users_differ(sets, touches.with_columns(time_us=other)))
        assert told == []
        late = pl.when(pl.col("key") == "m").then(999_000_000).otherwise("time_us")
        told = list(users_differ(sets, touches.with_columns(time_us=late)))
    assert len(told) == len(right)
    assert all("in the log" in one for one in told)


def test_a_user_of_a_core_with_fewer_links_than_a_core_has_is_told():
    sets, acts, links = tables("core")

    assert list(untied(sets, links[:-1])) == [
        "c has 2 links of core.likes.post in r, not 3",
        "d has 2 links of core.likes.post in r, not 3",
    ]


BESIDE = {"members": 4, "others": 2, "elsewhere": 1, "before_after": 1, "wake": 0.0, "shape": 0.4,
          "inside": 0.01, "outside": 4.0, "step_us": 1_000_000, "log10_p": 0.0,
          "log10_false": -3.0, "rank": 2}  # fmt: skip
CAME = {"hits": 1, "acts": 3, "strangers": 4, "likelier": 1.5, "outside": 90_000, "log10_p": 0.0,
        "log10_false": -3.0, "rank": 2}  # fmt: skip
JOINING = {"known": CAME, "beside": BESIDE}
TOLD_OF = [(test, name) for test, terms in JOINING.items() for name in terms
           if name not in ("elsewhere", "step_us", "wake")]  # fmt: skip


def joined(test="known"):
    """Two users, e and f, join the four members a to d on x; e less surely."""
    rows = []
    less = {"known": {**CAME, "acts": 900}, "beside": {**BESIDE, "log10_false": -2.0}}[test]
    for number, (key, said) in enumerate((("f", JOINING[test]), ("e", less))):
        terms, log10_q = with_numbers(test, 1, said)
        rows.append({
            "ring_id": "r", "channel": f"{test}.likes.post", "number": number, "test": test,
            "window_us": MINUTE_US, "object_type": "post", "objects": ["x"], "users": 1,
            "keys": [key], "log10_q": log10_q, "terms": json.dumps(terms),
        })  # fmt: skip
    acts = [
        {"ring_id": "r", "channel": "likes.post", "object_type": "post", "object": "x",
         "users": 8, "key": key, "time_us": second * 1_000_000, "event_id": f"likes:{second:016x}"}
        for key, second in zip("abcdef", (0, 1, 2, 9, 4, 5), strict=True)
    ]  # fmt: skip
    sure, less = (one["log10_q"] for one in rows)
    q = {(key, "f"): sure for key in "abcd"} | {(key, "e"): less for key in "abcd"}
    links = [
        {"ring_id": "r", "key_a": a, "key_b": b, "channel": f"{test}.likes.post", "weight": 1,
         "log10_q": value, "log10_p": value - np.log10(NUM_PAIRS)}
        for (a, b), value in (q | {("e", "f"): less}).items()
    ]  # fmt: skip
    assert sure < less < 0
    empty = (RING_SETS.empty().schema, RING_ACTS.empty().schema)
    tables = [pl.DataFrame(rows, schema=empty[0]), pl.DataFrame(acts, schema=empty[1])]
    return [*tables, pl.DataFrame(links)]


@pytest.mark.parametrize("test", list(JOINING))
def test_who_joins_is_linked_with_all_of_the_ring_who_are_there(test):
    assert differences(*joined(test)) == []


@pytest.mark.parametrize(("test", "name"), TOLD_OF)
def test_a_term_of_who_joins_that_was_changed_is_told(test, name):
    sets, acts, links = joined(test)

    assert differences(changed((name,))(sets), acts, links)


@pytest.mark.parametrize("test", list(JOINING))
@pytest.mark.parametrize(
    ("which", "how"),
    [
        (0, set_to("log10_q", pl.col("log10_q") - 1)),
        (0, set_to("users", pl.lit(2, dtype=pl.Int64))),
        (0, set_to("keys", pl.lit(["g"]))),
        (0, set_to("objects", pl.lit(["y"]))),
        (0, lambda sets: sets[1:]),
        (1, lambda acts: acts.filter(pl.col("key") != "f")),
        (1, lambda acts: acts.filter(pl.col("key") != "a")),
        (1, lambda acts: acts.with_columns(pl.lit(40, dtype=pl.Int64).alias("users"))),
        (1, lambda acts: acts.with_columns(pl.when(pl.col("key") == "f").then(
            pl.lit(10**9)).otherwise("time_us").alias("time_us"))),
        (2, set_to("weight", pl.lit(2, dtype=pl.Int64))),
        (2, set_to("log10_q", pl.col("log10_q") - 1)),
        (2, lambda links: links[:-1]),
    ],
    ids=["q", "users", "who", "what", "set", "act", "member", "crowd", "late", "weight", "link-q",
         "link"],
)  # fmt: skip
def test_what_was_changed_of_who_joins_is_told(which, how, test):
    parts = joined(test)
    parts[which] = how(parts[which])

    assert differences(*parts)


@pytest.mark.parametrize("second", [-1, 10])
def test_who_came_before_or_after_the_ring_did_not_come_beside_it(second):
    sets, acts, links = joined("beside")
    late = pl.when(pl.col("key") == "f").then(second * 1_000_000).otherwise("time_us")

    told = differences(sets, acts.with_columns(time_us=late), links)

    assert told == ["f joins r on x, where 4 of 8 users are members, the nearest 1 s away"]


def test_of_what_the_ring_is_less_than_half_nobody_joins_beside_it():
    sets, acts, links = joined("beside")

    assert differences(sets, acts.with_columns(users=pl.lit(9, dtype=pl.Int64)), links)


def together(*said: dict[str, object]) -> pl.DataFrame:
    """Sets of users who join by all calls of a ring together, each saying so."""
    sets, _, _ = joined("beside")
    terms = [json.dumps(BESIDE | more) for more in said]
    return sets.with_columns(terms=pl.Series(terms), objects=pl.Series([["x"], ["y"]]))


def test_sets_of_one_ring_say_the_same_of_all_its_calls():
    each = {name: BESIDE[name] for name in EACH}
    calls, other = [each, each], [each, each | {"others": 5}]

    assert list(campaigns_differ(joined("beside")[0])) == []
    said = ({"calls": calls, "at": 0}, {"calls": calls, "at": 1})
    assert list(campaigns_differ(together(*said))) == []
    told = ["beside.likes.post of r: its sets do not say the same of all calls together"]
    assert list(campaigns_differ(together(said[0], said[1] | {"calls": other}))) == told
    assert list(campaigns_differ(together(said[0], said[1] | {"at": 0}))) == told


@pytest.mark.parametrize("name", [*EACH, "at", "log10_p"])
def test_terms_of_all_calls_together_that_do_not_fit_are_told(name):
    sets, acts, _ = joined("beside")
    each = {one: BESIDE[one] for one in EACH}
    calls = [each, each | {"others": 7}]
    p = float(log10_campaign(calls)[8])
    terms = {**json.loads(sets["terms"][0]), "calls": calls, "at": 0, "campaign_log10_p": p}
    q = beside_numbers(1, terms)[()]

    def told(said: dict[str, object]) -> list[str]:
        row = sets[:1].with_columns(terms=pl.lit(json.dumps(said)), log10_q=pl.lit(q))
        return list(sets_differ(row, acts))

    assert told(terms) == []
    if name == "at":
        assert told(terms | {"at": 1})
    elif name == "log10_p":
        assert told(terms | {"campaign_log10_p": p - 1})
    else:
        wrong = [each | {name: each[name] + 0.5}, calls[1]]
        assert told(terms | {"calls": wrong})


def test_who_was_there_beside_a_ring_is_counted_in_the_log():
    sets, acts, _ = joined("beside")
    # Of the log's users a to g are there within the nine seconds, h is not.
    seconds = zip("abcdefgh", (0, 1, 2, 9, 4, 5, 7, 10), strict=True)
    rows = [(key, "x", second * 1_000_000) for key, second in seconds]
    touches = pl.DataFrame(rows, schema=TOUCHES, orient="row")

    mine = with_spans(sets, acts)
    assert mine.select("begin_us", "end_us").rows() == [(0, 9_999_999)] * 2
    assert list(users_differ(mine, touches)) == []
    told = list(users_differ(mine[:1], touches[1:]))
    assert told == ["set 0 of beside.likes.post in r: present is 7, 6 in the log"]


def test_who_joins_is_no_member_by_whom_another_joins():
    sets, acts, links = joined()
    few = acts.filter(pl.col("key").is_in(list("abef")))
    less = links.filter(pl.col("key_a").is_in(list("abe")))

    told = differences(sets, few, less)

    assert [one.split(", the nearest")[0] for one in told] == [
        "f joins r on x, where 2 of 8 users are members",
        "e joins r on x, where 2 of 8 users are members",
    ]


def test_a_ring_that_was_there_longer_than_its_widest_window_has_users_beside_it():
    sets, acts, links = joined("beside")
    slow = acts.with_columns(time_us=pl.col("time_us") * 100)
    last = pl.when(pl.col("key") == "e").then(890_000_000).otherwise("time_us")

    # User e is 690 s from the nearest member but d, who is 10 s away; f is 300 s from c.
    assert differences(sets, slow.with_columns(time_us=last), links) == []
