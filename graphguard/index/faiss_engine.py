"""FAISS behind the `NeighborIndex` protocol: flat, inverted lists, graph, and GPU.

Johnson et al. 2017, "Billion-scale similarity search with GPUs"; Malkov and Yashunin 2016, "HNSW".
Structures are built by one thread from a seed, so one input makes one index; searches run on all
threads, which cannot change a query's answer. The search effort (cells probed, candidates kept) is
doubled until the recall on a sample of rows reaches the target.
"""

import importlib
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphguard.index.exact import recall, search_rows
from graphguard.index.protocol import (
    EXACT_BELOW,
    Floats,
    Ids,
    IndexInvalid,
    IndexSettings,
    check_k,
    normalised,
    ranked_candidates,
)

with warnings.catch_warnings():
    # SWIG's generated types lack __module__, which newer Pythons report at import.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*has no __module__.*")
    # By name, as the builds differ in what they declare: no type checker can know this module.
    faiss: Any = importlib.import_module("faiss")

_PAD = 16
"""Candidates asked for beyond k, among which exact ranking settles near ties."""
_SLACK = 2e-5
_TUNING_ROWS = 256
_TUNING_K = 32
_HNSW_LINKS = 32
_HNSW_BUILD_EFFORT = 80
_KMEANS_ROUNDS = 10
_KMEANS_ROWS_PER_CELL = 64


class FaissIndex:
    """A FAISS index that keeps its rows, so that candidates can be ranked exactly."""

    def __init__(self, dim: int, settings: IndexSettings | None = None) -> None:
        self._dim = dim
        self._settings = settings or IndexSettings(engine="flat")
        self._rows: Floats = np.empty((0, dim), dtype=np.float32)
        self._index: Any = None
        self._effort = 0
        self._engine = self._settings.engine
        if self._engine == "gpu":
            _check_gpu()

    @property
    def engine(self) -> str:
        """Name of the engine at work; 'flat' until a first `add` where the settings say 'auto'."""
        return "flat" if self._engine == "auto" else self._engine

    @property
    def effort(self) -> int:
        """Cells probed ('ivf') or candidates kept ('hnsw') by a search; 0 where it is exact."""
        return self._effort

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, vectors: Floats) -> None:
        """Append rows, see `NeighborIndex.add`; tunes the search effort anew.

        'ivf' learns its cells from the rows of the first call, which should hold most of them.
        """
        fresh = normalised(vectors, self._dim)
        if len(fresh) == 0:
            return
        if self._index is None:
            if self._engine == "auto":
                self._engine = "flat" if len(fresh) < EXACT_BELOW else "ivf"
            with _one_thread(), _told("building"):
                self._index = self._build(fresh)
        with _one_thread(), _told("adding rows"):
            self._index.add(fresh)
        self._rows = fresh if len(self._rows) == 0 else np.concatenate([self._rows, fresh])
        self._tune()

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ids]:
        """Return the nearest rows, see `NeighborIndex.search`.

        'flat' and 'gpu' are exact; 'ivf' and 'hnsw' may miss rows, but what they return is ranked
        exactly.
        """
        check_k(k)
        unit = normalised(queries, self._dim)
        if len(self._rows) == 0 or len(unit) == 0:
            return search_rows(unit, self._rows, k)
        rough, found = self._candidates(unit, min(len(self._rows), k + _PAD))
        query, place = np.nonzero(found >= 0)
        best, ids = ranked_candidates(unit, self._rows, (query, found[query, place]), k)
        if self._exact and found.shape[1] < len(self._rows):
            # More rows may tie with the last neighbour than were asked for: settle those exactly.
            open_end = np.flatnonzero(rough[:, -1] >= best[:, -1] - np.float32(_SLACK))
            if len(open_end):
                best[open_end], ids[open_end] = search_rows(unit[open_end], self._rows, k)
        return best, ids

    @property
    def _exact(self) -> bool:
        return self.engine in ("flat", "gpu")

    def _build(self, rows: Floats) -> Any:
        metric = faiss.METRIC_INNER_PRODUCT
        if self._engine == "flat":
            return faiss.IndexFlatIP(self._dim)
        if self._engine == "gpu":
            return faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(self._dim))
        if self._engine == "hnsw":
            graph = faiss.IndexHNSWFlat(self._dim, _HNSW_LINKS, metric)
            graph.hnsw.efConstruction = _HNSW_BUILD_EFFORT
            graph.hnsw.rng = faiss.RandomGenerator(self._settings.seed)
            return graph
        cells = max(1, min(int(2 * math.sqrt(len(rows))), len(rows) // 8))
        lists = faiss.IndexIVFFlat(faiss.IndexFlatIP(self._dim), self._dim, cells, metric)
        lists.cp.seed = self._settings.seed + 1
        lists.cp.niter = _KMEANS_ROUNDS
        lists.cp.min_points_per_centroid = 1
        lists.cp.max_points_per_centroid = _KMEANS_ROWS_PER_CELL
        lists.cp.spherical = True
        lists.train(rows)
        return lists

    def _candidates(self, queries: Floats, k: int) -> tuple[Floats, Ids]:
        with _threads(self._settings.threads), _told("searching"):
            if self._engine == "hnsw":
                parameters = faiss.SearchParametersHNSW(efSearch=max(self._effort, k))
                rough, found = self._index.search(queries, k, params=parameters)
            elif self._engine == "ivf":
                parameters = faiss.SearchParametersIVF(nprobe=self._effort)
                rough, found = self._index.search(queries, k, params=parameters)
            else:
                rough, found = self._index.search(queries, k)
        return rough, found

    def _tune(self) -> None:
        """Double the search effort until a sample of rows finds its true neighbours."""
        if self._exact:
            return
        rng = np.random.default_rng(self._settings.seed)
        size = min(_TUNING_ROWS, len(self._rows))
        sample = self._rows[np.sort(rng.choice(len(self._rows), size=size, replace=False))]
        k = min(_TUNING_K, len(self._rows))
        true, _ = search_rows(sample, self._rows, k)
        most = self._index.nlist if self._engine == "ivf" else len(self._rows)
        self._effort = min(most, 4 if self._engine == "ivf" else 2 * k)
        while self._effort < most:
            found, _ = self.search(sample, k)
            if recall(found, true) >= self._settings.target_recall:
                return
            self._effort = min(most, 2 * self._effort)


def _check_gpu() -> None:
    count: Callable[[], int] | None = getattr(faiss, "get_num_gpus", None)
    able = hasattr(faiss, "StandardGpuResources")
    if not able or count is None or count() == 0:
        found = "sees no GPU" if able else "is the CPU build"
        message = (
            f"index.engine = 'gpu', but the installed faiss {found}; use 'auto', "
            f"or pip install 'graphguard[gpu]' on a machine with a GPU"
        )
        raise IndexInvalid(message)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(number or before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _one_thread() -> Any:
    return _threads(1)


@contextmanager
def _told(doing: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        message = f"out of memory while {doing}; use fewer rows or a smaller embedding"
        raise IndexInvalid(message) from error
    except RuntimeError as error:
        # FAISS puts the C++ file and line first; the user needs the last words.
        last = str(error).strip().splitlines()[-1] if str(error).strip() else "no message"
        message = f"FAISS failed while {doing}: {last}"
        raise IndexInvalid(message) from error
