"""A small search of settings on the selection slice, with a stated budget of trials.

Each family has a fixed space; the first trial is the settings as they stand, so that the best is
never behind them on the slice. Bergstra et al. 2011, "Algorithms for hyper-parameter optimization",
as optuna has it. No other slice is looked at: the figures of the newest anchor stay honest, those
of the selection slice flatter the winner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphguard.errors import BadSetting, MissingExtra
from graphguard.evaluate.metrics import auprc
from graphguard.models.base import GraphContext, Rows, Upkeep, labels_of, open_model

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`; by their logarithm, or whole ones, where it is said."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


Space = Mapping[str, Span | tuple[Any, ...]]
"""A span, or a few values to choose from, by setting."""

_NETWORK: Space = {
    "hidden": (32, 64, 128),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "dropout": Span(0.0, 0.5),
    "loss": ("weighted", "focal"),
}
SPACES: dict[str, Space] = {
    "trees": {
        "depth": Span(3, 8, whole=True),
        "learning_rate": Span(0.02, 0.1, log=True),
        "min_child_weight": Span(1.0, 10.0, log=True),
        "column_share": Span(0.3, 0.8),
        "row_share": Span(0.6, 0.95),
        "l2": Span(0.5, 20.0, log=True),
        "hops": (1, 2),
    },
    "propagated": {**_NETWORK, "hops": (1, 2)},
    **dict.fromkeys(("sage", "rgcn", "hgt", "dgl_rgcn"), _NETWORK),
}


@dataclass(frozen=True)
class Trial:
    """One try.

    Attributes:
        settings: What was tried, by setting of the space; empty for the settings as they stood.
        auprc: Average precision on the selection slice.
    """

    settings: Settings
    auprc: float


class Memory(Protocol):
    """Keeps trials while a search goes on, so that a kill loses one at most."""

    def load(self) -> Sequence[Trial]:
        """Trials of this very search that are done, in order."""
        ...

    def save(self, trials: Sequence[Trial]) -> None:
        """Keep the trials that are done."""
        ...


class Forgetful:
    """Keeps nothing."""

    def load(self) -> Sequence[Trial]:
        """No trials."""
        return ()

    def save(self, trials: Sequence[Trial]) -> None:
        """Keep nothing."""


@dataclass(frozen=True)
class Slices:
    """What a search may look at: rows to learn from, and later ones to judge by."""

    train: Rows
    valid: Rows
    context: GraphContext


def search_settings(
    family: str,
    settings: Settings,
    slices: Slices,
    trials: int,
    tools: tuple[Upkeep, Memory] | None = None,
) -> list[Trial]:
    """Try settings of one family.

    Args:
        family: A key of `SPACES`.
        settings: Its settings as they stand; those outside the space stay as they are. `seed` is
            the search's seed too.
        slices: Training and selection slice.
        trials: How many to try, 1 or more, the standing settings among them.
        tools: Whom to tell progress, and what keeps finished trials.

    Returns:
        The trials in order; the same input makes the same trials.

    Raises:
        BadSetting: The family has no space, or `trials` is below 1.
        MissingExtra: optuna is not installed.
        TooFewLabels: A slice lacks positives or negatives.

    Cost: `trials` times a fit.
    """
    if family not in SPACES or trials < 1:
        reason = f"needs 1 trial or more of {', '.join(SPACES)}, got {trials} of '{family}'"
        raise BadSetting(path="training", key="search", reason=reason)
    optuna = _import_optuna()
    upkeep, memory = tools or (Upkeep(), Forgetful())
    label = labels_of("valid", slices.valid)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(
            seed=int(settings.get("seed", 7)), n_startup_trials=max(trials // 4, 3)
        ),
    )
    done, found = list(memory.load()), list[Trial]()
    for number in range(trials):
        # The first trial changes nothing: the settings as they stand may lie outside the space.
        asked = study.ask() if number else None
        chosen = {} if asked is None else _drawn(asked, SPACES[family])
        # The sampler draws the same again, so a trial that a killed search made stands for itself.
        kept = number < len(done) and dict(done[number].settings) == chosen
        if kept:
            value = done[number].auprc
        else:
            model = open_model(family, {**settings, **chosen})
            model.fit(slices.train, slices.valid, slices.context)
            value = float(auprc(model.predict(slices.valid, slices.context), label))
        if asked is not None:
            study.tell(asked, value)
        found.append(Trial(chosen, value))
        if not kept:
            memory.save(found)
        upkeep.tell(number + 1, trials, f"{family}: search, trial {number + 1}")
    return found


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial of highest average precision; the earlier one of equals.

    Raises:
        ValueError: There is none.
    """
    return max(trials, key=lambda trial: trial.auprc)


def _drawn(asked: Any, space: Space) -> dict[str, Any]:
    return {name: _draw(asked, name, one) for name, one in space.items()}


def _draw(asked: Any, name: str, one: Span | tuple[Any, ...]) -> Any:
    if not isinstance(one, Span):
        return asked.suggest_categorical(name, list(one))
    if one.whole:
        return asked.suggest_int(name, int(one.low), int(one.high))
    return asked.suggest_float(name, one.low, one.high, log=one.log)


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        feature = "training.search"
        raise MissingExtra(feature, "search") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
