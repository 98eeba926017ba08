"""What all models on sampled neighbourhoods share: fit, predict, embed, save, load.

A family adds its settings and its kind of round (`tree_net.Round`). The columns that
`features/neighbours.py` averages are left to the trees: a network makes its own averages.
"""

from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import nn

from graphguard.errors import ArtefactInvalid
from graphguard.graph.hetero import EdgeType
from graphguard.graph.sampling import TemporalSampler
from graphguard.models.base import (
    GraphContext,
    Rows,
    Upkeep,
    labels_of,
    read_model_file,
    write_model_file,
)
from graphguard.models.link_pushes import LinkPushes, occluded
from graphguard.models.network_settings import SampledSettings
from graphguard.models.team import Team
from graphguard.models.torch_device import deterministic, pick_torch_device
from graphguard.models.training import (
    Course,
    Lesson,
    judged_rows,
    scores_of,
    told_apart,
    train_network,
)
from graphguard.models.transform import InputTransform
from graphguard.models.tree_inputs import RowTable, TreeInputs, input_table
from graphguard.models.tree_net import TreeNet

Floats = NDArray[np.float32]
NEIGHBOUR_MARK = ".nbr_"
WEIGHTS = "weights.safetensors"


class SampledModel:
    """A network on sampled trees behind the `Model` protocol; the base of the families."""

    name: ClassVar[str]
    settings_class: ClassVar[type[SampledSettings]]
    round_class: ClassVar[type[nn.Module]]

    def __init__(self, settings: SampledSettings | None = None) -> None:
        self.settings = settings or self.settings_class()
        self.transform: InputTransform | None = None
        self.node_type = "user"
        self.edge_types: list[EdgeType] = []
        self.net: TreeNet | None = None
        self.curve: list[float] = []
        """Mean loss of each epoch of the last `fit`."""

    def fit(
        self, train: Rows, valid: Rows, context: GraphContext, upkeep: Upkeep | None = None
    ) -> None:
        """Learn from `train`; stop early on the AUPRC of `valid`.

        Raises:
            TooFewLabels: A slice lacks positives or negatives.
        """
        labels_of("train", train)
        labels_of("valid", valid)
        self.device()  # a GPU that is not there is told before any work
        upkeep = told_apart(upkeep or Upkeep(), context)
        if self.settings.ranks == 1:
            self.fit_share(train, valid, context, upkeep)
            return
        from graphguard.models.ranks import trained_in_ranks

        made = {"name": self.name, "settings": asdict(self.settings)}
        with trained_in_ranks(made, (train, valid), context, upkeep) as folder:
            self.__dict__.update(self.load(folder).__dict__)

    def fit_share(
        self,
        train: Rows,
        valid: Rows,
        context: GraphContext,
        upkeep: Upkeep,
        among: tuple[Team, Path] | None = None,
    ) -> None:
        """Fit as one of the ranks that train together; `among` is its place and their folder."""
        judge = judged_rows(valid, self.settings.seed)
        own = [name for name in train.names if NEIGHBOUR_MARK not in name]
        self.transform = InputTransform.fit(train.select(tuple(own)))
        self.edge_types = list(context.graph.edge_types)
        self.node_type = context.node_type
        with deterministic(self.settings.seed, self.device()):
            self.net = self._make().to(self.device())
            lesson = Lesson(train, judge, self._inputs(context, among))
            team = among[0] if among else Team()
            course = Course(self.name, self.settings, upkeep, team)
            self.curve = train_network(self.net, lesson, course)

    def predict(self, rows: Rows, context: GraphContext) -> Floats:
        """Probability of each row, shape [n], float32, uncalibrated."""
        return self._run(rows, context)[0]

    def embed(self, rows: Rows, context: GraphContext) -> Floats:
        """Last hidden layer of each row, shape [n, hidden], length 1."""
        hidden = self._run(rows, context)[1]
        length = np.linalg.norm(hidden, axis=1, keepdims=True)
        return np.asarray(hidden / np.maximum(length, 1e-12), dtype=np.float32)

    def link_pushes(self, rows: Rows, context: GraphContext, *, every: bool = False) -> LinkPushes:
        """How far each link a row's user drew, or `every` link of its tree, moved its log-odds."""
        net, _ = self._fitted()
        with deterministic(self.settings.seed, self.device()):
            return occluded(net, self._inputs(context), rows, every=every)

    def save(self, folder: Path) -> None:
        """Write weights and transform as safetensors, settings as JSON."""
        net, transform = self._fitted()
        arrays = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
        arrays |= {
            "transform.mean": transform.mean,
            "transform.scale": transform.scale,
            "transform.marked": transform.marked,
        }
        content = {
            "name": self.name,
            "settings": asdict(self.settings),
            "columns": list(transform.names),
            "node_type": self.node_type,
            "edge_types": [list(one) for one in self.edge_types],
            "curve": self.curve,
        }
        write_model_file(folder, content)
        (folder / WEIGHTS).write_bytes(save_arrays(dict(sorted(arrays.items()))))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Bring back what `save` wrote.

        Raises:
            ArtefactInvalid: A file is missing, damaged, or of another model.
        """
        content = read_model_file(folder)
        path = folder / WEIGHTS
        try:
            arrays = load_arrays(path.read_bytes())
            settings = {**content["settings"], "fanouts": tuple(content["settings"]["fanouts"])}
            model = cls(cls.settings_class(**settings))
            model.node_type = content["node_type"]
            model.curve = list(content["curve"])
            model.edge_types = [(one[0], one[1], one[2]) for one in content["edge_types"]]
            parts = [arrays.pop(f"transform.{name}") for name in ("mean", "scale", "marked")]
            model.transform = InputTransform(tuple(content["columns"]), *parts)
            model.net = model._make()
            weights = {name: torch.from_numpy(np.array(one)) for name, one in arrays.items()}
            model.net.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, TypeError, RuntimeError, IndexError) as error:
            reason = f"no weights of this model ({' '.join(str(error).split())[:200]})"
            raise ArtefactInvalid(path, reason) from error
        model.net = model.net.to(model.device())
        return model

    def _make(self) -> TreeNet:
        if self.transform is None:
            message = f"{self.name} has no input transform yet; fit it first"
            raise ValueError(message)
        width = self.transform.width + 1
        return TreeNet(self.edge_types, self.node_type, width, self.settings, self.round_class)

    def _fitted(self) -> tuple[TreeNet, InputTransform]:
        if self.net is None or self.transform is None:
            message = f"{self.name} is not fitted yet"
            raise ValueError(message)
        return self.net, self.transform

    def device(self) -> str:
        """Where the network lives: 'cuda' or 'cpu', by the settings and by what there is.

        Raises:
            BadSetting: A GPU is asked for and torch sees none.
        """
        return pick_torch_device(self.settings.device)

    def _inputs(self, context: GraphContext, among: tuple[Team, Path] | None = None) -> TreeInputs:
        if self.transform is None:
            message = f"{self.name} has no input transform yet; fit it first"
            raise ValueError(message)
        device = self.device()
        sampler = TemporalSampler(
            context.graph,
            self.settings.fanouts,
            context.window_us,
            seed=self.settings.seed,
            node_type=self.node_type,
            device=device,
            strategy=self.settings.sampler,
        )
        table = input_table(context.rows, self.transform, among)
        return TreeInputs(sampler, RowTable(context.rows, table, device))

    def _run(self, rows: Rows, context: GraphContext) -> tuple[Floats, Floats]:
        net, _ = self._fitted()
        with deterministic(self.settings.seed, self.device()):
            return scores_of(net, rows, self._inputs(context), self.settings)
