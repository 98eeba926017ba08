"""How often does a night tell a ring where there is none?

Generated platforms with all their normal life and as much abuse as usual, but by lone spammers and
no ring; on each a whole night up to find_rings. Every ring that is told is false, and so is every
pair. A ring's chance over all pairs is held to .05 a night (`rings.night_alpha`), so of twenty
nights at most three may have one.
"""

import argparse
import shutil
import sys

import numpy as np
import polars as pl
from result import print_result, say, work_folder
from world import read_seeds, write_config

from graphguard.config.sections import Config
from graphguard.jobs.nightly import Night, require_as_of, run_night
from graphguard.tables.events import read_pairs
from graphguard.tables.files import read_json, read_parquet
from graphguard.tables.workspace import Run
from graphguard.worlds import WorldSpec, write_world


def main() -> int:
    """Run the nights, print a line for each, end with the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="301-320", help="such as 301 or 301-320")
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--days", type=int, default=70)
    options = parser.parse_args()
    seeds = read_seeds(options.seeds)
    nights = rings = pairs = alarms = 0
    say("| seed | false rings | members | false pairs | alarms of the nightly calibration |")
    say("|---|---|---|---|---|")
    for seed in seeds:
        folder = work_folder(f"ring_free_{seed}")
        shutil.rmtree(folder)
        abusive = WorldSpec().ring_share + WorldSpec().solo_share
        spec = WorldSpec(options.users, options.days, seed, ring_share=0.0, solo_share=abusive)
        write_world(spec, folder / "world")
        config = write_config(folder, ["trees"], [])
        told = judged(config, run_night(Night(config, last="find_rings")))
        say(f"| {seed} | " + " | ".join(map(str, told)) + " |")
        nights += told[0] > 0
        rings, pairs, alarms = rings + told[0], pairs + told[2], alarms + told[3]
        shutil.rmtree(folder)
    print_result(
        {
            "ring_free_worlds": len(seeds),
            "nights_with_false_rings": nights,
            "false_rings": rings,
            "false_pairs": pairs,
            "alarms": alarms,
            "users": options.users,
        }
    )
    return 0


def judged(config: Config, run: Run) -> tuple[int, int, int, int]:
    """Rings, their members, pairs that are discoveries, and alarms of a night."""
    members = read_parquet(run.file("find_rings", "ring_members.parquet"))
    pairs = read_pairs(run, f"anchor={require_as_of(config).isoformat()}")
    rate = float(np.log10(config.rings.false_discovery_rate))
    discoveries = pairs.filter(pl.col("log10_q") <= rate)
    distinct = discoveries.select("user_a", "user_b").unique().height
    nulls = read_json(run.file("find_rings", "nulls.json"))
    rings = members.get_column("ring_id").n_unique()
    return rings, members.height, distinct, len(nulls["alarms"])


if __name__ == "__main__":
    sys.exit(main())
