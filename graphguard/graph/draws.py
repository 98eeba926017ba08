"""Draws that follow a hash, and searches, for many ranges of an array at once.

Everything here is vectorised torch: no loop per range, the same on any device, and the same for a
range whatever other ranges come with it.
"""

import torch
from torch import Tensor

RACED = 4
"""Ranges up to so many times the fanout are drawn from by a race over all their entries."""


def hash_step(state: Tensor, value: Tensor | int) -> Tensor:
    """Mix a value into a hash (splitmix64 on signed 64-bit integers, which wrap the same way)."""
    mixed = state + value
    mixed -= 7046029254386353131
    mixed ^= _shift(mixed, 30)
    mixed *= -4658895280553007687
    mixed ^= _shift(mixed, 27)
    mixed *= -7723592293110705685
    mixed ^= _shift(mixed, 31)
    return mixed


def hash_below(state: Tensor, bound: Tensor) -> Tensor:
    """A whole number in [0, bound) that follows a hash; `bound` is at least 1."""
    return _shift(state, 1).remainder_(bound)


def draw_uniform(size: Tensor, fanout: int, marks: Tensor) -> tuple[Tensor, Tensor]:
    """Draw up to `fanout` distinct offsets from each range [0, size), uniformly.

    A range no larger than the fanout is taken whole. Of a larger one, Floyd's method draws without
    replacement: for each step j it takes a uniform t in [0, j], or j itself where t was taken.

    Args:
        size: Length of each range, shape [n], int64.
        fanout: Most offsets of a range.
        marks: Hash that the draws of each range follow, shape [n], int64.

    Returns:
        Offsets drawn per range, shape [n], and the offsets, range by range, shape [sum].

    Cost: O(n * fanout ** 2) comparisons of integers, no memory beyond [n, fanout].
    """
    count = size.clamp(max=fanout)
    step = torch.arange(fanout, device=size.device)
    chosen = step[:, None].repeat(1, len(size))
    large = (size > fanout).nonzero().squeeze(1)
    if len(large):
        chosen[:, large] = _floyd(size.index_select(0, large), step, marks.index_select(0, large))
    kept = step[None, :] < count[:, None]
    return count, chosen.t()[kept]


def _floyd(size: Tensor, step: Tensor, marks: Tensor) -> Tensor:
    """Distinct offsets below each size, shape [steps, n]; every size exceeds the steps."""
    last = size[None, :] - len(step) + step[:, None]
    drawn = hash_below(hash_step(marks[None, :], step[:, None]), last + 1)
    for number in range(1, len(step)):
        taken = (drawn[:number] == drawn[number]).view(torch.uint8).amax(dim=0).view(torch.bool)
        drawn[number] = torch.where(taken, last[number], drawn[number])
    return drawn


