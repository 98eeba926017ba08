import numpy as np

from graphguard.rings import grouping
from graphguard.rings.grouping import GroupRules, Links, find_groups


def cliques(*groups):
    pairs = [(a, b) for group in groups for a in group for b in group if a < b]
    return np.array(pairs).T


def links(pairs, bits=None):
    return Links(pairs[0], pairs[1], np.ones(pairs.shape[1]) if bits is None else bits)


def found(pairs, **rules):
    return [group.tolist() for group in find_groups(links(pairs), GroupRules(**rules))]


def test_two_rings_stay_two():
    assert found(cliques([0, 1, 2, 3], [7, 8, 9])) == [[0, 1, 2, 3], [7, 8, 9]]


def test_a_pair_is_no_ring_of_three_and_a_hanger_on_is_trimmed():
    # 0-1-2-3 all linked; 9 hangs on 0 alone; 20-21 are two
    pairs = np.concatenate([cliques([0, 1, 2, 3]), [[0, 20], [9, 21]]], axis=1)

    assert found(pairs) == [[0, 1, 2, 3]]


def test_rings_that_a_few_links_chain_together_come_apart():
    groups = [list(range(start, start + 12)) for start in range(0, 120, 12)]
    bridges = np.array([[group[-1] for group in groups[:-1]], [group[0] for group in groups[1:]]])

    assert found(np.concatenate([cliques(*groups), bridges], axis=1)) == groups


def test_two_dense_rings_with_a_link_between_them_come_apart():
    one, other = list(range(20)), list(range(20, 40))
    pairs = np.concatenate([cliques(one, other), [[3], [30]]], axis=1)

    assert found(pairs) == [one, other]


def test_a_loose_ring_is_not_torn():
    # half of its pairs are linked: parts can be named, but hang together as they do within
    for seed in range(5):
        rng = np.random.default_rng(seed)
        pairs = cliques(list(range(24)))
        pairs = pairs[:, rng.random(pairs.shape[1]) < 0.5]

        assert found(pairs) == [list(range(24))]


def test_a_small_ring_that_hangs_on_a_dense_large_one_comes_apart():
    # Communities halve the large one, which has none, and the halves are linked like one.
    rng = np.random.default_rng(4)
    large = cliques(list(range(30)))
    large = large[:, rng.random(large.shape[1]) < 0.85]
    bridges = np.array([[0, 5, 12], [30, 31, 35]])
    pairs = np.concatenate([large, cliques(list(range(30, 36))), bridges], axis=1)
    heavy = np.where(pairs.max(axis=0) < 30, 60.0, 20.0)

    groups = find_groups(Links(pairs[0], pairs[1], heavy), GroupRules())

    assert [group.tolist() for group in groups] == [list(range(30)), list(range(30, 36))]


def test_many_rings_come_out_at_their_own_size():
    rng = np.random.default_rng(0)
    groups = np.array_split(rng.permutation(4_000), 200)
    pairs = [(min(a, b), max(a, b)) for group in groups for a in group for b in group if a < b]
    kept = np.array(pairs)[rng.random(len(pairs)) < 0.7].T

    sizes = [len(group) for group in find_groups(links(kept), GroupRules())]

    assert len(sizes) == 200
    assert abs(np.median(sizes) - 20) <= 1


def test_renumbering_users_renumbers_rings_and_nothing_else():
    rng = np.random.default_rng(1)
    pairs = cliques(list(range(0, 9)), list(range(9, 20)), list(range(20, 24)))
    names = np.sort(rng.choice(1000, 24, replace=False))

    moved = find_groups(links(names[pairs]), GroupRules())

    assert [group.tolist() for group in moved] == [names[group].tolist() for group in found(pairs)]


def test_a_huge_component_is_parted_by_company_before_communities_are_looked_for(monkeypatch):
    # Four rings in a chain of single links: the ends of a link of the chain have hardly any company
    # in common, those of all others have much.
    groups = [list(range(start, start + 30)) for start in range(0, 120, 30)]
    rng = np.random.default_rng(0)
    inside = cliques(*groups)
    inside = inside[:, rng.random(inside.shape[1]) < 0.9]
    bridges = np.array([[group[-1] for group in groups[:-1]], [group[0] for group in groups[1:]]])
    pairs = np.concatenate([inside, bridges], axis=1)
    asked = []

    class Watched(grouping.Leiden):
        def fit_predict(self, block):
            asked.append(block.shape[0])
            return super().fit_predict(block)

    monkeypatch.setattr(grouping, "Leiden", Watched)
    monkeypatch.setattr(grouping, "HUGE", 2 * pairs.shape[1] - 1)

    assert found(pairs) == groups
    assert 120 not in asked
    asked.clear()
    monkeypatch.setattr(grouping, "HUGE", 2 * pairs.shape[1])
    assert found(pairs) == groups
    assert asked[0] == 120


def test_a_huge_component_of_one_company_goes_to_communities(monkeypatch):
    # A loose ring hangs together by company: it is not parted by it, nor torn afterwards.
    rng = np.random.default_rng(0)
    pairs = cliques(list(range(40)))
    pairs = pairs[:, rng.random(pairs.shape[1]) < 0.4]
    monkeypatch.setattr(grouping, "HUGE", 10)

    assert found(pairs) == [list(range(40))]
