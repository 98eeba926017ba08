"""How well are coordinated pairs and rings found, and how often where there are none?

Planted logs (`planted.py`: A, A with a viral object, A with windows up to an hour, B with fan clubs
and camouflage): precision and recall of pairs, and of rings (a ring is found when one reported ring
holds half of it and is half made of it), for our method and for what others do. Each log twice:
with the births of its objects known, and with nothing known but the shares. Ring-free logs of both
recipes: nights with any ring, and how the tests of links are calibrated. Rings of two sizes. Rings
that take their time, or act as others do in between. Real sets without times: wallets of hop_sybil
with B-cubed figures on the rings that outsiders reported, and spam reviewers of amazon_collusive.

The real data's folder is named by GRAPHGUARD_DATA (default: shared/data beside the project);
without it those parts are left out.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from planted import SECOND, Planted, world_a, world_b
from result import print_result, say
from ring_curves import curves
from ring_methods import Found, Weights, above, above_quantile, by_significance, fraudar, louvain
from ring_nulls import calibration, ring_free_log
from ring_sets import amazon, hop
from ring_sizes import sizes
from ring_truth import f1, pair_figures, ring_figures

from graphguard.graph.keyed import key_hash
from graphguard.rings.coaction import find_coactions
from graphguard.rings.link import LinkRules, linked
from graphguard.rings.meetings import Acts

PARTS = ("planted", "null", "sizes", "curves", "real")
MINUTE, LADDER = (60,), (1, 10, 60, 600, 3600)
WORLDS: dict[str, tuple[Callable[[int, int], Planted], tuple[int, ...]]] = {
    "A": (lambda rows, seed: world_a(rows, seed), MINUTE),
    "A+v": (lambda rows, seed: world_a(rows, seed, viral=rows // 100), MINUTE),
    "A_hour": (lambda rows, seed: world_a(rows, seed), LADDER),
    "B": (lambda _, seed: world_b(seed), MINUTE),
}
PAIR_FIGURES = ("pair_precision", "pair_recall")
Tally = dict[str, NDArray[np.int64]]
"""By method: pairs told, right, true; rings told, found, true."""


def main() -> int:
    """Run the parts, print their tables and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the worlds A")
    parser.add_argument("--seeds", type=int, default=1, help="of each planted world")
    parser.add_argument("--nulls", type=int, default=20, help="ring-free logs")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
    )
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    if "planted" in options.parts:
        figures |= planted(options)
    if "null" in options.parts:
        figures |= ring_free(options)
        figures |= calibration(options.nulls)
    if "sizes" in options.parts:
        figures |= sizes()
    if "curves" in options.parts:
        figures |= curves(options.seeds)
    if "real" in options.parts:
        for part in (hop, amazon):
            figures |= part()
    print_result(figures)
    return 0


def planted(options: argparse.Namespace) -> dict[str, Any]:
    """Precision and recall on each planted world, seeds pooled."""
    say("| world | method | pair precision | pair recall | rings told | found | of | ring F1 |")
    say("|---|---|---|---|---|---|---|---|")
    figures: dict[str, Any] = {}
    pooled: Tally = defaultdict(lambda: np.zeros(6, dtype=np.int64))
    for name, (make, windows) in WORLDS.items():
        tally: Tally = defaultdict(lambda: np.zeros(6, dtype=np.int64))
        for seed in range(1, options.seeds + 1):
            world = make(options.rows, seed)
            for method, found in methods(world, windows):
                tally[method] += figures_of(found, world.ring)
        for method, counts in tally.items():
            pooled[method] += counts
            figures |= row_of(name, method, counts)
    for method, counts in pooled.items():
        figures |= row_of("", method, counts)
    return figures


def methods(world: Planted, windows: tuple[int, ...]) -> Iterator[tuple[str, Found]]:
    """Every method on one log."""
    acts = Acts(world.user, world.object, world.time_us)
    found = find_coactions(acts, [one * SECOND for one in windows], hashes(world), 200)
    for method, born_us in (("ours", world.born_us), ("ours_births_unknown", first_seen(world))):
        yield method, significant(world, windows, born_us)
    weights = Weights.of(found, world.num_users)
    yield "weight_2", above(weights, 1)
    yield "weight_5", above(weights, 4)
    yield "quantile_99", above_quantile(weights)
    yield "louvain", louvain(weights)
    # Peeling takes minutes on a million rows.
    if len(acts) < 500_000:
        yield "fraudar", fraudar(found)


def significant(world: Planted, windows: tuple[int, ...], born_us: NDArray[np.int64]) -> Found:
    """Our method, given when objects were born."""
    acts = Acts(world.user, world.object, world.time_us)
    rules = LinkRules([one * SECOND for one in windows], 200, 1000, hashes(world))
    found = find_coactions(acts, rules.windows_us, rules.user_hash, rules.max_burst)
    links = linked(acts, found, born_us, rules)
    return by_significance(links, "shares", len(np.unique(world.user)))


def hashes(world: Planted) -> NDArray[np.uint64]:
    """Of each user's name."""
    return key_hash(map(str, range(world.num_users)))


def first_seen(world: Planted) -> NDArray[np.int64]:
    """The births of objects where the log holds nothing but shares."""
    born = np.full(len(world.born_us), 2**62, dtype=np.int64)
    np.minimum.at(born, world.object, world.time_us)
    return born


def figures_of(found: Found, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """One entry of a `Tally`; a method that names no pairs has none."""
    pairs = (0, 0, 0) if found.pairs is None else pair_figures(found.pairs, truth)
    return np.array([*pairs, *ring_figures(found.rings, truth)], dtype=np.int64)


def row_of(world: str, method: str, counts: NDArray[np.int64]) -> dict[str, float]:
    """Print a line; return its figures. Ours bears no name in the keys, all worlds none either."""
    told, right, true, rings, found, planted_rings = counts.tolist()
    values: dict[str, float] = {"ring_f1": f1(rings, found, planted_rings)}
    if true:
        values |= dict(
            zip(PAIR_FIGURES, (right / told if told else 1.0, right / true), strict=True)
        )
    shown = [
        f"{values[key]:.3f}" if key in values else "" for key in ("pair_precision", "pair_recall")
    ]
    cells = [
        world or "all",
        method,
        *shown,
        rings,
        found,
        planted_rings,
        f"{values['ring_f1']:.3f}",
    ]
    say("| " + " | ".join(map(str, cells)) + " |")
    start = "_".join(part for part in (world, "" if method == "ours" else method) if part)
    return {f"{start}_{key}".strip("_"): round(value, 4) for key, value in values.items()}


def ring_free(options: argparse.Namespace) -> dict[str, Any]:
    """Nights with any ring where there is none, and the share of nights that alpha allows."""
    nights: dict[str, int] = defaultdict(int)
    told: dict[str, int] = defaultdict(int)
    for number in range(options.nulls):
        world = ring_free_log(number)
        for method, found in methods(world, MINUTE):
            nights[method] += bool(found.rings)
            told[method] += len(found.rings)
    say(f"| method | ring-free nights with a ring, of {options.nulls} | false rings a night |")
    say("|---|---|---|")
    figures: dict[str, Any] = {"ring_free_nights": options.nulls, "false_rings_stated": 0.05}
    for method in nights:
        per_night = told[method] / options.nulls
        say(f"| {method} | {nights[method]} | {per_night:.2f} |")
        start = "" if method == "ours" else f"{method}_"
        figures[f"{start}false_rings_per_night"] = round(per_night, 3)
        figures[f"{start}nights_with_false_rings"] = nights[method]
    return figures


if __name__ == "__main__":
    sys.exit(main())
