"""Do the tests of links keep their promise where there is no ring?

On ring-free logs the share of all pairs of users with a p of at most alpha may be at most alpha.
Counts make p-values discrete, so they lie above what a continuous test would give; drawn at random
between the chance of more and of as many, those of the activity null must be uniform
(Kolmogorov-Smirnov), and so must those of the timing null, given what two users touched. That is
asked of logs whose acts are independent draws: fan clubs and viral posts are what the timing null
is for.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from planted import SECOND, Planted, world_a, world_b
from result import say
from scipy.stats import binom, kstest, poisson

from graphguard.graph.keyed import key_hash
from graphguard.graph.ranges import distinct_pairs
from graphguard.rings.coaction import find_coactions
from graphguard.rings.link import LinkRules, coaction_links
from graphguard.rings.meetings import Acts
from graphguard.rings.significance import all_pairs
from graphguard.rings.timing import common_touches, timing_test
from graphguard.rings.timing_null import timing_null

NULLS = ("activity", "timing")
ALPHAS = tuple(10.0**-n for n in range(6, 0, -1))
ROWS, MINUTE = 100_000, 60 * SECOND
LEAST_EXPECTED = 0.05
"""Pairs that hardly ever meet have a uniform randomised p whatever the test expects."""
DRAWN = 20_000
PASSED_AT = 0.01


def ring_free_log(number: int) -> Planted:
    """A log without rings: every other one with fan clubs, the rest with a viral object."""
    seed = 1_000 + number
    if number % 2:
        return world_b(seed, rings=0)
    return world_a(ROWS, seed, rings=0, viral=ROWS // 100)


def calibration(logs: int) -> dict[str, Any]:
    """Shares of small p on ring-free logs, and logs whose randomised p are uniform."""
    worst = dict.fromkeys(ALPHAS, 0.0)
    held = dict.fromkeys(ALPHAS, 0)
    for number in range(logs):
        world = ring_free_log(number)
        p, tests = _p_values(world)
        for alpha in ALPHAS:
            small = int((p <= np.log10(alpha)).sum())
            worst[alpha] = max(worst[alpha], small / tests)
            held[alpha] += small <= binom.ppf(0.95, tests, alpha)
    say("| alpha | largest share of pairs with p <= alpha | logs within the 95% bound |")
    say("|---|---|---|")
    for alpha in ALPHAS:
        say(f"| {alpha:g} | {worst[alpha]:.2g} | {held[alpha]} of {logs} |")
    passed = dict.fromkeys(NULLS, 0)
    for number in range(logs):
        uniform = _uniform(world_a(ROWS, 2_000 + number, rings=0), number)
        for name, p_value in zip(NULLS, uniform, strict=True):
            passed[name] += p_value >= PASSED_AT
    for name, logs_passed in passed.items():
        say(f"randomised p of {name} are uniform at {PASSED_AT:g} on {logs_passed} of {logs} logs")
    return {
        "null_alphas_held": sum(int(held[alpha] == logs) for alpha in ALPHAS),
        "null_alphas": len(ALPHAS),
        "null_uniform_logs": passed["activity"],
        "null_uniform_logs_timing": passed["timing"],
        "null_logs": logs,
    }


def _p_values(world: Planted) -> tuple[NDArray[np.float64], float]:
    """log10 p of the pairs below the largest alpha, and the number of all pairs."""
    acts = Acts(world.user, world.object, world.time_us)
    hashes = key_hash(map(str, range(world.num_users)))
    rules = LinkRules([MINUTE], 200, 1000, hashes, kept=float(np.log10(ALPHAS[-1])))
    links = coaction_links(acts, world.born_us, rules)
    return links.get_column("log10_p").to_numpy(), all_pairs(len(np.unique(world.user)))


def _uniform(world: Planted, seed: int) -> tuple[float, float]:
    """Kolmogorov-Smirnov p of both nulls' randomised p, over pairs drawn by activity."""
    acts = Acts(world.user, world.object, world.time_us)
    hashes = key_hash(map(str, range(world.num_users)))
    found = find_coactions(acts, [MINUTE], hashes, len(acts))
    rng = np.random.default_rng(seed)
    touched = found.visits.astype(np.float64)
    share = touched / touched.sum()
    both = np.sort(rng.choice(len(share), size=(2, 10 * DRAWN), p=share), axis=0)
    both = distinct_pairs(*both[:, both[0] < both[1]])
    count = _weights(found.meetings.touches(), both)
    expected = touched[both[0]] * touched[both[1]] * found.visit_pairs[0] / touched.sum() ** 2
    likely = rng.permutation(np.flatnonzero(expected >= LEAST_EXPECTED))[:DRAWN]
    as_many = poisson.pmf(count, expected)
    activity = poisson.sf(count, expected) + rng.random(len(count)) * as_many
    null = timing_null(acts, found, world.born_us, [MINUTE])
    common = common_touches(acts, pl.DataFrame({"user_a": both[0], "user_b": both[1]}), null)
    told = timing_test(common, count, 0, null)
    more = timing_test(common, count + 1, 0, null)
    # Who met on all that both touched cannot meet once more, of which the test says nothing.
    beyond = np.where(count < told.together, 10**more.log10_p, 0.0)
    timing = beyond + rng.random(len(count)) * (10**told.log10_p - beyond)
    met = rng.permutation(np.flatnonzero(told.expected >= LEAST_EXPECTED))[:DRAWN]
    return tuple(
        float(kstest(randomised[places], "uniform").pvalue)
        for randomised, places in ((activity, likely), (timing, met))
    )


def _weights(touches: pl.DataFrame, both: NDArray[np.int64]) -> NDArray[np.int64]:
    """Objects on which each pair met, 0 for most."""
    met = touches.group_by("user_a", "user_b").agg(pl.len().alias("weight"))
    pairs = pl.DataFrame({"user_a": both[0], "user_b": both[1]})
    weights = pairs.join(met, on=["user_a", "user_b"], how="left", maintain_order="left")
    return weights.get_column("weight").fill_null(0).cast(pl.Int64).to_numpy()
