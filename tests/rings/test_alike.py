from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest

from graphguard.near.texts import PlainTexts, TextRules, text_groups
from graphguard.rings.alike import (
    USUAL,
    Sayings,
    _components,
    _log10_p,
    _log_trees,
    alike_numbers,
    alike_sets,
)
from graphguard.rings.set_terms import OF_SET, plain

RULES = TextRules()
WORDS = [a + b + c for a in "bdfglmnprst" for b in "aeiou" for c in "bdfglmnprst"]


def chatter(rng, number, words=8):
    return [" ".join(rng.choice(WORDS, words)) for _ in range(number)]


def paraphrases(rng, number, words=14, changed=1):
    base = list(rng.choice(WORDS, words))
    texts = []
    for _ in range(number):
        copy = list(base)
        for place in rng.choice(words, changed, replace=False):
            copy[place] = str(rng.choice(WORDS))
        texts.append(" ".join(copy))
    return texts


def sayings(rows):
    user, thing, text = zip(*rows, strict=True)
    known = PlainTexts.of(pl.Series(text))
    group = np.zeros(len(known.plain), dtype=np.uint64)
    group[known.place] = text_groups(pl.Series(text), RULES)
    post = np.unique(text, return_inverse=True)[1]
    once = np.unique(np.stack([thing, user, known.place, post]), axis=1)
    return Sayings(once[1], once[0], once[2], once[3], known, group)


def platform(rng, things=120, users=6):
    """Things that a few users each write about in words of their own."""
    return [
        (int(rng.integers(0, 2_000)), thing, text)
        for thing in range(things)
        for text in chatter(rng, users)
    ]


def found(rows, most=200):
    return alike_sets(sayings(rows), RULES, most, -2.0)


def roughly(rows, similarity=0.35):
    """The same for texts less alike, whose groups nobody has made."""
    said = replace(sayings(rows), group=None)
    return alike_sets(said, replace(RULES, similarity=similarity), 200, -2.0)


@pytest.mark.parametrize("found", [found, roughly])
def test_a_campaign_about_one_site_is_found_and_nobody_beside_it(found):
    rng = np.random.default_rng(0)
    ring = list(range(5_000, 5_007))
    rows = platform(rng) + list(zip(ring, [500] * 7, paraphrases(rng, 7), strict=True))
    rows += [(6_000 + number, 500, text) for number, text in enumerate(chatter(rng, 3))]

    alike = found(rows)

    assert [one.tolist() for one in alike.sets.users] == [ring]
    assert alike.sets.objects.tolist() == [[500]]
    assert alike.rate < 0.01


def test_a_looser_campaign_is_found_whole_by_a_looser_likeness():
    rng = np.random.default_rng(0)
    ring = list(range(5_000, 5_008))
    texts = paraphrases(rng, 8, words=16, changed=3)
    rows = platform(rng) + list(zip(ring, [500] * 8, texts, strict=True))

    assert found(rows).sets.users == []
    assert [one.tolist() for one in roughly(rows).sets.users] == [ring]


def test_a_set_in_whose_words_any_stranger_would_write_is_not_told():
    rng = np.random.default_rng(2)
    phrases = [" ".join(rng.choice(WORDS, 6)) for _ in range(8)]
    # Eight users put two phrases together each; elsewhere these are said, or words of one's own.
    both = [f"{phrases[one]} {phrases[(one + 1) % 8]}" for one in range(8)]
    here = [(5_000 + number, 500, text) for number, text in enumerate(both)]
    said = [(7_000 + number, 600 + number, phrases[number % 8]) for number in range(64)]
    words = chatter(rng, 64)
    other = [(7_000 + number, 600 + number, text) for number, text in enumerate(words)]

    rows = platform(rng) + here

    assert [len(one) for one in roughly(rows + other, 0.28).sets.users] == [8]
    assert roughly(rows + said, 0.28).sets.users == []


@pytest.mark.parametrize("found", [found, roughly])
def test_nothing_is_found_where_everybody_writes_in_words_of_his_own(found):
    assert [len(found(platform(np.random.default_rng(s))).sets.users) for s in range(5)] == [0] * 5


@pytest.mark.parametrize("found", [found, roughly])
def test_a_quote_that_is_said_everywhere_is_no_campaign_where_it_is_said(found):
    rng = np.random.default_rng(1)
    quote = "tell me that it is monday without telling me that it is monday"
    here = [(5_000 + number, 500, quote + "!" * number) for number in range(4)]
    everywhere = [(7_000 + number, 600 + number, quote) for number in range(80)]

    assert len(found(platform(rng) + here).sets.users) == 1
    assert len(found(platform(rng) + here + everywhere).sets.users) == 0


