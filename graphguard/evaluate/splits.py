"""Splits that do not depend on the order or the numbering of rows.

Every random choice is a keyed hash of the entity's key and the seed: renumbering the users, adding
a log or running elsewhere moves nobody to another fold. Rows that belong together (a ring, a
connected component) stay together, so that a model is never judged on the twin of a row it has
seen.
"""

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.errors import DataError


class GroupTorn(DataError):
    """A group, such as a ring, lies in more than one part of a split."""

    def __init__(self, group: object, parts: tuple[object, ...], torn: int) -> None:
        self.group, self.parts, self.torn = group, parts, torn
        found = ", ".join(str(part) for part in parts)
        super().__init__(
            f"split: group {group} lies in parts {found} ({torn} groups are torn), so a model "
            f"would be judged on the twins of rows it has seen; deal whole groups, as "
            f"`stratified_group_folds` does"
        )


def require_whole_groups(part: NDArray[Any], group: NDArray[Any]) -> None:
    """Refuse a split that tears a group.

    Args:
        part: Fold or split of each row, shape [n], any type that sorts.
        group: Group of each row, shape [n], any type that sorts.

    Raises:
        GroupTorn: Rows of one group lie in two parts; names the first such group.

    >>> require_whole_groups(np.array([0, 0, 1]), np.array([7, 7, 8]))
    """
    names, group_of_row = np.unique(group, return_inverse=True)
    parts, part_of_row = np.unique(part, return_inverse=True)
    met = np.unique(group_of_row.astype(np.int64) * len(parts) + part_of_row)
    torn = np.flatnonzero(np.bincount(met // len(parts), minlength=len(names)) > 1)
    if len(torn):
        mine = met[met // len(parts) == torn[0]] % len(parts)
        raise GroupTorn(names[torn[0]], tuple(parts[mine].tolist()), len(torn))


def check_masks(
    masks: dict[str, NDArray[np.bool_]], num_rows: int, group: NDArray[Any] | None = None
) -> None:
    """Check that given splits are masks over the rows that share no row and tear no group.

    Args:
        masks: Mask by split name ('train', 'valid', 'test'), each of shape [num_rows].
        num_rows: Number of rows.
        group: Ring or component of each row, shape [num_rows]; None where rows stand alone.

    Raises:
        ValueError: A mask has another shape or type, is empty, or two masks share a row.
        GroupTorn: Two masks share a group.
    """
    taken: dict[str, NDArray[np.bool_]] = {}
    for name, mask in masks.items():
        if mask.dtype != np.bool_ or mask.shape != (num_rows,):
            message = (
                f"split '{name}': expected bool of shape ({num_rows},), "
                f"got {mask.dtype} {mask.shape}"
            )
            raise ValueError(message)
        if not mask.any():
            message = f"split '{name}' holds no row"
            raise ValueError(message)
        for other, earlier in taken.items():
            shared = np.flatnonzero(mask & earlier)
            if len(shared):
                message = (
                    f"splits '{other}' and '{name}' share {len(shared)} rows, first {shared[0]}"
                )
                raise ValueError(message)
        taken[name] = mask
    if group is not None:
        inside = [np.flatnonzero(mask) for mask in masks.values()]
        part = np.repeat(list(masks), [len(rows) for rows in inside])
        require_whole_groups(part, group[np.concatenate(inside)])


def stratified_folds(
    hashed: NDArray[np.uint64], label: NDArray[Any], folds: int
) -> NDArray[np.int64]:
    """Deal the rows of each class to `folds` folds, in the order of their hash.

    Args:
        hashed: Keyed hash of each row's entity, shape [n], uint64.
        label: Class of each row, shape [n], any integer.
        folds: Number of folds, at least 2.

    Returns:
        Fold of each row, shape [n], int64 in [0, folds); class sizes differ by one at most.

    Raises:
        ValueError: `folds` is below 2.
    """
    _check_folds(folds)
    fold = np.empty(len(hashed), dtype=np.int64)
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        fold[rows[np.argsort(hashed[rows], kind="stable")]] = np.arange(len(rows)) % folds
    return fold


def stratified_group_folds(
    group: NDArray[Any], hashed: NDArray[np.uint64], label: NDArray[Any], folds: int
) -> NDArray[np.int64]:
    """Deal whole groups to folds so that folds hold like numbers of positives, then of rows.

    Groups with most positives are dealt first, each to the fold that has fewest (ties: fewest rows,
    then the lower fold). A group's place among equals is the smallest hash of its rows, so group
    numbers do not matter.

    Args:
        group: Group of each row, shape [n], integer, any numbering.
        hashed: Keyed hash of each row's entity, shape [n], uint64.
        label: 0 or 1, shape [n].
        folds: Number of folds, at least 2.

    Returns:
        Fold of each row, shape [n], int64 in [0, folds).

    Raises:
        ValueError: `folds` is below 2.

    Cost: O(n log n), about two seconds a million groups.
    """
    _check_folds(folds)
    _, dense = np.unique(group, return_inverse=True)
    rows = np.bincount(dense)
    positives = np.bincount(dense, weights=label).astype(np.int64)
    first_hash = np.full(len(rows), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(first_hash, dense, hashed)
    order = np.lexsort((first_hash, -rows, -positives))
    fold_of_group = np.empty(len(rows), dtype=np.int64)
    heap = [(0, 0, fold) for fold in range(folds)]
    with_positives = int((positives > 0).sum())
    for place, number in enumerate(order.tolist()):
        if place == with_positives:
            # No group left has a positive: from here on only the number of rows is evened out, or
            # all of them would go to the fold that has one positive less.
            heap = [(0, has_rows, fold) for _, has_rows, fold in heap]
            heapq.heapify(heap)
        has_positives, has_rows, fold = heap[0]
        fold_of_group[number] = fold
        grown = (has_positives + int(positives[number]), has_rows + int(rows[number]), fold)
        heapq.heapreplace(heap, grown)
    return fold_of_group[dense]


def split_in_half_by_component(
    component: NDArray[Any], hashed: NDArray[np.uint64], label: NDArray[Any]
) -> NDArray[np.bool_]:
    """Split rows in two halves that share no component, with like numbers of positives.

    One half calibrates, the other certifies thresholds: were a ring in both, the second would only
    repeat what the first has said.

    Args:
        component: Connected component of each row's node, shape [n], integer, any numbering.
        hashed: Keyed hash of each row's entity, shape [n], uint64.
        label: 0 or 1, shape [n].

    Returns:
        True for rows of the first half, shape [n]. One huge component makes unequal halves: look at
        the positives of both before use.
    """
    return np.equal(stratified_group_folds(component, hashed, label, folds=2), 0)


def _check_folds(folds: int) -> None:
    if folds < 2:
        message = f"folds must be 2 or more, got {folds}"
        raise ValueError(message)
