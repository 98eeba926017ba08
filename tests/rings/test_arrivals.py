import numpy as np
import pytest
from scipy.stats import gamma, nbinom

from graphguard.rings.arrivals import (
    Arrivals,
    fit_arrivals,
    log10_strangers_tail,
    log10_together_tails,
    strangers,
)
from graphguard.rings.timing_rate import NUM_AGES

HOUR = 3_600_000_000
DAY = 24 * HOUR


def drawn(rng, shape, objects=20_000):
    """Touches of a fortnight: of fresh objects five a day are expected, later a tenth of it."""
    born = rng.integers(-10 * DAY, 14 * DAY, objects)
    loved = gamma.rvs(shape, scale=1 / shape, size=objects, random_state=rng)
    thing, time = [], []
    for begin, end, rate in ((0, DAY, 5.0), (DAY, 30 * DAY, 0.5)):
        since, until = np.maximum(born + begin, 0), np.minimum(born + end, 14 * DAY)
        days = np.maximum(until - since, 0) / DAY
        count = rng.poisson(loved * rate * days)
        thing.append(np.repeat(np.arange(objects), count))
        at = rng.random(count.sum()) * np.repeat(until - since, count)
        time.append(np.repeat(since, count) + at.astype(np.int64))
    return born, np.concatenate(thing), np.concatenate(time)


@pytest.mark.parametrize("shape", [0.3, 2.0])
def test_rates_by_age_and_how_unlike_objects_are_come_out_again(shape):
    arrivals = fit_arrivals(*drawn(np.random.default_rng(1), shape), (0, 14 * DAY))

    born = np.array([0, 0])
    fresh, old = arrivals.expected(born, np.array([0, 4 * DAY]), np.array([6 * HOUR, 5 * DAY]))
    assert fresh == pytest.approx(1.25, rel=0.1)
    assert old == pytest.approx(0.5, rel=0.1)
    assert arrivals.shape == pytest.approx(shape, rel=0.15)


def test_a_span_before_an_object_was_made_expects_nobody():
    arrivals = Arrivals(np.full(NUM_AGES, 1 / DAY), 1.0)
    born = np.array([10 * DAY])

    assert arrivals.expected(born, np.array([0]), np.array([10 * DAY])) == [0]
    assert arrivals.expected(born, np.array([9 * DAY]), np.array([12 * DAY])) == pytest.approx(2)


def test_touches_before_an_object_was_made_are_not_counted():
    born = np.full(100, 5 * DAY)
    arrivals = fit_arrivals(born, np.arange(100), np.full(100, 4 * DAY), (0, 14 * DAY))

    assert (arrivals.rate == 0).all()


def test_no_object_is_no_work():
    none = np.zeros(0, dtype=np.int64)
    assert fit_arrivals(none, none, none, (0, DAY)).shape == 1.0


def test_the_tail_is_that_of_the_negative_binomial_and_never_below():
    rng = np.random.default_rng(3)
    others, came = rng.integers(0, 30, 500), rng.integers(0, 20, 500)
    shape = rng.choice([0.1, 0.4, 3.0], 500)
    expected = np.stack([10 ** rng.uniform(-4, 1.5, 500), 10 ** rng.uniform(-3, 1, 500)])

    tail = log10_strangers_tail(others, came, shape, expected)

    size = came + shape
    exact = nbinom.logsf(others - 1, size, 1 - expected[0] / (shape + expected.sum(axis=0)))
    exact = np.where(others == 0, 0.0, exact / np.log(10))
    usual = exact > -200
    assert usual.sum() > 450
    assert tail[usual] == pytest.approx(exact[usual], abs=0.05)
    assert (tail[usual] >= exact[usual] - 1e-5).all()


def test_what_came_at_other_times_tells_how_many_are_expected():
    expected = np.array([[1.0, 1.0], [4.0, 4.0]])
    came, shape = np.array([0, 40]), np.full(2, 0.4)

    quiet, loved = strangers(came, shape, expected)

    assert (quiet, loved) == pytest.approx((0.4 / 4.4, 40.4 / 4.4))
    few, many = log10_strangers_tail(np.array([6, 6]), came, shape, expected)
    assert few < -3 < many


