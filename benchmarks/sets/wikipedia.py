"""Wikipedia: edits by new users, half of whom were blocked as vandals.

UMDWikipedia (Kumar et al. 2015, "VEWS"). P1: ten folds over users, each seen at its first edit.
P2: five folds, the first five edits of each (fewer where it has fewer). P2x: only users who had
five before any block. P3: users who began before 2014 train, the others are the test. nightly: at
three dates, users whose third edit falls in the next 28 days, enforced within 14 days of it.

Users' names (in titles too), reverts, scores of other tools and whole histories are no features.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache, partial

import numpy as np
import polars as pl
from sets.stages import Stored, data_folder, featurized, labelled, prepared, unseen_labels, write
from sets.task import Places, Protocol, Split, Task, fold_splits
from sklearn.model_selection import StratifiedKFold

from graphguard.config.values import DAY_US, day_us

RAW = "wikipedia_vandals"
TESTED_FROM = datetime(2014, 1, 1)
DATES = (date(2013, 10, 1), date(2014, 1, 15), date(2014, 6, 15))
AHEAD = timedelta(days=28)
HORIZON_US = 14 * DAY_US
OWN = "~"
"""Stands for the user's own name in a title."""
SPACE = r"^([A-Za-z]+(?: [a-z]+)?):\S"
"""The part of the site that a title names before its colon."""
RANKED = ("auroc", "auprc")


def protocols() -> list[Protocol]:
    """All five."""
    measured = "XGBoost on behaviour columns, measured"
    made = partial(Protocol, "wikipedia")
    return [
        made(
            "first_edit",
            load_first,
            figures=("accuracy", "auroc", "auprc"),
            published={"accuracy": 77.4},
            source="VEWS, Kumar et al. 2015",
            bars={"accuracy": 80.2},
        ),
        made(
            "P2",
            load_five,
            figures=(*RANKED, "accuracy"),
            published={"auroc": 95.06, "auprc": 95.39, "accuracy": 88.34},
            source=measured,
            bars={"auroc": 96.0},
        ),
        made("P2x", load_whole_five, figures=(*RANKED, "accuracy"), published={}, source=""),
        made(
            "P3",
            load_later,
            figures=(*RANKED, "accuracy"),
            published={"auroc": 96.52, "auprc": 96.32},
            source="XGBoost with user-page-user means, measured",
            bars={"auroc": 97.0, "auprc": 97.0},
        ),
        made("nightly", load_nightly, figures=RANKED, published={}, source=""),
    ]


def load_first() -> Task:
    """P1."""
    return _folds("wikipedia_vandals_first", 10)


def load_five() -> Task:
    """P2."""
    return _folds("wikipedia_vandals", 5)


def load_whole_five() -> Task:
    """P2 among those who had five edits before any block."""
    held = _labels()
    edits = pl.scan_parquet(data_folder(RAW) / "edits.parquet").select("user", "ts")
    fifth = edits.group_by("user").agg(pl.col("ts").bottom_k(5).max(), pl.len()).collect()
    known = held.join(fifth, on="user", how="left", maintain_order="left")
    early = pl.col("blocked_ts").is_null() | (pl.col("ts") < pl.col("blocked_ts"))
    return _folds("wikipedia_vandals", 5, known.filter((pl.col("len") >= 5) & early))


def load_later() -> Task:
    """P3: the newest fifth of the training users validates."""
    held = _labels()
    first = held.get_column("first_edit_ts")
    past = np.flatnonzero((first < TESTED_FROM).to_numpy())
    ordered = past[np.argsort(first.to_numpy()[past], kind="stable")]
    cut = len(ordered) * 4 // 5
    test = np.flatnonzero((first >= TESTED_FROM).to_numpy())
    split = Split("later", np.sort(ordered[:cut]), np.sort(ordered[cut:]), test)
    return _task(_stored("wikipedia_vandals"), held, [split])


