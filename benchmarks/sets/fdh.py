"""FDH: simulated card payments at terminals, three kinds of fraud.

Fraud Detection Handbook (Le Borgne et al., ULB). Payments of 2018-07-25 to 31 train, those of
2018-08-08 to 14 are the test; what became of a payment is known seven days later. Cards known as
compromised (in the training week, or seven days before the test day) are no longer judged. Only
the log from June on is used.
"""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from sets.stages import data_folder, featurized, labelled, prepared, write
from sets.task import Floats, Protocol, Split, Task, set_aside

FIRST = datetime(2018, 6, 1)
TRAIN = datetime(2018, 7, 25)
WEEK, DELAY = timedelta(days=7), timedelta(days=7)
CARDS = 100


def protocols() -> list[Protocol]:
    """The one protocol."""
    week = Protocol(
        "fdh",
        "",
        load,
        figures=("auroc", "auprc", "card_precision_100"),
        published={"auroc": 87.1, "auprc": 65.8, "card_precision_100": 29.1},
        source="the handbook's best of forest, XGBoost and logistic",
        bars={"auprc": 69.0, "card_precision_100": 29.0},
    )
    return [week]


def load() -> Task:
    """Train on a week, test on the one after the delay."""
    raw = pl.read_parquet(data_folder("fdh_simulated") / "transactions.parquet")
    paid = raw.sort("TRANSACTION_ID").select(
        pl.col("TRANSACTION_ID").cast(pl.String).alias("payment"),
        pl.col("TX_DATETIME").dt.cast_time_unit("us").alias("time"),
        pl.col("CUSTOMER_ID").cast(pl.String).alias("card"),
        pl.col("TERMINAL_ID").cast(pl.String).alias("terminal"),
        pl.col("TX_AMOUNT").alias("amount"),
        (pl.col("TX_FRAUD") == 1).alias("fraud"),
    )
    paid = paid.filter(pl.col("time") >= FIRST)
    paid = paid.filter(pl.col("time") < TRAIN + 2 * WEEK + DELAY)
    folder = prepared("fdh_simulated")
    write(folder, "payments.parquet", paid.drop("fraud"))
    known = pl.col("time") + DELAY
    labels = paid.select("payment", pl.col("fraud").cast(pl.Int64), known.alias("known_at"))
    write(folder, "labels.parquet", labels)
    stored = featurized("fdh_simulated")
    judged = _judged(paid)
    rows = labelled(stored, judged.get_column("payment"), judged.get_column("fraud").to_numpy())
    past = np.flatnonzero((judged.get_column("time") < TRAIN + WEEK).to_numpy())
    test = np.flatnonzero((judged.get_column("time") >= TRAIN + WEEK).to_numpy())
    fraud = judged.get_column("fraud").to_numpy()
    card = judged.get_column("card").cast(pl.Int64).to_numpy()
    # Payments of one card stay together, or the validation part would know its cards.
    keys = judged.get_column("card").to_list()
    train, valid = set_aside(past, keys, fraud, card)

    def precision(split: Split, score: Floats) -> dict[str, float]:
        return {"card_precision_100": card_precision(judged[split.test], score, CARDS)}

    return Task(
        rows,
        stored.context,
        (Split("week", train, valid, test),),
        stored.own,
        special=precision,
        settings=stored.settings,
    )


def _judged(paid: pl.DataFrame) -> pl.DataFrame:
    """Payments of the training week, and of the test week by cards not known as compromised."""
    day = pl.col("time").dt.truncate("1d")
    train = paid.filter(pl.col("time").is_between(TRAIN, TRAIN + WEEK, closed="left"))
    known = set(train.filter("fraud").get_column("card"))
    parts = [train]
    for number in range(WEEK.days):
        now = TRAIN + WEEK + DELAY + timedelta(days=number)
        # The handbook adds the frauds of the day before the delay's start.
        learned = paid.filter("fraud", day == now - DELAY - timedelta(days=1))
        known |= set(learned.get_column("card"))
        parts.append(paid.filter(day == now, ~pl.col("card").is_in(list(known))))
    return pl.concat(parts)


def card_precision(paid: pl.DataFrame, score: Floats, cards: int) -> float:
    """Mean over days of the share of compromised cards among the `cards` most suspicious.

    Args:
        paid: Columns `time`, `card`, `fraud` of the test payments.
        score: Shape [payments].
        cards: Cards looked at each day; one that was found is out of later days.
    """
    scored = paid.select("time", "card", "fraud").with_columns(pl.Series("score", score))
    day = pl.col("time").dt.truncate("1d")
    found: set[str] = set()
    shares = []
    for _, today in scored.group_by(day, maintain_order=True):
        open_ = today.filter(~pl.col("card").is_in(list(found)))
        ranked = open_.group_by("card").agg(pl.col("score", "fraud").max())
        top = ranked.sort(["score", "card"], descending=[True, False]).head(cards)
        caught = top.filter("fraud").get_column("card")
        found |= set(caught)
        shares.append(len(caught) / cards)
    return float(np.mean(shares))
