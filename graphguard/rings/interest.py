"""How often two users act on the same objects because they like the same.

Over a day nobody's timing stands out, and users of one community share posts all the time. So for
slow windows the null keeps interests instead of times: what a user does among the objects of one
community, and among those of one author, is kept, and which objects of these it is, is chance. An
object whose author a user met only once tells nothing of a liking for him, and an object has no say
in which community it is of: its author's other objects have.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.rings.coaction import Coactions
from graphguard.rings.meetings import Acts, blocks_of
from graphguard.rings.significance import Floats, SecondTest, log10_poisson_tail

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Ints = NDArray[np.int64]
SLOW_US = 6 * 3_600_000_000
"""Windows from here on are slow: a day's rhythm is no synchrony."""
LIKINGS_AT_ONCE = 5_000_000
MOST_OF_ONE = 100
"""Objects of an author above which one of them hardly sways what he is liked for."""


@dataclass(frozen=True)
class Interests:
    """What users did by community and by author.

    Attributes:
        by_block: Objects of each user in each community, shape [num_users, num_blocks].
        by_author: The same by author, of two objects or more, shape [num_users, num_authors].
        block_weight: Ordered pairs of touches of a community's objects over the square of its
            touches, shape [num_blocks].
        author_weight: The same by author.
        pairs: Ordered pairs of touches of all objects.
    """

    by_block: "csr_array"
    by_author: "csr_array"
    block_weight: Floats
    author_weight: Floats
    pairs: float


def find_interests(acts: Acts, author: Ints, num_users: int) -> Interests:
    """Communities of users and authors, and what each user did in them.

    Args:
        acts: Events of the trace; objects are 0 .. len(author) - 1.
        author: Dense index of each object's author, -1 where nobody knows: it is its own.
        num_users: Number of users.

    Cost: O(distinct (user, object)) for Louvain on users and authors.
    """
    first = acts.first_touches
    source, touches = author_touches(first, author, num_users)
    block = communities(first, source, touches)
    sizes = np.bincount(first.object, minlength=len(author)).astype(np.float64)
    by_block = counts_of(first.user, block[first.object], (num_users, int(block.max()) + 1))
    return Interests(
        by_block,
        likings(touches),
        _weights(block, sizes),
        _weights(source, sizes),
        float((sizes * (sizes - 1)).sum()),
    )


def author_touches(first: Acts, author: Ints, num_users: int) -> tuple[Ints, "csr_array"]:
    """Author of each object, those nobody knows numbered too, and what each user did by author."""
    own = author.max(initial=-1) + 1 + by_first_touch(first, len(author))
    _, source = np.unique(np.where(author >= 0, author, own), return_inverse=True)
    shape = (num_users, int(source.max(initial=0)) + 1)
    return source, counts_of(first.user, source[first.object], shape)


def likings(touches: "csr_array") -> "csr_array":
    """What each user did by author, of two objects or more."""
    more = touches.copy()
    more.data[more.data < 2] = 0.0
    more.eliminate_zeros()
    return more


def communities(first: Acts, source: Ints, touches: "csr_array", resolution: float = 1.0) -> Ints:
    """Community of each object.

    Args:
        first: First touches.
        source: Author of each object.
        touches: Of each user by author.
        resolution: Of Louvain's modularity: the higher, the smaller communities are.
    """
    # Most windows are fast: who asks for no interests need not wait for these.
    from scipy.sparse import csr_matrix
    from sknetwork.clustering import Louvain

    clusters = Louvain(resolution=resolution, random_state=0)
    clusters.fit(csr_matrix(touches), force_bipartite=True)
    labels = (clusters.labels_row_, clusters.labels_col_)
    return _told_by_others(first, source, *(one.astype(np.int64) for one in labels))