def began_us() -> Places:
    """When each user of P3 began, in order of its rows: what P3 divides users by."""
    began: Places = _labels().get_column("first_edit_ts").dt.epoch("us").to_numpy()
    return began


def load_nightly() -> Task:
    """One split a date: what was decided by then trains, the newest of it validates."""
    stored = _stored("wikipedia_vandals_nightly")
    anchor = stored.rows.anchor_us
    blocked = _labels().filter(pl.col("is_vandal") == 1).select("user", "blocked_ts")
    joined = pl.DataFrame({"user": stored.keys}).join(
        blocked, on="user", how="left", maintain_order="left"
    )
    since = joined.get_column("blocked_ts").dt.epoch("us") - pl.Series(anchor)
    label = since.is_between(0, HORIZON_US, closed="left").fill_null(value=False).to_numpy()
    # Who was blocked before the anchor is not judged and trains nothing.
    open_ = (since >= 0).fill_null(value=True).to_numpy()
    splits = []
    for day in DATES:
        end, test_end = day_us(day) - HORIZON_US + 1, day_us(day + AHEAD) + 1
        spans = ((0, end - HORIZON_US), (end - HORIZON_US, end), (day_us(day) + 1, test_end))
        parts = [np.flatnonzero(open_ & (anchor >= low) & (anchor < high)) for low, high in spans]
        splits.append(Split(day.isoformat(), *parts))
    rows = labelled(stored, stored.keys, label)
    return Task(rows, stored.context, tuple(splits), stored.own, settings=stored.settings)


def _folds(config: str, folds: int, held: pl.DataFrame | None = None) -> Task:
    held = _labels() if held is None else held
    label = held.get_column("is_vandal").to_numpy()
    fold = np.empty(len(label), dtype=np.int64)
    dealt = StratifiedKFold(folds, shuffle=True, random_state=0).split(label, label)
    for number, (_, test) in enumerate(dealt):
        fold[test] = number
    keys = held.get_column("user").to_list()
    return _task(_stored(config), held, fold_splits(fold, keys, label))


def _task(stored: Stored, held: pl.DataFrame, splits: list[Split]) -> Task:
    label: Places = held.get_column("is_vandal").to_numpy()
    rows = labelled(stored, held.get_column("user"), label)
    # The training users' labels count whenever they were given: folds have no time.
    context = replace(stored.context, static=True)
    return Task(rows, context, tuple(splits), stored.own, settings=stored.settings)


@cache
def _labels() -> pl.DataFrame:
    return pl.read_parquet(data_folder(RAW) / "labels.parquet").sort("user")


@cache
def _stored(config: str) -> Stored:
    users = _labels().get_column("user")
    folder = prepared(RAW)
    write(folder, "labels.parquet", unseen_labels(users))
    write(folder, "edits.parquet", _edits())
    return featurized(config)


def _edits() -> pl.DataFrame:
    """The edits with their page's title and space; the user's own name in a title is a mark.

    A name is no feature, but whether a page is the user's own is.
    """
    columns = ["user", "rev_id", "ts", "page"]
    edits = pl.read_parquet(data_folder(RAW) / "edits.parquet", columns=columns)
    name = pl.col("user").str.replace_all("_", " ", literal=True)
    own = (name.str.len_chars() > 2) & pl.col("page").str.contains(name, literal=True)
    named = edits.select("page", name, own.alias("own"))
    title = pl.Series(
        "title",
        [page.replace(user, OWN) if mine else page for page, user, mine in named.iter_rows()],
    )
    whose = title.to_frame().select(
        pl.when(title == f"User:{OWN}")
        .then(pl.lit("own page"))
        .when(title.str.starts_with(f"User:{OWN}"))
        .then(pl.lit("own subpage"))
        .when(title.str.starts_with(f"User talk:{OWN}"))
        .then(pl.lit("own talk"))
        .otherwise(title.str.extract(SPACE).fill_null("article"))
        .alias("space")
    )
    return edits.with_columns(title, whose.get_column("space"))
