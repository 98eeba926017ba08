"""Captions: everyday phrases, memes that strangers share, and spam with its paraphrases."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

OPENERS = ("so", "today", "finally", "again", "look", "honestly", "well", "guess what", "ok", "hey")
SUBJECTS = (
    "the match",
    "my garden",
    "this recipe",
    "our trip",
    "the new album",
    "the storm",
    "that film",
    "my old bike",
    "the neighbour's cat",
    "the exam",
    "the concert",
    "lunch",
    "the train",
    "our team",
    "this book",
    "the market",
    "the beach",
    "that road",
)
VERBS = ("was", "is", "feels", "looks", "turned out", "became", "seems", "got", "stays", "went")
MOODS = (
    "great",
    "a bit odd",
    "better than last year",
    "so loud",
    "a dream",
    "late as always",
    "worth it",
    "too short",
    "wonderful",
    "not what I hoped",
    "perfect",
    "so so",
    "cold",
)
TAILS = ("", "", "", " 🙂", " 😂", " !!", " ...", " what do you think?", " see you there", " ❤️")
NUMBERS = (
    "in {} minutes",
    "for the {}th time",
    "at {} pm",
    "after {} km",
    "on day {}",
    "for {} euros",
    "with {} friends",
    "since 20{}",
)
MEMES = (
    "nobody: me at 3am:",
    "how it started / how it's going",
    "tell me without telling me",
    "monday again",
    "this is your sign",
    "no thoughts just vibes",
    "me irl",
    "same energy",
)
OFFERS = (
    ("make", "earn", "get", "win"),
    ("500", "extra", "1200", "real"),
    ("dollars", "euros", "bucks", "in cash"),
    ("a day", "daily", "every day", "each day"),
    ("from home", "at home", "online", "with your phone"),
    ("join now", "click the link", "sign up today", "limited offer"),
)
MARKS = ("", " 💰", " 🔥", " ✅", " !!", " 👉")


def everyday(rng: np.random.Generator, count: int) -> NDArray[np.object_]:
    """Captions of ordinary posts.

    One in twenty is a meme that others post word for word, half name a number.
    """
    parts = [
        np.array(words, dtype=object)[rng.integers(0, len(words), count)]
        for words in (OPENERS, SUBJECTS, VERBS, MOODS, TAILS)
    ]
    frame = pl.DataFrame([pl.Series(str(n), part, pl.String) for n, part in enumerate(parts)])
    text = frame.select(pl.format("{} {} {} {}{}", *frame.columns)).to_series().to_numpy()
    number, template = rng.integers(2, 100, count), rng.integers(0, len(NUMBERS), count)
    for place in np.flatnonzero(rng.random(count) < 0.5):
        text[place] = f"{text[place]} {NUMBERS[template[place]].format(number[place])}"
    meme = rng.random(count) < 0.05
    words = np.array(MEMES, dtype=object)[rng.integers(0, len(MEMES), count)]
    return np.where(meme, words, text)


def spam(rng: np.random.Generator, count: int, topic: int) -> NDArray[np.object_]:
    """Paraphrases of one offer: words swapped for others like them, numbers and marks varied."""
    base = [topic // 4**place % 4 for place in range(len(OFFERS))]
    chosen = []
    for place, words in enumerate(OFFERS):
        other = rng.integers(0, len(words), count)
        index = np.where(rng.random(count) < 0.35, other, base[place])
        chosen.append(np.array(words, dtype=object)[index])
    marks = np.array(MARKS, dtype=object)[rng.integers(0, len(MARKS), count)]
    texts = [" ".join(words) for words in zip(*chosen, strict=True)]
    return np.array([text + mark for text, mark in zip(texts, marks, strict=True)], dtype=object)