def interest_test(
    found: Coactions, places: Ints, weights: Ints, window: int, interests: Interests
) -> SecondTest:
    """Test pairs that met on so many objects within a window, given what the two like.

    Args:
        found: Pairs and totals.
        places: Rows of `found.pairs` to test.
        weights: Objects on which each of them met within the window.
        window: Which window.
        interests: Of the same acts.

    Returns:
        The Poisson tail where communities and authors are expected to explain meetings each by
        themselves, so that their sum errs on the safe side; `together` is -1, for what both touched
        does not matter.
    """
    a, b = (found.pairs.get_column(name).to_numpy()[places] for name in ("user_a", "user_b"))
    # Of all pairs of touches of an object so many fall within the window.
    share = found.visit_pairs[window] / max(interests.pairs, 1.0)
    expected = _common(interests.by_block, interests.block_weight, a, b)
    expected += _common(interests.by_author, interests.author_weight, a, b)
    expected *= share
    unasked = np.full(len(places), -1, dtype=np.int64)
    return SecondTest(unasked, expected, log10_poisson_tail(weights, expected))


def _told_by_others(first: Acts, source: Ints, of_user: Ints, of_source: Ints) -> Ints:
    """Community of each object: that of most touches of what else its author made.

    If its own touches had a say, a ring's objects would be a community of their own, and the ring's
    interest in it would explain the ring. Where there is nothing else, or very much, it is the
    author's community.

    Args:
        first: First touches.
        source: Author of each object.
        of_user: Community of each user.
        of_source: Community of each author.
    """
    number = np.bincount(source)
    few = (number > 1) & (number <= MOST_OF_ONE)
    mine = np.flatnonzero(few[source[first.object]])
    things = first.object[mine].astype(np.int64)
    communities = of_user[first.user[mine]]
    touched = pl.DataFrame({"object": things, "source": source[things], "community": communities})
    home = ["source", "community"]
    own = touched.group_by("object", *home).agg(pl.len().alias("own"))
    every = own.group_by(home).agg(pl.col("own").sum().alias("all"))
    others = (
        touched.select("object", "source")
        .unique()
        .join(every, on="source")
        .join(own, on=["object", *home], how="left")
        .with_columns((pl.col("all") - pl.col("own").fill_null(0)).alias("others"))
        .filter(pl.col("others") > 0)
    )
    usual = of_source[others.get_column("source").to_numpy()]
    most = (
        others.with_columns((pl.col("community") != pl.Series(usual)).alias("strange"))
        .sort("object", "others", "strange", "community", descending=[False, True, False, False])
        .unique("object", keep="first", maintain_order=True)
    )
    block = of_source[source].copy()
    block[most.get_column("object").to_numpy()] = most.get_column("community").to_numpy()
    return block


def by_first_touch(first: Acts, num_objects: int) -> Ints:
    """Place of each object in order of its first touch: its number depends on storage."""
    order = np.lexsort((first.user, first.time_us))
    objects, at = np.unique(first.object[order], return_index=True)
    place = np.full(num_objects, len(objects), dtype=np.int64)
    place[objects] = np.argsort(np.argsort(at))
    return place


def counts_of(row: Ints, column: Ints, shape: tuple[int, int]) -> "csr_array":
    """How often each row and column come together."""
    from scipy.sparse import csr_array

    table = csr_array((np.ones(len(row)), (row, column)), shape=shape)
    table.sum_duplicates()
    return table


def _weights(group: Ints, sizes: Floats) -> Floats:
    touches = np.bincount(group, sizes)
    weights: Floats = np.bincount(group, sizes * (sizes - 1)) / np.maximum(touches, 1.0) ** 2
    return weights


def _common(counts: "csr_array", weights: Floats, a: NDArray[Any], b: NDArray[Any]) -> Floats:
    """Sum over groups of both users' counts times the group's weight, shape [num_pairs]."""
    from scipy.sparse import csr_array, diags_array

    scaled = csr_array(counts @ diags_array(weights))
    # A pair costs what the first user's row holds.
    size = np.diff(counts.indptr)[a] + 1
    total = np.zeros(len(a))
    for part in blocks_of(size, LIKINGS_AT_ONCE):
        total[part] = counts[a[part]].multiply(scaled[b[part]]).sum(axis=1)
    return total