def draw_weighted(
    summed: Tensor, span: tuple[Tensor, Tensor], fanout: int, marks: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw up to `fanout` distinct offsets from each range, one by one, in proportion to weight.

    A range no larger than the fanout is taken whole. Of one up to four times as large, all entries
    run a race of exponential clocks (Efraimidis & Spirakis 2006), and the first ones win. Of a
    larger one, entries are drawn by their place in the running sum, anew where taken already. Both
    are draws without replacement, each in proportion to the weights that are left.

    Args:
        summed: Weights summed before each entry, shape [num_edges + 1], int64; weights exceed 0.
        span: First position and end of each range, shape [n] each, int64.
        fanout: Most offsets of a range.
        marks: Hash that the draws of each range follow, shape [n], int64.

    Returns:
        Offsets drawn per range, shape [n], and the offsets, range by range, shape [sum].
    """
    low, high = span
    size = high - low
    count = size.clamp(max=fanout)
    step = torch.arange(fanout, device=size.device)
    chosen = step[:, None].repeat(1, len(size))
    middling = (size > fanout) & (size <= RACED * fanout)
    for mask, draw in ((middling, _race), (size > RACED * fanout, _by_running_sum)):
        mine = mask.nonzero().squeeze(1)
        if len(mine):
            first, end, mark = (one.index_select(0, mine) for one in (low, high, marks))
            chosen[:, mine] = draw(summed, (first, end), fanout, mark)
    kept = step[None, :] < count[:, None]
    return count, chosen.t()[kept]


def _race(summed: Tensor, span: tuple[Tensor, Tensor], fanout: int, marks: Tensor) -> Tensor:
    """Offsets whose clocks ring first, shape [fanout, n]; ranges are up to RACED times as large."""
    low, high = span
    place = torch.arange(RACED * fanout, device=low.device)
    position = torch.minimum(low[:, None] + place, high[:, None] - 1)
    weight = (summed[position + 1] - summed[position]).to(torch.float64)
    # The upper 53 bits of a hash, in (0, 1).
    share = (_shift(hash_step(marks[:, None], place), 11).to(torch.float64) + 0.5) / (1 << 53)
    rings = -share.log() / weight
    rings.masked_fill_(low[:, None] + place >= high[:, None], torch.inf)
    return rings.topk(fanout, dim=1, largest=False, sorted=True).indices.t()


def _by_running_sum(
    summed: Tensor, span: tuple[Tensor, Tensor], fanout: int, marks: Tensor
) -> Tensor:
    """Distinct offsets drawn in proportion to weight, shape [fanout, n]."""
    low, high = span

    def drawn(number: int, attempt: int, mine: Tensor) -> Tensor:
        first, end = low.index_select(0, mine), high.index_select(0, mine)
        start = summed.index_select(0, first)
        salted = hash_step(marks.index_select(0, mine), number + fanout * attempt)
        target = start + hash_below(salted, summed.index_select(0, end) - start)
        return lower_bound(summed, first + 1, end + 1, target + 1) - 1 - first

    every = torch.arange(len(low), device=low.device)
    chosen = torch.stack([drawn(number, 0, every) for number in range(fanout)])
    for number in range(1, fanout):
        again, attempt = every, 0
        while True:
            taken = (chosen[:number, again] == chosen[number, again]).any(dim=0)
            again, attempt = again[taken], attempt + 1
            if not len(again):
                break
            chosen[number, again] = drawn(number, attempt, again)
    return chosen


def window_bounds(
    time: Tensor, span: tuple[Tensor, Tensor], since: Tensor, until: Tensor
) -> tuple[Tensor, Tensor]:
    """Range of each row's entries with since <= time < until.

    Args:
        time: Times, ascending inside a row, shape [num_edges].
        span: Where each row begins and ends, shape [n] each.
        since: First time of each row's window, shape [n].
        until: End of each row's window, shape [n].

    Returns:
        First position and end of each range, shape [n] each; the end is not below the first.

    Cost: two reads a row where the window holds all of it, else O(log row).
    """
    low, high = span
    first = lower_bound(time, low, high, since)
    return first, lower_bound(time, first, high, until)


def lower_bound(values: Tensor, low: Tensor, high: Tensor, wanted: Tensor) -> Tensor:
    """First position in [low, high) whose value is not below `wanted`, for many ranges at once."""
    found = high.clone()
    if not len(values):
        return found
    # Most ranges lie wholly inside or outside a window: their ends tell, without a search.
    inside = low < high
    starts_after = values.index_select(0, low.clamp(max=len(values) - 1)) >= wanted
    ends_before = values.index_select(0, (high - 1).clamp(min=0)) < wanted
    found = torch.where(inside & starts_after, low, found)
    open_ = (inside & ~starts_after & ~ends_before).nonzero().squeeze(1)
    low, last, wanted = (one.index_select(0, open_) for one in (low, high - 1, wanted))
    while len(open_):
        # Always: values[low] < wanted <= values[last].
        middle = (low + last) >> 1
        below = values.index_select(0, middle) < wanted
        low, last = torch.where(below, middle, low), torch.where(below, last, middle)
        found[open_] = last
        going = (last - low > 1).nonzero().squeeze(1)
        open_, low, last, wanted = (
            one.index_select(0, going) for one in (open_, low, last, wanted)
        )
    return found


def _shift(value: Tensor, bits: int) -> Tensor:
    """Shift right without the sign."""
    return (value >> bits).bitwise_and_((1 << (64 - bits)) - 1)
