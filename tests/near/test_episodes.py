import numpy as np

from graphguard.near.episodes import episodes


def test_a_silence_longer_than_the_bound_begins_an_episode():
    #  0 ..10.. 10 ..11.. 21       bound 10: the first two are one, the third another
    time = np.array([0, 10, 21])
    assert episodes(np.zeros(3, dtype=int), time, 10).tolist() == [0, 0, 1]


def test_things_keep_their_own_time_in_any_order():
    rng = np.random.default_rng(0)
    thing, time = rng.integers(0, 5, 200), rng.integers(0, 10_000, 200)

    found = episodes(thing, time, 100)

    for one in np.unique(found):
        mine = found == one
        assert len(set(thing[mine])) == 1
        assert np.diff(np.sort(time[mine])).max(initial=0) <= 100
    for value in range(5):
        starts = sorted(time[found == one].min() for one in np.unique(found[thing == value]))
        ends = sorted(time[found == one].max() for one in np.unique(found[thing == value]))
        assert all(start - end > 100 for start, end in zip(starts[1:], ends, strict=False))
    moved = rng.permutation(200)
    assert (episodes(thing[moved], time[moved], 100) == found[moved]).all()


def test_no_acts_have_no_episodes():
    none = np.zeros(0, dtype=np.int64)
    assert episodes(none, none, 1).tolist() == []
