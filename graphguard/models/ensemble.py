"""The ensemble: families that were fitted apart, their log-odds added up with learned weights.

The weights are learned on the selection slice, cross-fitted: users are in folds by their keys, and
a row is added up with weights that were learned without its fold (`stack.py`, `folds.py`). So the
slice judges the ensemble as fairly as it judges the members.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from graphguard.config.training import EnsembleConfig
from graphguard.errors import ArtefactInvalid, BadSetting
from graphguard.models.base import (
    Explains,
    GraphContext,
    Model,
    Refits,
    Rows,
    Upkeep,
    labels_of,
    load_model,
    open_model,
    read_model_file,
    write_model_file,
)
from graphguard.models.folds import node_keys, row_folds
from graphguard.models.stack import Stack, fit_stack

Floats = NDArray[np.float32]
MEMBERS = "members"
FOLDS = 5
_DEFAULT = EnsembleConfig()


@dataclass(frozen=True)
class EnsembleSettings:
    """Settings of `ensemble`.

    Attributes:
        members: Families to add up, two or more.
        settings: Settings of each member by name; missing ones keep their defaults.
        seed: Seed of the folds, and of members whose settings name none.
        device: Where members compute whose settings do not say it.
    """

    members: tuple[str, ...] = _DEFAULT.members
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 7
    device: str = "auto"


class EnsembleModel:
    """Several models behind the `Model` protocol.

    Attributes:
        members: Fitted models by family.
        stacks: Weights of each fold of users; one for all where positives are too few to fold.
    """

    name = "ensemble"

    def __init__(self, settings: EnsembleSettings | None = None) -> None:
        self.settings = settings or EnsembleSettings()
        named = self.settings.members
        if len(named) < 2 or len(set(named)) < len(named) or self.name in named:
            reason = f"must be two or more different families, got {', '.join(named) or 'none'}"
            raise BadSetting(path="training", key="ensemble.members", reason=reason)
        self.members: dict[str, Model] = {}
        self.stacks: tuple[Stack, ...] = ()
        self._adopted: set[str] = set()

    def adopt(self, models: Mapping[str, Model]) -> None:
        """Take members that are fitted already, on the same rows; others are fitted by `fit`."""
        mine = {name: model for name, model in models.items() if name in self.settings.members}
        self.members |= mine
        self._adopted |= set(mine)

    def fit(
        self, train: Rows, valid: Rows, context: GraphContext, upkeep: Upkeep | None = None
    ) -> None:
        """Fit the members that were not adopted, and learn the weights on `valid`.

        Raises:
            TooFewLabels: A slice lacks positives or negatives.
        """
        label = labels_of("valid", valid)
        for name in self.settings.members:
            if name not in self._adopted:
                self.members[name] = self._open(name)
                self.members[name].fit(train, valid, context, _apart(upkeep, name))
        scores, fold = self._scores(valid, context), self._folds(valid, context)
        complements = [np.flatnonzero(fold != number) for number in range(FOLDS)]
        if any(len(np.unique(label[rows])) < 2 for rows in complements):
            complements = [np.arange(len(valid))]
        self.stacks = tuple(fit_stack(scores[rows], label[rows]) for rows in complements)

    def refit(self, rows: Rows, context: GraphContext) -> None:
        """Let members learn anew from more rows; those that were adopted are their owner's care."""
        for name, member in self.members.items():
            if name not in self._adopted and isinstance(member, Refits):
                member.refit(rows, context)

    def predict(self, rows: Rows, context: GraphContext) -> Floats:
        """Probability of each row, shape [n], float32, uncalibrated."""
        scores = self._scores(rows, context)
        if len(self.stacks) == 1:
            return self.stacks[0].apply(scores).astype(np.float32)
        fold = self._folds(rows, context)
        found = np.zeros(len(rows), dtype=np.float32)
        for number, stack in enumerate(self.stacks):
            mine = fold == number
            found[mine] = stack.apply(scores[mine])
        return found

    def embed(self, rows: Rows, context: GraphContext) -> Floats:
        """The members' vectors side by side, each of length 1 times the root of its weight's share.

        So the cosine of two rows is the mean of the members' cosines, weighted as the score is.
        """
        parts = []
        for share, member in zip(self.shares.values(), self._fitted().values(), strict=True):
            vectors = member.embed(rows, context)
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            parts.append(vectors / np.maximum(length, 1e-12) * np.sqrt(share))
        return np.concatenate(parts, axis=1).astype(np.float32)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each member in the weights, mean of the folds."""
        mean = np.mean([stack.shares for stack in self.stacks], axis=0)
        return dict(zip(self.settings.members, mean.tolist(), strict=True))

    @property
    def explainer(self) -> Explains | None:
        """The member whose columns explain scores; None where no member can."""
        able = (member for member in self.members.values() if isinstance(member, Explains))
        return next(able, None)

    def save(self, folder: Path) -> None:
        """Write the members into folders of their own, and the weights as JSON."""
        stacks = [
            {
                "mean": stack.mean.tolist(),
                "scale": stack.scale.tolist(),
                "weight": stack.weight.tolist(),
                "bias": stack.bias,
            }
            for stack in self.stacks
        ]
        for name, member in self._fitted().items():
            member.save(folder / MEMBERS / name)
        content = {
            "name": self.name,
            "settings": asdict(self.settings),
            "stacks": stacks,
            "shares": self.shares,
        }
        write_model_file(folder, content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Bring back what `save` wrote.

        Raises:
            ArtefactInvalid: A file is missing, damaged, or of another model.
        """
        content = read_model_file(folder)
        try:
            held = dict(content["settings"])
            model = cls(EnsembleSettings(**{**held, "members": tuple(held["members"])}))
            model.stacks = tuple(
                _read_stack(one, len(held["members"])) for one in content["stacks"]
            )
            if len(model.stacks) not in (1, FOLDS):
                message = f"{len(model.stacks)} stacks"
                raise ValueError(message)
        except (KeyError, TypeError, ValueError, BadSetting) as error:
            reason = f"not an ensemble ({error})"
            raise ArtefactInvalid(folder / "model.json", reason) from error
        model.members = {
            name: load_model(folder / MEMBERS / name) for name in model.settings.members
        }
        return model

    def _open(self, name: str) -> Model:
        own = {"seed": self.settings.seed, "device": self.settings.device}
        return open_model(name, {**own, **self.settings.settings.get(name, {})})

    def _fitted(self) -> dict[str, Model]:
        """The members in the order of their weights."""
        if not self.stacks:
            message = f"{self.name} is not fitted yet"
            raise ValueError(message)
        return {name: self.members[name] for name in self.settings.members}

    def _scores(self, rows: Rows, context: GraphContext) -> NDArray[np.float64]:
        """Probability by each member, shape [n, members]."""
        found = [self.members[name].predict(rows, context) for name in self.settings.members]
        return np.stack(found, axis=1).astype(np.float64)

    def _folds(self, rows: Rows, context: GraphContext) -> NDArray[np.int64]:
        keys = node_keys(context).gather(rows.node)
        return row_folds(rows.node, keys, (FOLDS, self.settings.seed), context.group)


def _apart(upkeep: Upkeep | None, name: str) -> Upkeep | None:
    """The upkeep of one member: its checkpoints lie in a folder of their own."""
    if upkeep is None or upkeep.folder is None:
        return upkeep
    return replace(upkeep, folder=upkeep.folder / name)


def _read_stack(one: Mapping[str, Any], members: int) -> Stack:
    mean, scale, weight = (
        np.array(one[name], dtype=np.float64) for name in ("mean", "scale", "weight")
    )
    if {array.shape for array in (mean, scale, weight)} != {(members,)}:
        message = f"weights of another number of members than {members}"
        raise ValueError(message)
    return Stack(mean, scale, weight, float(one["bias"]))
