"""Fit the models of a night so that a kill costs little: what is done is kept beside the stage."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graphguard.jobs.context import Job
from graphguard.models.base import (
    Adopts,
    GraphContext,
    Model,
    Rows,
    Upkeep,
    known_settings,
    load_model,
    open_model,
)
from graphguard.models.search import Slices, Trial, best_of, search_settings
from graphguard.tables.commit import read_manifest
from graphguard.tables.files import fingerprint, read_json, replace_json

FITTED = "fitted.json"
"""Written last beside a model that was fitted: names the inputs it was fitted on."""
ENSEMBLE = "ensemble"
TRIALS = "trials.json"
SHARED = ("seed", "device", "ranks")
"""Settings of training as a whole, given to each model that knows them."""


@dataclass(frozen=True)
class Fitted:
    """The models of a night.

    Attributes:
        models: Model by family, in the config's order.
        trials: What a search has tried, by family; empty without a search.
    """

    models: dict[str, Model]
    trials: dict[str, list[Trial]]


def fit_models(job: Job, train: Rows, valid: Rows, context: GraphContext) -> Fitted:
    """Fit every model of the config, or take those that a killed run of this night has fitted.

    Where the config asks for a search, its best settings are fitted. Models and checkpoints are
    kept in the folder of the stage that outlives a kill; the night removes it once the stage is
    committed.
    """
    settings = job.config.training
    inputs = _inputs(job)
    models: dict[str, Model] = {}
    trials: dict[str, list[Trial]] = {}
    # An ensemble adds up what the others have learned.
    order = sorted(settings.models, key=lambda name: name == ENSEMBLE)
    for number, name in enumerate(order, 1):
        folder = job.run.kept("train") / name
        if settings.search.trials and name in settings.search.families:
            tools = (Upkeep(job.reporter.step), KeptTrials(folder / TRIALS, inputs))
            slices = Slices(train, valid, context)
            standing, budget = model_settings(job, name), settings.search.trials
            trials[name] = search_settings(name, standing, slices, budget, tools)
        model = fitted_before(folder, inputs)
        if model is None:
            best = best_of(trials[name]).settings if name in trials else {}
            model = open_model(name, {**model_settings(job, name), **best})
            if isinstance(model, Adopts):
                model.adopt(models)
            upkeep = Upkeep(job.reporter.step, job.reporter.note, folder / "checkpoint", inputs)
            model.fit(train, valid, context, upkeep)
            model.save(folder / "model")
            replace_json(folder / FITTED, {"inputs": inputs})
        else:
            job.reporter.note(f"{name}: fitted before the run was interrupted", model=name)
        models[name] = model
        job.reporter.step(number, len(settings.models), name)
    return Fitted({name: models[name] for name in settings.models}, trials)


class KeptTrials:
    """Trials of a search in a file, for the same inputs only."""

    def __init__(self, path: Path, inputs: str) -> None:
        self._path, self._inputs = path, inputs

    def load(self) -> list[Trial]:
        """Trials that a killed run of this night has made, in order."""
        if not self._path.is_file():
            return []
        held = read_json(self._path)
        return [Trial(**one) for one in held["trials"]] if held["inputs"] == self._inputs else []

    def save(self, trials: Sequence[Trial]) -> None:
        """Keep the trials that are done."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_json(
            self._path, {"inputs": self._inputs, "trials": [asdict(trial) for trial in trials]}
        )


def model_settings(job: Job, name: str) -> dict[str, Any]:
    """A model's own settings, and those of training as a whole that it knows."""
    training = job.config.training
    known = known_settings(name)
    shared = {key: getattr(training, key) for key in SHARED if key in known}
    options = {**getattr(training, name).model_dump(), **shared}
    if name == ENSEMBLE:
        members = training.ensemble.members
        options["settings"] = {member: model_settings(job, member) for member in members}
    return options


def fitted_before(folder: Path, inputs: str) -> Model | None:
    """The model that was fitted into `folder` on these inputs; None where there is none."""
    path = folder / FITTED
    if path.is_file() and read_json(path)["inputs"] == inputs:
        return load_model(folder / "model")
    return None


def _inputs(job: Job) -> str:
    """Names all that the stage reads: the config, the versions, and every stage before it."""
    run = job.run
    made_of: list[Any] = [
        job.config.training.model_dump(mode="json"),
        read_json(run.folder / "versions.json"),
    ]
    for stage in ("ingest", "build_graph", "link", "featurize"):
        if run.has(stage):
            manifest = read_manifest(run.stage(stage))
            made_of.append([manifest["files"], manifest.get("partitions")])
            made_of.append(manifest.get("erasures"))
    return fingerprint(made_of)
