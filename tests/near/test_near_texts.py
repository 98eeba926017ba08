import datasketch
import numpy as np
import polars as pl
import pytest

from graphguard.near.minhash import banding
from graphguard.near.shingles import plain_texts, shingles
from graphguard.near.texts import PlainTexts, TextRules, near_texts, text_groups

RULES = TextRules()


def grams(text, width=RULES.width):
    return {text[at : at + width] for at in range(max(len(text) - width + 1, 1))}


def exact(texts, lowest):
    """Jaccard similarity of all pairs that reach the lowest one, by brute force."""
    sets = [grams(text) for text in texts]
    found = {}
    for b in range(len(sets)):
        for a in range(b):
            similarity = len(sets[a] & sets[b]) / len(sets[a] | sets[b])
            if similarity >= lowest:
                found[a, b] = similarity
    return found


def found_by_us(texts, rules=RULES):
    rank = np.random.default_rng(0).permutation(len(texts))
    return set(map(tuple, near_texts(texts, rank, rules).T.tolist()))


def found_by_reference(texts, rules=RULES):
    index = datasketch.MinHashLSH(threshold=rules.similarity, num_perm=rules.permutations)
    hashes = []
    for number, text in enumerate(texts):
        one = datasketch.MinHash(num_perm=rules.permutations)
        one.update_batch([gram.encode() for gram in grams(text)])
        hashes.append(one)
        index.insert(number, one)
    return {
        (min(a, b), max(a, b)) for a, one in enumerate(hashes) for b in index.query(one) if a != b
    }


def test_planted_edits_are_found_as_often_as_stated_and_nothing_else(edited):
    texts = plain_texts(edited(150, (1, 2, 3, 4, 5), seed=1))
    true = exact(texts, 0.3)
    wanted = {pair for pair, similarity in true.items() if similarity >= RULES.similarity}
    assert len(wanted) > 300

    ours, theirs = found_by_us(texts), found_by_reference(texts)

    assert ours <= wanted
    cut = banding(RULES.similarity, RULES.recall, RULES.permutations)
    for low, high in ((0.5, 0.6), (0.6, 0.7), (0.7, 1.0)):
        level = {pair for pair, similarity in true.items() if low <= similarity < high}
        assert len(level) > 30
        assert len(ours & level) / len(level) >= cut.chance(low) - 0.04, (low, high)
    assert len(ours & wanted) >= len(theirs & wanted)


def test_the_reference_agrees_on_how_alike_two_texts_are(edited):
    texts = plain_texts(edited(1, (2,), seed=4))
    (similarity,) = exact(texts, 0.0).values()
    hashes = [datasketch.MinHash(num_perm=4_096) for _ in texts]
    for one, text in zip(hashes, texts, strict=True):
        one.update_batch([gram.encode() for gram in grams(text)])
    assert abs(hashes[0].jaccard(hashes[1]) - similarity) < 0.03
    sets = shingles(texts, RULES.width)
    common = len(np.intersect1d(*np.split(sets.mark, [sets.start[1]])))
    assert common / (sets.sizes.sum() - common) == similarity


def test_groups_hold_copies_and_every_member_is_near_its_centre(edited):
    texts = edited(80, (0, 1, 1, 2), seed=2)
    known = PlainTexts.of(texts)
    centre = {name: text for name, text in zip(known.name, known.plain, strict=True)}

    groups = text_groups(texts, RULES)

    for text, group in zip(plain_texts(texts), groups, strict=True):
        one, other = grams(text), grams(centre[group])
        assert len(one & other) / len(one | other) >= RULES.similarity
    # The planted original and its literal copy are one text.
    assert (groups[0::5] == groups[1::5]).all()
    assert len(np.unique(groups)) < 2 * 80


def test_names_follow_the_texts_and_not_their_order_or_number(edited):
    texts = edited(60, (1, 2, 3), seed=3)
    order = np.random.default_rng(0).permutation(len(texts))

    here = text_groups(texts, RULES)
    there = text_groups(pl.concat([texts.gather(order), texts[:17]]), RULES)

    assert there[: len(texts)].tolist() == here[order].tolist()
    assert there[len(texts) :].tolist() == here[:17].tolist()


def test_other_texts_change_no_group(edited):
    texts, others = edited(40, (1, 2), seed=5), edited(40, (1, 2), seed=6)
    assert text_groups(pl.concat([others, texts]), RULES)[len(others) :].tolist() == (
        text_groups(texts, RULES).tolist()
    )


def test_small_edits_in_a_row_do_not_make_one_group_of_all():
    words = [f"{chr(97 + number // 26)}{chr(97 + number % 26)}word" for number in range(400)]
    texts = pl.Series([" ".join(words[at : at + 12]) for at in range(0, 388, 2)])
    assert len(near_texts(plain_texts(texts), np.arange(len(texts)), RULES).T) >= len(texts) - 1

    groups = text_groups(texts, RULES)

    assert np.unique(groups, return_counts=True)[1].max() <= 7


def test_texts_of_scripts_without_spaces_and_short_ones_are_compared():
    texts = pl.Series(
        ["今天在家每天赚五百元加入我们吧", "今天在家每天赚八百元加入我们吧", "ok", "OK!", "no"]
    )
    one, other, ok, okay, no = text_groups(texts, RULES).tolist()
    assert one == other
    assert ok == okay != no


def test_texts_of_other_scopes_are_not_compared(edited):
    texts = plain_texts(pl.concat([edited(1, (1,), seed=7)] * 2))
    scope = np.array([1, 1, 2, 2], dtype=np.uint64)
    pairs = near_texts(texts, np.arange(4), RULES, scope)
    assert pairs.T.tolist() == [[0, 1], [2, 3]]


def test_a_likeness_that_cannot_be_met_is_refused():
    with pytest.raises(ValueError, match="raise the threshold or the permutations"):
        text_groups(pl.Series(["a text"]), TextRules(similarity=0.05, permutations=32))


def test_no_texts_have_no_groups():
    assert text_groups(pl.Series([], dtype=pl.String), RULES).tolist() == []