def test_a_post_that_is_passed_on_is_left_out_and_counted():
    rng = np.random.default_rng(8)
    (headline,) = chatter(rng, 1)
    rows = platform(rng) + [(5_000 + number, 500, headline) for number in range(40)]

    alike = found(rows)
    assert (alike.passed_on, len(alike.sets.users)) == (1, 0)
    # Marks of their own make it a campaign: nobody passes a post on so.
    marked = [(user, thing, text + "!" * (user % 5)) for user, thing, text in rows]
    assert [len(one) for one in found(marked).sets.users] == [40]


def test_texts_that_the_platform_words_tell_nothing():
    rng = np.random.default_rng(2)
    shared = [
        (int(rng.integers(0, 5_000)), thing, text)
        for thing in range(100)
        for text in [chatter(rng, 1)[0]] * 6
    ]
    alike = found(shared)
    assert alike.rate > USUAL
    assert len(alike.sets.users) == 0


def test_a_crowd_is_left_out_and_counted():
    rng = np.random.default_rng(3)
    rows = platform(rng) + [(5_000 + n, 500, t) for n, t in enumerate(paraphrases(rng, 30))]
    alike = found(rows, most=20)
    assert (alike.crowds, len(alike.sets.users)) == (1, 0)
    assert len(found(rows, most=30).sets.users) == 1


def test_who_repeats_himself_is_no_set():
    rng = np.random.default_rng(4)
    rows = platform(rng) + [(5_000 + n % 2, 500, t) for n, t in enumerate(paraphrases(rng, 12))]
    assert len(found(rows).sets.users) == 0


def test_one_campaign_does_not_make_itself_usual():
    # A campaign of sixty has nearly half of all pairs of texts about one thing, and all near ones.
    rng = np.random.default_rng(5)
    rows = platform(rng, things=150) + [
        (5_000 + n, 500, t) for n, t in enumerate(paraphrases(rng, 60))
    ]
    alike = found(rows)
    assert alike.rate < 0.005
    assert [len(one) for one in alike.sets.users] == [60]


def test_numbering_and_order_change_nothing():
    rng = np.random.default_rng(6)
    rows = platform(rng) + [(5_000 + n, 500, t) for n, t in enumerate(paraphrases(rng, 6))]
    new = rng.permutation(6_000)
    moved = [(int(new[user]), 999 - thing, text) for user, thing, text in rows]

    here, there = found(rows), found([moved[at] for at in rng.permutation(len(moved))])

    assert [sorted(new[one].tolist()) for one in here.sets.users] == [
        one.tolist() for one in there.sets.users
    ]
    assert here.sets.log10_q == pytest.approx(there.sets.log10_q, abs=1e-9)


def test_the_expected_number_of_sets_counts_every_tree():
    # Four users with 1, 1, 2 and 3 texts: trees of three users, a tie between any two of texts.
    texts, chance, among = {0: 1, 1: 1, 2: 2}, 0.01, 6
    trees = 0
    for edges in combinations(combinations(texts, 2), 2):
        if len({user for edge in edges for user in edge}) == 3:
            trees += np.prod([texts[a] * texts[b] for a, b in edges])
    user = np.repeat(list(texts), list(texts.values()))

    expected = 10 ** _log10_p(user, among, chance)

    # Of six users three, four, five or six may be tied.
    assert expected == pytest.approx(4 * comb(among, 3) * trees * chance**2)


def written(user):
    """Sayings about one thing whose texts nobody reads."""
    number = np.arange(len(user))
    return Sayings(user, np.zeros(len(user), dtype=np.int64), number, number, None, None)


def test_trees_of_a_set_name_the_texts_of_their_ties():
    # Users 0, 1, 1, 2, 2, 2; the pairs of sayings that are near.
    said = written(np.array([0, 1, 1, 2, 2, 2]))
    pairs = np.array([(0, 1), (0, 2), (1, 3), (1, 4), (2, 4), (0, 5)]).T
    trees = sum(
        len({int(said.user[end]) for edge in edges for end in edge}) == 3
        and len({tuple(sorted(int(said.user[end]) for end in edge)) for edge in edges}) == 2
        for edges in combinations(pairs.T.tolist(), 2)
    )

    (part,) = _components(said, pairs)
    assert _log_trees(said, pairs, [part]) == pytest.approx([np.log(trees)])
    every = np.array([pair for pair in combinations(range(6), 2) if np.ptp(said.user[list(pair)])])
    # Where all texts are near, the trees are all that chance was given to choose from.
    (most,) = _log_trees(said, every.T, [part])
    assert _log10_p(said.user, 3, 0.01, most) == pytest.approx(np.log10(0.01**2))


