"""Work in a few threads: Parquet, Polars and NumPy leave the interpreter free while they run."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import polars as pl

T = TypeVar("T")
R = TypeVar("R")


class Threads:
    """A few threads that do one thing to many items, in order."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def each(self, task: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """`task` of every item, in the order of the items.

        The first error, in that order, ends it: what has not begun is dropped.
        """
        started = [self._pool.submit(task, item) for item in items]
        try:
            wait(started, return_when=FIRST_EXCEPTION)
        finally:
            for one in started:
                one.cancel()
            wait(started)
        broken = [one for one in started if not one.cancelled() and one.exception() is not None]
        return [one.result() for one in broken or started]


@contextmanager
def threads() -> Iterator[Threads]:
    """As many threads as Polars uses."""
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        yield Threads(pool)
