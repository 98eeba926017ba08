"""A training that is killed goes on to the same loss curve, the same weights, the same scores."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest

from graphguard.models import training
from graphguard.models.base import Upkeep, known_settings, load_model, open_model

SMALL = {
    "fanouts": (6, 4),
    "hidden": 16,
    "epochs": 5,
    "batch_rows": 100,
    "learning_rate": 0.01,
    "seed": 5,
    "device": "cpu",
}


class KilledHere(Exception):  # noqa: N818
    """Stands for a kill between two batches."""


def at(rows, anchor):
    return rows.take(np.flatnonzero(rows.anchor_us == anchor))


def fit(platform, upkeep=None, family="sage", **settings):
    context, rows = platform
    taken = {key: value for key, value in SMALL.items() if key in known_settings(family)}
    model = open_model(family, {**taken, **settings})
    model.fit(at(rows, 20), at(rows, 40), context, upkeep)
    return model


def scores(platform, model):
    context, rows = platform
    return model.predict(at(rows, 60), context)


def stop_after(batches):
    """Upkeep that ends the training after so many batches."""

    def tell(done, total, what):
        if done == batches:
            raise KilledHere

    return tell


def test_a_training_killed_by_sigkill_goes_on_to_the_same_scores(platform, fit_apart, tmp_path):
    command = fit_apart(SMALL)
    killing = {**os.environ, "GRAPHGUARD_KILL_AT": "train:sage:0:2:4"}

    killed = subprocess.run(command, env=killing, check=False, capture_output=True)
    left = json.loads((tmp_path / "checkpoint" / "checkpoint.json").read_text())
    subprocess.run(command, check=True, capture_output=True)

    assert killed.returncode == -signal.SIGKILL
    assert (left["standing"]["epoch"], left["standing"]["ended"]) == (2, False)
    calm, resumed = fit(platform), load_model(tmp_path / "model")
    assert resumed.curve == calm.curve
    assert len(calm.curve) == 5
    assert (scores(platform, resumed) == scores(platform, calm)).all()


@pytest.mark.parametrize("family", ["sage", "rgcn", "hgt", "dgl_rgcn", "propagated"])
@pytest.mark.parametrize("batches", [3, 12, 17])
def test_it_goes_on_from_any_batch(platform, tmp_path, monkeypatch, family, batches):
    monkeypatch.setattr(training, "CHECKPOINT_S", 0.0)
    settings = {"epochs": 3}
    with pytest.raises(KilledHere):
        fit(platform, Upkeep(stop_after(batches), folder=tmp_path), family, **settings)
    notes, done = [], []
    upkeep = Upkeep(lambda *one: done.append(one[0]), notes.append, tmp_path)
    resumed = fit(platform, upkeep, family, **settings)
    calm = fit(platform, None, family, **settings)

    # Told before it is kept: the batch at which it stopped is done anew.
    epochs, rest = divmod(batches - 1, 6)
    assert notes == [f"{family}: goes on after {epochs} epochs and {rest} batches"]
    assert done == list(range(batches, 19))
    assert resumed.curve == calm.curve
    assert (scores(platform, resumed) == scores(platform, calm)).all()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_training_that_has_ended_is_not_done_again(platform, tmp_path):
    first = fit(platform, Upkeep(folder=tmp_path), epochs=2)
    told = []
    again = fit(platform, Upkeep(lambda *one: told.append(one), folder=tmp_path), epochs=2)

    assert told == []
    assert again.curve == first.curve
    assert (scores(platform, again) == scores(platform, first)).all()


def other_label(rows):
    label = rows.label.copy()
    label[0] = 1 - label[0]
    return rows.__class__(rows.node, rows.anchor_us, rows.x, rows.names, label)


def other_neighbour(context):
    x = context.rows.x.copy()
    x[-1, 0] += 1
    rows = context.rows
    changed = rows.__class__(rows.node, rows.anchor_us, x, rows.names, rows.label)
    return context.__class__(context.graph, "user", 10, changed)


@pytest.mark.parametrize("change", ["label", "neighbour", "settings", "inputs", "torn", "absent"])
def test_a_checkpoint_of_anything_else_is_never_taken(platform, tmp_path, change):
    context, rows = platform
    fit(platform, Upkeep(folder=tmp_path, inputs="one"), epochs=1)
    train, settings, inputs = at(rows, 20), {**SMALL, "epochs": 1}, "one"
    if change == "label":
        train = other_label(train)
    elif change == "neighbour":
        context = other_neighbour(context)
    elif change == "settings":
        settings["learning_rate"] = 0.02
    elif change == "inputs":
        inputs = "other"
    else:
        (path,) = tmp_path.glob("*.safetensors")
        data = path.read_bytes()
        path.unlink() if change == "absent" else path.write_bytes(data[:-1] + b"!")
    told, notes = [], []
    model = open_model("sage", settings)
    upkeep = Upkeep(lambda *one: told.append(one), notes.append, tmp_path, inputs)
    model.fit(train, at(rows, 40), context, upkeep)

    assert notes == []
    assert len(told) == 6
