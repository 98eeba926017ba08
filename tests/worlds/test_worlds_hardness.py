"""The world stays hard: what a detector could read off one column, or off counts, is bounded.

Rows are those of a night on the default world, at its cutoff and the four anchors before it. A
member counts as active at an anchor if it did something for its ring in the window before it.
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xgboost

from graphguard.config.load import load_config
from graphguard.jobs.nightly import Night, run_night
from graphguard.schema import ROW_TEXT
from graphguard.tables.events import read_features
from graphguard.worlds import WorldSpec, write_world

TOP = Path(__file__).parents[2]
DAY_US = 86_400_000_000
KINDS = ("like_burst", "copy_paste", "sleeper", "camouflaged", "hijacked", "solo")
LINKS = ("link_evidence", "linked_users", "max_link_weight", "first_share", "nbr_", "groups.")
COUNTS = ("num_events", "active_days", "num_objects", "objects_per_event", "events_per_day")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Feature rows of the default world with `kind`, `abusive` and `acts` for a ring or spam."""
    folder = tmp_path_factory.mktemp("hard")
    write_world(WorldSpec(users=20_000, days=70, seed=7), folder / "world")
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    # Words are no column, and nothing here reads them.
    text = text.replace("../demo/world", str(folder / "world")).replace(", words]", "]")
    (folder / "config.yaml").write_text(text.replace("../demo", str(folder)), encoding="utf-8")
    run = run_night(Night(load_config(folder / "config.yaml"), last="featurize"))
    features = read_features(run, "user").filter("scored")
    users = pl.read_parquet(folder / "world" / "truth" / "users.parquet")
    acts = pl.read_parquet(folder / "world" / "truth" / "acts.parquet")
    at = acts.with_columns(pl.col("day").cast(pl.Datetime("us")).dt.epoch("us").alias("us"))
    anchors = features.select(pl.col("anchor_us").unique())
    age = pl.col("anchor_us") - pl.col("us")
    seen = at.join(anchors, how="cross").filter((age > 0) & (age <= 14 * DAY_US))
    active = seen.group_by("user_id", "anchor_us").agg(pl.col("acts").sum())
    return (
        features.rename({"key": "user_id"})
        .join(users.select("user_id", "kind", "abusive"), on="user_id")
        .join(active, on=["user_id", "anchor_us"], how="left")
        .with_columns(pl.col("acts").fill_null(0))
    )


def columns_of(rows):
    plain = ("user_id", "entity", "anchor_us", "scored", "kind", "abusive", "acts", ROW_TEXT)
    return [name for name in rows.columns if name not in plain]


@pytest.fixture(scope="module")
def areas(rows):
    """AUROC, in the better direction, of each column for each kind against normal users.

    By column, by kind and whether only its members count that are active.
    """
    normal = (rows.get_column("kind") == "normal").to_numpy()
    active = (rows.get_column("acts") > 0).to_numpy()
    parts = {}
    for kind in KINDS:
        parts[kind, False] = (rows.get_column("kind") == kind).to_numpy()
        parts[kind, True] = parts[kind, False] & active
    found = {}
    for name in columns_of(rows):
        filled = rows.get_column(name).cast(pl.Float64).fill_null(-1e300).fill_nan(-1e300)
        value = filled.to_numpy()
        zeros = np.sort(value[normal])
        found[name] = {}
        for part, members in parts.items():
            # Of the normal ones, those below, and half of those alike.
            ones = value[members]
            below = zeros.searchsorted(ones, "left") + zeros.searchsorted(ones, "right")
            area = below.mean() / (2 * len(zeros))
            found[name][part] = max(area, 1 - area)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_no_column_tells_a_kind(areas, kind):
    found = {name: area[kind, False] for name, area in areas.items()}

    assert len(found) > 150
    assert max(found.values()) <= 0.90, max(found, key=found.get)


@pytest.mark.parametrize("kind", KINDS)
def test_no_column_of_ones_own_acts_tells_even_an_active_member(rows, areas, kind):
    own = [name for name in areas if not any(mark in name for mark in LINKS)]
    found = {name: areas[name][kind, True] for name in own}

    assert rows.filter((pl.col("kind") == kind) & (pl.col("acts") > 0)).height >= 60
    assert max(found.values()) <= 0.90, max(found, key=found.get)


def test_counts_alone_do_not_find_the_abusive(rows):
    # Even taught with the truth about the other half of the users, counts do not suffice.
    names = [name for name in columns_of(rows) if name.endswith(COUNTS) and "nbr_" not in name]
    half = (rows.get_column("user_id").hash(0) % 2).to_numpy() == 0
    label, values = rows.get_column("abusive").to_numpy(), rows.select(names).to_numpy()
    score = np.zeros(len(label))
    for held in (half, ~half):
        trees = xgboost.XGBClassifier(n_estimators=150, max_depth=4, learning_rate=0.1, n_jobs=2)
        trees.fit(values[~held], label[~held])
        score[held] = trees.predict_proba(values[held])[:, 1]

    limit = np.quantile(score[~label], 0.99)
    assert len(names) >= 15
    assert (score[label] > limit).mean() <= 0.50
