"""YouTube: comments under five videos, half of them spam, by what they say.

UCI YouTube Spam Collection (Alberto et al. 2015). One video is left out at a time, and another
validates. A comment is known by its number: identifiers are not unique. Dates are no features:
where one is missing, the comment is spam.
"""

import numpy as np
import polars as pl
from sets.stages import data_folder, featurized, labelled, prepared, unseen_labels, write
from sets.task import Protocol, Split, Task


def protocols() -> list[Protocol]:
    """The one protocol."""
    video = Protocol(
        "youtube",
        "",
        load,
        figures=("auroc", "auprc"),
        published={"auroc": 98.75, "auprc": 98.91},
        source="logistic regression on TF-IDF of characters, measured",
    )
    return [video]


def load() -> Task:
    """One split a video."""
    raw = pl.read_parquet(data_folder("youtube_spam") / "comments.parquet")
    held = raw.with_row_index("comment").with_columns(pl.col("comment").cast(pl.String))
    folder = prepared("youtube_spam")
    write(folder, "comments.parquet", held.select("comment", "author", "content"))
    write(folder, "labels.parquet", unseen_labels(held.get_column("comment")))
    stored = featurized("youtube_spam")
    rows = labelled(stored, held.get_column("comment"), held.get_column("is_spam").to_numpy())
    names = held.get_column("video_id").unique().sort().to_list()
    video = np.array([names.index(name) for name in held.get_column("video_id")])
    splits = [left_out(video, number, len(names)) for number in range(len(names))]
    return Task(rows, stored.context, tuple(splits), stored.own, settings=stored.settings)


def left_out(video: np.ndarray, number: int, videos: int) -> Split:
    """The video is the test, the next one validates."""
    following = (number + 1) % videos
    train = np.flatnonzero((video != number) & (video != following))
    valid, test = np.flatnonzero(video == following), np.flatnonzero(video == number)
    return Split(f"video{number}", train, valid, test)