def test_trees_do_not_follow_the_numbering_of_users_to_the_last_bit():
    rng = np.random.default_rng(11)
    user = np.repeat(np.arange(30), 3)
    near = np.array([pair for pair in combinations(range(90), 2) if np.ptp(user[list(pair)])])
    pairs = near[rng.random(len(near)) < 0.3].T

    def told(new):
        said = written(new[user])
        return _log_trees(said, pairs, _components(said, pairs))

    assert len({tuple(told(rng.permutation(30))) for _ in range(20)}) == 1


def by_lot(rng, texts):
    """Near pairs that come alone: no two of them have to do with each other."""
    ties = list(combinations(range(texts), 2))
    return [pair for pair, tied in zip(ties, rng.random(len(ties)) < 0.05, strict=True) if tied]


def by_quotes(rng, texts):
    """Near pairs that come in lumps: texts are one of twenty quotes, and those of one are near."""
    quote = rng.integers(0, 20, texts)
    return [pair for pair in combinations(range(texts), 2) if np.ptp(quote[list(pair)]) == 0]


@pytest.mark.parametrize("near", [by_lot, by_quotes])
@pytest.mark.parametrize("texts", [1, 2])
def test_under_the_null_sets_are_no_more_frequent_than_told(near, texts):
    """Texts are near with chance 1 in 20: how often is a set as unlikely as told found?"""
    rng = np.random.default_rng(7)
    users, least = 8, []
    said = written(np.repeat(np.arange(users), texts))
    for _ in range(4_000):
        pairs = np.array(near(rng, users * texts), dtype=np.int64).reshape(-1, 2).T
        pairs = pairs[:, said.user[pairs[0]] != said.user[pairs[1]]]
        found = _components(said, pairs)
        trees = _log_trees(said, pairs, found)
        told = [
            _log10_p(said.user[part], users, 0.05, seen)
            for part, seen in zip(found, trees, strict=True)
        ]
        least.append(min([0.0, *told]))
    for alpha in (0.1, 0.01, 0.001):
        assert np.mean(np.array(least) <= np.log10(alpha)) <= alpha


def test_more_ties_than_it_takes_are_more_of_a_surprise():
    # Where one text in sixty is near another, that near texts connect eight users with two texts
    # each is no surprise; that most of their texts are near each other is one.
    rng = np.random.default_rng(9)
    rows = platform(rng, things=600, users=3)
    rows += [
        (3_000 + number, thing, text)
        for thing in range(30)
        for number, text in enumerate(paraphrases(rng, 2))
    ]
    texts = paraphrases(rng, 16, words=16, changed=3)
    ring = [(5_000 + number // 2, 700, text) for number, text in enumerate(texts)]

    alike = roughly(rows + ring)

    assert 0.01 < alike.rate < 0.02
    assert _log10_p(np.repeat(np.arange(8), 2), 8, alike.rate) + np.log10(601) > -2
    assert [one.tolist() for one in alike.sets.users] == [list(range(5_000, 5_008))]


@pytest.mark.parametrize("found", [found, roughly])
def test_where_all_things_are_quoted_a_quote_is_no_campaign(found):
    # A paper: five headlines, each passed on by four with a word of their own; one by ten.
    rng = np.random.default_rng(10)
    quoted = [(5_000 + n, 500, text) for n, text in enumerate(paraphrases(rng, 10))]
    others = [
        (5_100 + 4 * headline + n, 500, text)
        for headline in range(5)
        for n, text in enumerate(paraphrases(rng, 4))
    ]
    lone = [(5_100 + n, 500, text) for n, text in enumerate(chatter(rng, 20))]
    rows = platform(rng, things=600) + [
        (3_000 + number, thing, text)
        for thing in range(40)
        for number, text in enumerate(paraphrases(rng, 2))
    ]

    assert [len(one) for one in found(rows + quoted + lone).sets.users] == [10]
    assert found(rows + quoted + others).sets.users == []


def test_no_sayings_have_no_sets():
    rows = [(1, 1, "a text of some words"), (2, 1, "another one")]
    assert len(found(rows).sets.users) == 0


@pytest.mark.parametrize("found", [found, roughly])
def test_q_follows_again_from_texts_trees_and_chances(found):
    rng = np.random.default_rng(0)
    ring = list(range(5_000, 5_007))
    rows = platform(rng) + list(zip(ring, [500] * 7, paraphrases(rng, 7), strict=True))
    rows += [(5_000, 500, text) for text in chatter(rng, 2)]

    (told,) = found(rows).sets.told("alike")

    terms = plain(told.terms)
    assert alike_numbers(told.size, terms)[OF_SET] == pytest.approx(told.log10_q)
    assert terms["texts"] == [1, 1, 1, 1, 1, 1, 3]
    assert terms["among"] == 7
    assert alike_numbers(told.size + 1, terms)[OF_SET] == 0.0