def test_false_alarms_are_as_rare_as_said():
    rng = np.random.default_rng(4)
    born, thing, time = drawn(rng, 0.4)
    arrivals = fit_arrivals(born, thing, time, (0, 14 * DAY))
    held = np.flatnonzero((born > -5 * DAY) & (born < 10 * DAY))
    begin = np.maximum(born[held], 0) + rng.integers(0, 3 * DAY, len(held))
    end = begin + 12 * HOUR
    inside = time >= begin[np.searchsorted(held, thing).clip(0, len(held) - 1)]
    place = np.full(len(born), -1)
    place[held] = np.arange(len(held))
    at = place[thing]
    kept = at >= 0
    inside = (time[kept] >= begin[at[kept]]) & (time[kept] <= end[at[kept]])
    others = np.bincount(at[kept], inside, len(held)).astype(int)
    came = np.bincount(at[kept], ~inside, len(held)).astype(int)
    here = arrivals.expected(born[held], begin, end)
    start = np.maximum(born[held], 0)
    whole = arrivals.expected(born[held], start, np.full(len(held), 14 * DAY))
    shape = np.full(len(held), arrivals.shape)

    tail = log10_strangers_tail(others, came, shape, np.stack([here, whole - here]))

    for level in (0.1, 0.01, 0.001):
        share = (tail <= np.log10(level)).mean()
        assert share <= level + 3 * np.sqrt(level / len(held))


def test_more_come_in_the_busy_hours_of_the_day():
    rng = np.random.default_rng(5)
    born = rng.integers(-20 * DAY, -10 * DAY, 4_000)
    thing = np.repeat(np.arange(4_000), 14)
    # Three of four come between noon and midnight.
    half = np.where(rng.random(len(thing)) < 0.75, 12, 0)
    time = np.tile(np.arange(14), 4_000) * DAY + (half + rng.random(len(thing)) * 12) * HOUR

    arrivals = fit_arrivals(born, thing, time.astype(np.int64), (0, 14 * DAY))

    one = np.array([-15 * DAY])
    night, evening = (
        arrivals.expected(one, *(np.array([at * HOUR]) for at in span))
        for span in ((24, 28), (38, 42))
    )
    assert evening / night == pytest.approx(3.0, rel=0.1)
    day = arrivals.expected(one, np.array([24 * HOUR + 1]), np.array([48 * HOUR + 1]))
    assert day == pytest.approx(1.0, rel=0.1)


def test_the_tail_of_one_object_together_is_its_own():
    for came, shape, inside, outside in (
        (0, 0.4, 0.3, 6.0),
        (9, 0.4, 2.0, 5.0),
        (70, 2.0, 40.0, 3),
    ):
        together = log10_together_tails(
            np.array([came]), np.array([shape]), np.array([[inside], [outside]]), 64
        )
        exact = nbinom(came + shape, (shape + outside) / (shape + inside + outside))
        assert together == pytest.approx(exact.logsf(np.arange(64)) / np.log(10), abs=1e-6)


def test_the_tail_of_several_objects_is_that_of_their_sum():
    rng = np.random.default_rng(5)
    came, shape = np.array([0, 3, 12]), np.full(3, 0.5)
    expected = np.array([[0.5, 2.0, 0.2], [3.0, 1.0, 6.0]])
    tails = log10_together_tails(came, shape, expected, 20)

    share = expected[0] / (shape + expected.sum(axis=0))
    drawn = rng.negative_binomial(came + shape, 1 - share, (400_000, 3)).sum(axis=1)
    seen = (drawn[:, np.newaxis] >= np.arange(1, 21)).mean(axis=0)
    assert (10**tails)[seen > 1e-3] == pytest.approx(seen[seen > 1e-3], rel=0.1)
    assert (np.diff(tails) < 0).all()


def test_objects_to_which_nobody_comes_change_no_tail():
    alone = log10_together_tails(np.array([2]), np.ones(1), np.array([[0.5], [3.0]]), 10)
    more = log10_together_tails(
        np.array([2, 0, 0]), np.ones(3), np.array([[0.5, 0, 0], [3.0, 0, 5.0]]), 10
    )
    assert more == pytest.approx(alone, abs=1e-6)
