"""Do the tests of links keep their promise where there is no ring?

On ring-free logs the share of all pairs of users with a p of at most alpha may be at most alpha.
Counts make p-values discrete, so they lie above what a continuous test would give; drawn at random
between the chance of more and of as many, those of the activity null must be uniform
(Kolmogorov-Smirnov). That is asked of logs whose acts are independent draws: fan clubs and viral
posts are what the timing null is for.
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
    uniform = [_uniform(world_a(ROWS, 2_000 + number, rings=0), number) for number in range(logs)]
    passed = sum(p >= PASSED_AT for p in uniform)
    say(f"randomised p are uniform at {PASSED_AT:g} on {passed} of {logs} logs")
    return {
        "null_alphas_held": sum(int(held[alpha] == logs) for alpha in ALPHAS),
        "null_alphas": len(ALPHAS),
        "null_uniform_logs": passed,
        "null_logs": logs,
    }


def _p_values(world: Planted) -> tuple[NDArray[np.float64], float]:
    """log10 p of the pairs below the largest alpha, and the number of all pairs."""
    acts = Acts(world.user, world.object, world.time_us)
    hashes = key_hash(map(str, range(world.num_users)))
    rules = LinkRules([MINUTE], 200, 1000, hashes, kept=float(np.log10(ALPHAS[-1])))
    links = coaction_links(acts, world.born_us, rules)
    return links.get_column("log10_p").to_numpy(), all_pairs(len(np.unique(world.user)))


def _uniform(world: Planted, seed: int) -> float:
    """Kolmogorov-Smirnov p of the activity null's randomised p, over pairs drawn by activity."""
    acts = Acts(world.user, world.object, world.time_us)
    hashes = key_hash(map(str, range(world.num_users)))
    found = find_coactions(acts, [MINUTE], hashes, len(acts))
    rng = np.random.default_rng(seed)
    touched = found.visits.astype(np.float64)
    share = touched / touched.sum()
    both = np.sort(rng.choice(len(share), size=(2, 10 * DRAWN), p=share), axis=0)
    both = distinct_pairs(*both[:, both[0] < both[1]])
    expected = touched[both[0]] * touched[both[1]] * found.visit_pairs[0] / touched.sum() ** 2
    often = np.flatnonzero(expected >= LEAST_EXPECTED)
    chosen = rng.permutation(often)[:DRAWN]
    count, expected = _weights(found.meetings.touches(), both[:, chosen]), expected[chosen]
    as_many = poisson.pmf(count, expected)
    randomised = poisson.sf(count, expected) + rng.random(len(count)) * as_many
    return float(kstest(randomised, "uniform").pvalue)


def _weights(touches: pl.DataFrame, both: NDArray[np.int64]) -> NDArray[np.int64]:
    """Objects on which each pair met, 0 for most."""
    met = touches.group_by("user_a", "user_b").agg(pl.len().alias("weight"))
    pairs = pl.DataFrame({"user_a": both[0], "user_b": both[1]})
    weights = pairs.join(met, on=["user_a", "user_b"], how="left", maintain_order="left")
    return weights.get_column("weight").fill_null(0).cast(pl.Int64).to_numpy()
