"""Several ranks make the model of one; a rank that dies ends them all and says which it was."""

import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from graphguard.errors import BadSetting, Exit, RankFailed
from graphguard.evaluate.metrics import auprc
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.timed_edges import TimedEdges
from graphguard.models.agent import first_to_end
from graphguard.models.base import GraphContext, Upkeep, open_model
from graphguard.models.rows_files import map_rows, write_rows
from graphguard.models.team import Team

SMALL = {
    "fanouts": (6, 4),
    "hidden": 16,
    "epochs": 6,
    "batch_rows": 100,
    "learning_rate": 0.01,
    "seed": 5,
    "device": "cpu",
}


def at(rows, anchor):
    return rows.take(np.flatnonzero(rows.anchor_us == anchor))


def fitted(platform, ranks, upkeep=None):
    context, rows = platform
    model = open_model("sage", {**SMALL, "ranks": ranks})
    model.fit(at(rows, 20), at(rows, 40), context, upkeep)
    return model


def test_one_two_and_four_ranks_make_models_that_rank_alike(platform):
    context, rows = platform
    test, told = at(rows, 60), []
    models = {1: fitted(platform, 1)}
    for ranks in (2, 4):
        upkeep = Upkeep(tell=lambda *one: told.append(one))
        models[ranks] = fitted(platform, ranks, upkeep)

    value = {ranks: auprc(one.predict(test, context), test.label) for ranks, one in models.items()}
    assert value[1] > 0.6
    assert value[2] == pytest.approx(value[1], abs=0.005)
    assert value[4] == pytest.approx(value[1], abs=0.005)
    # Not only as good: the same steps, up to the order of sums.
    for ranks in (2, 4):
        assert models[ranks].curve == pytest.approx(models[1].curve, rel=1e-3)
    assert told[-1][:2] == (36, 36)
    assert told[-1][2] == "sage: epoch 6 of at most 6"


def test_a_killed_rank_ends_the_training_with_its_number_and_signal(
    platform, monkeypatch, tmp_path
):
    monkeypatch.setenv("GRAPHGUARD_KILL_AT", "train:sage:1:2:3")
    upkeep = Upkeep(folder=tmp_path / "checkpoint")
    handler = signal.getsignal(signal.SIGTERM)
    started = time.monotonic()

    with pytest.raises(RankFailed) as caught:
        fitted(platform, 2, upkeep)

    assert time.monotonic() - started < 60
    assert (caught.value.rank, caught.value.ranks, caught.value.code) == (1, 2, -signal.SIGKILL)
    assert caught.value.exit_code == Exit.TRANSIENT
    assert str(caught.value).startswith(
        "rank 1 of 2 ended with signal 9, and the training with it; the same command goes on from "
        "the last checkpoint"
    )
    assert signal.getsignal(signal.SIGTERM) == handler
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    # What two ranks left off, one goes on with.
    monkeypatch.delenv("GRAPHGUARD_KILL_AT")
    notes = []
    resumed = fitted(platform, 1, Upkeep(note=notes.append, folder=tmp_path / "checkpoint"))
    assert notes == ["sage: goes on after 2 epochs and 0 batches"]
    assert resumed.curve == pytest.approx(fitted(platform, 1).curve, rel=1e-3)


def test_a_rank_that_fails_tells_its_last_words(platform, tmp_path, monkeypatch):
    context, rows = platform
    gone = GraphContext(HeteroGraph.open(context.graph.folder), "user", 10, rows)
    monkeypatch.setattr(gone.graph, "_folder", tmp_path / "no graph here")

    with pytest.raises(RankFailed, match=r"exit code 65.*: ArtefactInvalid: .*no graph here"):
        fitted((gone, rows), 2)


@pytest.mark.parametrize(
    ("codes", "rank"),
    [
        ({0: 1, 1: -signal.SIGKILL, 2: -signal.SIGTERM}, 1),
        ({0: 1, 1: int(Exit.DATA)}, 1),
        ({2: 1, 0: -signal.SIGTERM}, 2),
        ({1: -signal.SIGTERM, 0: 1}, 1),
        ({0: int(Exit.DATA), 1: -signal.SIGSEGV}, 1),
    ],
)
def test_the_rank_that_brought_the_others_down_is_named(codes, rank):
    assert first_to_end(codes) == rank


def test_an_error_on_the_way_ends_the_ranks(platform, tmp_path):
    def tell(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(platform, 2, Upkeep(tell=tell, folder=tmp_path / "checkpoint"))

    assert psutil.Process().children(recursive=True) == []
    assert not (tmp_path / "ranks").exists()


@pytest.mark.slow
def test_ranks_die_with_the_process_that_started_them(fit_apart, tmp_path):
    settings = {**SMALL, "ranks": 2, "epochs": 10_000, "patience": 10_000}
    with subprocess.Popen(fit_apart(settings)) as job:
        started = time.monotonic()
        while not (tmp_path / "checkpoint" / "checkpoint.json").exists():
            assert time.monotonic() - started < 120
            time.sleep(0.1)
        ranks = psutil.Process(job.pid).children(recursive=True)
        job.kill()

    assert len(ranks) == 3
    gone, alive = psutil.wait_procs(ranks, timeout=20)
    assert (len(gone), alive) == (3, [])


def test_ranks_need_a_mapped_graph(platform):
    context, rows = platform
    memory = HeteroGraph({"user": 600, "device": 75}, {}, {})

    with pytest.raises(BadSetting, match="ranks: needs a graph of mapped files"):
        fitted((GraphContext(memory, "user", 10, rows), rows), 2)


def test_edges_on_the_cpu_are_the_mapped_files_themselves(platform):
    graph = platform[0].graph
    edges = TimedEdges(graph, 10, "cpu")
    for step in edges.steps:
        side = graph.into(step.stored) if step.by_target else graph.out(step.stored)
        assert isinstance(side.neighbor, np.memmap)
        assert edges.of(step).neighbor.data_ptr() == side.neighbor.ctypes.data
        assert edges.of(step).time.data_ptr() == side.time_us.ctypes.data


def test_rows_come_back_from_their_files(platform, tmp_path):
    _, rows = platform
    write_rows(tmp_path, rows)
    back = map_rows(tmp_path)

    assert back.names == rows.names
    assert isinstance(back.x, np.memmap)
    for name in ("node", "anchor_us", "x", "label"):
        assert (getattr(back, name) == getattr(rows, name)).all()


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_shares_of_ranks_cover_everything_once(count):
    shares = [np.arange(count)[Team(rank, 4).share(count)] for rank in range(4)]

    assert np.concatenate(shares).tolist() == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_rank_that_is_done_is_not_torn_down():
    script = (
        "import atexit; from graphguard.models import rank; "
        "atexit.register(print, 'torn down'); print('done'); rank.end(3)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, "done\n")
