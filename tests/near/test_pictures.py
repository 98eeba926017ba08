import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphguard.near.pictures import (
    cheapest_parts,
    hash_bits,
    near_hashes,
    picture_groups,
)


def planted(rng, num_bits, originals, copies, most):
    """Random hashes, and copies of each with up to `most` bits turned."""
    base = rng.integers(0, 2, (originals, num_bits), dtype=np.uint8)
    rows = [base]
    for _ in range(copies):
        turned = base.copy()
        for row, number in zip(turned, rng.integers(0, most + 1, originals), strict=True):
            row[rng.choice(num_bits, number, replace=False)] ^= 1
        rows.append(turned)
    return np.unique(np.concatenate(rows), axis=0)


def by_brute_force(bits, most):
    apart = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
    return [(a, b) for a, b in zip(*np.nonzero(apart <= most), strict=True) if a < b]


def as_hex(bits):
    return pl.Series([row.tobytes().hex() for row in np.packbits(bits, axis=1)], dtype=pl.String)


@pytest.mark.parametrize(
    ("num_bits", "most"), [(64, 0), (64, 4), (64, 8), (64, 15), (256, 31), (256, 40), (72, 10)]
)
def test_all_pairs_so_near_are_found_and_no_others(num_bits, most):
    rng = np.random.default_rng(num_bits + most)
    bits = planted(rng, num_bits, 120, 3, most + 3)
    expected = by_brute_force(bits, most)
    assert bool(expected) == (most > 0)

    pairs = near_hashes(bits, rng.permutation(len(bits)), most)

    assert pairs.T.tolist() == [list(map(int, pair)) for pair in expected]


@given(st.integers(1, 60), st.integers(0, 15), st.integers(0, 2**32))
def test_small_sets_of_any_likeness_agree_with_brute_force(number, most, seed):
    rng = np.random.default_rng(seed)
    bits = np.unique((rng.random((number, 64)) < rng.random()).astype(np.uint8), axis=0)
    pairs = near_hashes(bits, rng.permutation(len(bits)), most)
    assert pairs.T.tolist() == [list(map(int, pair)) for pair in by_brute_force(bits, most)]


@pytest.mark.parametrize("number", [10, 10_000, 10_000_000])
@pytest.mark.parametrize(("num_bits", "most"), [(64, 8), (256, 31), (64, 1)])
def test_one_part_of_the_cut_must_be_as_near_as_the_keys_allow(number, num_bits, most):
    cut = cheapest_parts(number, num_bits, most)
    # Were every part further off, the whole would be too.
    assert cut.number * (cut.off + 1) > most
    assert cut.off < num_bits // cut.number


def test_groups_are_near_their_centres_and_follow_the_hashes_alone():
    rng = np.random.default_rng(3)
    hashes = as_hex(planted(rng, 256, 60, 4, 12))
    order = rng.permutation(len(hashes))

    here = picture_groups(hashes, 31)
    there = picture_groups(pl.concat([hashes.gather(order), hashes[:9]]), 31)

    assert there[: len(hashes)].tolist() == here[order].tolist()
    assert len(np.unique(here)) == 60
    centre = hashes.sort().gather(here)
    bits, of_centre = (hash_bits(one)[1] for one in (hashes, centre))
    assert ((bits != of_centre).sum(axis=1) <= 31).all()


def test_case_is_no_difference_and_what_is_no_hash_stands_alone():
    hashes = pl.Series(["00ff" * 16, "00FF" * 16, "00fe" * 16, "none", "00ff", ""])
    one, same, near, *others = picture_groups(hashes, 20).tolist()
    assert one == same == near
    assert len({one, *others}) == 4


def test_a_crowded_hash_is_not_compared_with_all(monkeypatch):
    monkeypatch.setattr("graphguard.near.pictures.CROWD", 5)
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, 256, dtype=np.uint8)
    bits = np.tile(base, (400, 1))
    bits[np.arange(400), rng.integers(0, 8, 400)] ^= 1
    bits[np.arange(400), 128 + np.arange(400) % 128] ^= 1
    bits = np.unique(bits, axis=0)

    groups = picture_groups(as_hex(bits), 31)

    assert len(np.unique(groups)) == 1


def test_a_column_without_hashes_and_too_many_bits_are_refused():
    with pytest.raises(ValueError, match="no value is a hash"):
        picture_groups(pl.Series(["sunset.jpg", "abc"]), 31)
    with pytest.raises(ValueError, match="16 bits of 64 make strangers alike"):
        picture_groups(pl.Series(["00ff00ff00ff00ff"]), 16)
