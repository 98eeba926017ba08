"""Work in a few threads: Parquet, Polars and NumPy leave the interpreter free while they run."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Generic, TypeVar

import polars as pl

T = TypeVar("T")
R = TypeVar("R")


class Started(Generic[R]):
    """Work that was handed to threads, and goes on while the caller does something else."""

    def __init__(self, tasks: list[Future[R]]) -> None:
        self._tasks = tasks

    def results(self) -> list[R]:
        """Wait for all of it: what came of the items, in their order.

        The first error, in that order, ends it: what has not begun is dropped.
        """
        try:
            wait(self._tasks, return_when=FIRST_EXCEPTION)
        finally:
            for one in self._tasks:
                one.cancel()
            wait(self._tasks)
        ended = [one for one in self._tasks if not one.cancelled()]
        broken = [one for one in ended if one.exception() is not None]
        return [one.result() for one in broken or self._tasks]


class Threads:
    """A few threads that do one thing to many items, in order."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def each(self, task: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """`task` of every item, in the order of the items; errors as of `Started.results`."""
        return self.start(task, items).results()

    def start(self, task: Callable[[T], R], items: Iterable[T]) -> Started[R]:
        """Begin with the items, in their order, after all that was begun before."""
        return Started([self._pool.submit(task, item) for item in items])


@contextmanager
def threads(beside: int = 0) -> Iterator[Threads]:
    """As many threads as Polars uses, less some that are at work beside them, one at least.

    After an error, what has not begun is dropped.
    """
    with ThreadPoolExecutor(max(1, pl.thread_pool_size() - beside)) as pool:
        try:
            yield Threads(pool)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
