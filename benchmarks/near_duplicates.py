"""What finding near-duplicate texts costs beside datasketch's MinHashLSH, and what both find.

Texts of words as frequent as words are (Zipf), some of them copies of another with one to eight
words changed; and the captions of a generated platform, where strangers write alike. Both sides
make shingles of the plain texts, signatures of the same length, and pairs. Ours compares its
candidates exactly; datasketch's are taken as they come, and also compared exactly with our code,
which is counted with neither. Each in a process of its own, on one thread.

Right: the exact Jaccard similarity of 2,000 of the texts with all others, by a sparse product.

datasketch comes with `pip install -c constraints.txt -e '.[dev]'`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from result import Timed, print_result, say, timed, work_folder

from graphguard.near.overlap import as_rows, jaccard
from graphguard.near.shingles import shingles
from graphguard.near.texts import PlainTexts, TextRules, near_texts
from graphguard.worlds.captions import everyday

RULES = TextRules()
SIDES = ("ours", "datasketch")
ASKED = 2_000
ASKED_AT_ONCE = 200
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
Ints = NDArray[np.int64]


def main() -> int:
    """Make the texts, run both sides on each, print the table and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--side", choices=SIDES, help="run one side on --file")
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(run_side(options.side, options.file)))
        return 0
    folder = work_folder("near_duplicates")
    figures: dict[str, Any] = {"texts": options.texts, "similarity": RULES.similarity}
    took: dict[str, dict[str, Timed]] = {}
    for name, make in (("planted", planted), ("captions", captions)):
        known = PlainTexts.of(make(options.texts))
        file = folder / f"{name}.parquet"
        pl.DataFrame({"plain": known.plain, "rank": known.rank}).write_parquet(file)
        command = [sys.executable, __file__, "--file", str(file), "--side"]
        # A child's peak is at least its parent's, so nothing large is made before both ran.
        took[name] = {side: timed([*command, side]) for side in SIDES}
    say("| texts | what | seconds | peak memory (GB) | pairs told | recall | precision |")
    say("|---|---|---|---|---|---|---|")
    for name, of_sides in took.items():
        figures |= judge(name, folder / f"{name}.parquet", of_sides)
    print_result(figures)
    return 0


def planted(number: int) -> pl.Series:
    """Texts of 8 to 30 words; each fifth is a copy of one before with some words changed."""
    rng = np.random.default_rng(7)
    sizes = rng.integers(3, 10, 20_000)
    words = np.array(["".join(rng.choice(LETTERS, size)) for size in sizes], dtype=object)
    texts: list[list[str]] = []
    for place in range(number):
        if place % 5 == 4:
            text = list(texts[int(rng.integers(0, place))])
            for _ in range(int(rng.integers(1, 9))):
                text[int(rng.integers(0, len(text)))] = words[int(rng.zipf(1.2)) % len(words)]
        else:
            text = list(words[rng.zipf(1.2, int(rng.integers(8, 31))) % len(words)])
        texts.append(text)
    return pl.Series([" ".join(text) for text in texts], dtype=pl.String)


def captions(number: int) -> pl.Series:
    """Everyday captions of the generated platforms."""
    return pl.Series(everyday(np.random.default_rng(7), number).tolist(), dtype=pl.String)


def run_side(side: str, file: Path) -> dict[str, float]:
    """Find the pairs of one file, write them beside it, and say what it took."""
    table = pl.read_parquet(file)
    plain, rank = table.get_column("plain"), table.get_column("rank").to_numpy()
    start = time.perf_counter()
    pairs = near_texts(plain, rank, RULES) if side == "ours" else by_datasketch(plain)
    seconds = time.perf_counter() - start
    pl.DataFrame({"one": pairs[0], "other": pairs[1]}).write_parquet(
        file.with_suffix(f".{side}.parquet")
    )
    return {"seconds": seconds}


def by_datasketch(plain: pl.Series) -> Ints:
    """Candidates of MinHashLSH at the same similarity and length of signature."""
    from datasketch import MinHash, MinHashLSH

    width = RULES.width
    sets = (
        [one.encode() for one in {text[at : at + width] for at in range(len(text) - width + 1)}]
        or [text.encode()]
        for text in plain
    )
    index = MinHashLSH(threshold=RULES.similarity, num_perm=RULES.permutations)
    hashes = MinHash.bulk(sets, num_perm=RULES.permutations)
    for place, one in enumerate(hashes):
        index.insert(place, one, check_duplication=False)
    found = [
        (place, other)
        for place, one in enumerate(hashes)
        for other in index.query(one)
        if place < other
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2).T


def judge(name: str, file: Path, of_sides: Mapping[str, Timed]) -> dict[str, Any]:
    """Print the lines of both sides on a file, return their figures."""
    plain = pl.read_parquet(file).get_column("plain")
    asked = np.sort(np.random.default_rng(0).choice(len(plain), ASKED, replace=False))
    true = exact_pairs(plain, asked)
    rows = as_rows(shingles(plain, RULES.width))
    figures: dict[str, Any] = {}
    seconds = {}
    for side, took in of_sides.items():
        pairs = pl.read_parquet(file.with_suffix(f".{side}.parquet")).to_numpy().T
        seconds[side] = json.loads(took.output.splitlines()[-1])["seconds"]
        mine = pairs[:, np.isin(pairs, asked).any(axis=0)]
        near = jaccard(rows, mine) >= RULES.similarity
        found = len(true & set(map(tuple, mine[:, near].T.tolist())))
        recall, precision = found / max(len(true), 1), float(near.mean()) if len(near) else 1.0
        cells = f"{took.peak_gb:.2f} | {pairs.shape[1]:,} | {recall:.4f} | {precision:.4f}"
        say(f"| {len(plain):,} {name} | {side} | {seconds[side]:.1f} | {cells} |")
        start = f"{name}_{side}" if side != "ours" else name
        figures |= {
            f"{start}_seconds": round(seconds[side], 2),
            f"{start}_peak_gb": round(took.peak_gb, 2),
            f"{start}_recall": round(recall, 4),
            f"{start}_precision": round(precision, 4),
        }
    return figures | {f"{name}_speedup": round(seconds["datasketch"] / seconds["ours"], 2)}


def exact_pairs(plain: pl.Series, asked: Ints) -> set[tuple[int, int]]:
    """All near pairs that one of the asked texts is in, by their exact similarity."""
    rows = as_rows(shingles(plain, RULES.width))
    sizes = np.diff(rows.indptr)
    columns = rows.T
    found: set[tuple[int, int]] = set()
    for start in range(0, len(asked), ASKED_AT_ONCE):
        part = asked[start : start + ASKED_AT_ONCE]
        common = (rows[part] @ columns).tocoo()
        one, other = part[common.row], common.col.astype(np.int64)
        near = common.data >= RULES.similarity * (sizes[one] + sizes[other] - common.data)
        near &= one != other
        low, high = np.minimum(one, other)[near], np.maximum(one, other)[near]
        found |= set(zip(low.tolist(), high.tolist(), strict=True))
    return found


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    sys.exit(main())
