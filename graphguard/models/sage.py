"""Heterogeneous GraphSAGE on sampled trees in time (Hamilton et al. 2017), in torch-geometric.

A user starts from its own feature row, anything else from how busy it was in the window; two rounds
of messages over every relation, both ways, with mean aggregation; a head that also sees the user's
own row. The columns that `features/neighbours.py` averages are left to the trees: the network makes
its own averages.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.loader import NodeLoader

from graphguard.errors import ArtefactInvalid, BadSetting, TooFewLabels
from graphguard.evaluate.metrics import auprc
from graphguard.graph.hetero import EdgeType, HeteroGraph
from graphguard.graph.sampling import TemporalSampler, walked_types, window_degree
from graphguard.models.base import GraphContext, Rows, read_model_file, write_model_file
from graphguard.models.sage_net import SageNet, SageSettings
from graphguard.models.transform import InputTransform

Floats = NDArray[np.float32]
NEIGHBOUR_MARK = ".nbr_"
NEGATIVES = 25
"""Negatives per positive in an epoch, drawn anew each time; calibration undoes the shift."""
JUDGED_NEGATIVES = 4_000
"""Negatives of the selection slice that early stopping looks at."""
WEIGHTS = "weights.safetensors"


class SageModel:
    """GraphSAGE behind the `Model` protocol."""

    name = "sage"

    def __init__(self, settings: SageSettings | None = None) -> None:
        self.settings = settings or SageSettings()
        self.transform: InputTransform | None = None
        self.node_type = "user"
        self.edge_types: list[EdgeType] = []
        self.net: SageNet | None = None

    def fit(self, train: Rows, valid: Rows, context: GraphContext) -> None:
        """Learn from `train`; stop early on the AUPRC of `valid`.

        Raises:
            TooFewLabels: A slice lacks positives or negatives.
        """
        labels = [_labels("train", train), _labels("valid", valid)]
        own = [place for place, name in enumerate(train.names) if NEIGHBOUR_MARK not in name]
        columns = tuple(train.names[place] for place in own)
        self.transform = InputTransform.fit(_columns(train, columns))
        self.edge_types = list(context.graph.edge_types)
        self.node_type = context.node_type
        device = self._device()
        with _deterministic(self.settings.seed, device):
            self.net = self._make().to(device)
            inputs = _Inputs(context, self.transform, self)
            rng = np.random.Generator(np.random.Philox(self.settings.seed))
            judged = _subset(labels[1], JUDGED_NEGATIVES, rng)
            self._train(train, labels[0], (valid.take(judged), labels[1][judged]), (inputs, rng))

    def predict(self, rows: Rows, context: GraphContext) -> Floats:
        """Probability of each row, shape [n], float32, uncalibrated."""
        return self._run(rows, context)[0]

    def embed(self, rows: Rows, context: GraphContext) -> Floats:
        """Last hidden layer of each row, shape [n, hidden], length 1."""
        hidden = self._run(rows, context)[1]
        length = np.linalg.norm(hidden, axis=1, keepdims=True)
        return np.asarray(hidden / np.maximum(length, 1e-12), dtype=np.float32)

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
            model = cls(SageSettings(**settings))
            model.node_type = content["node_type"]
            model.edge_types = [(one[0], one[1], one[2]) for one in content["edge_types"]]
            parts = [arrays.pop(f"transform.{name}") for name in ("mean", "scale", "marked")]
            model.transform = InputTransform(tuple(content["columns"]), *parts)
            model.net = model._make()
            weights = {name: torch.from_numpy(np.array(one)) for name, one in arrays.items()}
            model.net.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, TypeError, RuntimeError, IndexError) as error:
            reason = f"no weights of this model ({' '.join(str(error).split())[:200]})"
            raise ArtefactInvalid(path, reason) from error
        model.net = model.net.to(model._device())
        return model

    def _make(self) -> "SageNet":
        if self.transform is None:
            message = "sage has no input transform yet; fit it first"
            raise ValueError(message)
        return SageNet(self.edge_types, self.node_type, self.transform.width + 1, self.settings)

    def _fitted(self) -> tuple["SageNet", InputTransform]:
        if self.net is None or self.transform is None:
            message = "sage is not fitted yet"
            raise ValueError(message)
        return self.net, self.transform

    def _device(self) -> str:
        wanted = self.settings.device
        if wanted == "cuda" and not torch.cuda.is_available():
            place, key = "training", "device"
            reason = "is 'cuda', but torch sees no GPU here; use 'auto' or 'cpu'"
            raise BadSetting(place, key, reason)
        return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"

    def _train(
        self,
        train: Rows,
        label: NDArray[np.int8],
        judge: tuple[Rows, NDArray[np.int8]],
        tools: tuple["_Inputs", np.random.Generator],
    ) -> None:
        net, _ = self._fitted()
        inputs, rng = tools
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=self.settings.learning_rate, weight_decay=1e-3
        )
        ratio = min(NEGATIVES, float((label == 0).sum() / (label == 1).sum()))
        loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(np.sqrt(ratio)).to(self._device()))
        best, best_state, waited = -1.0, _state(net), 0
        for _ in range(self.settings.epochs):
            chosen = rng.permutation(_subset(label, int(NEGATIVES * (label == 1).sum()), rng))
            net.train()
            for batch, place in inputs.batches(train.take(chosen), self.settings):
                optimizer.zero_grad()
                with _mixed(self._device()):
                    logit, _ = net(batch)
                wanted = torch.from_numpy(label[chosen[place]].astype(np.float32))
                loss = loss_of(logit.float(), wanted.to(logit.device))
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 2.0)
                optimizer.step()
            value = auprc(self._forward(judge[0], inputs)[0], judge[1])
            waited = 0 if value > best else waited + 1
            if value > best:
                best, best_state = value, _state(net)
            if waited >= self.settings.patience:
                break
        net.load_state_dict(best_state)

    def _run(self, rows: Rows, context: GraphContext) -> tuple[Floats, Floats]:
        _, transform = self._fitted()
        with _deterministic(self.settings.seed, self._device()):
            return self._forward(rows, _Inputs(context, transform, self))

    def _forward(self, rows: Rows, inputs: "_Inputs") -> tuple[Floats, Floats]:
        net, _ = self._fitted()
        net.eval()
        score = np.zeros(len(rows), dtype=np.float32)
        hidden = np.zeros((len(rows), self.settings.hidden), dtype=np.float32)
        with torch.no_grad():
            for batch, place in inputs.batches(rows, self.settings):
                logit, state = net(batch)
                score[place] = torch.sigmoid(logit.float()).cpu().numpy()
                hidden[place] = state.float().cpu().numpy()
        return score, hidden


class _Inputs:
    """Makes batches: sampled trees with the features that each node had at its seed's anchor."""

    def __init__(self, context: GraphContext, transform: InputTransform, model: SageModel) -> None:
        self._graph, self._model = context.graph, model
        self._window_us = context.window_us
        self._rows = context.rows
        # The last row stands for users without a row: zeros, and a mark.
        table = np.zeros((len(context.rows) + 1, transform.width + 1), dtype=np.float32)
        transform.apply(context.rows, table[:-1, :-1])
        table[-1, -1] = 1.0
        self._table = torch.from_numpy(table)
        self._anchors = np.unique(context.rows.anchor_us)
        self._order, self._keys = self._lookup()
        self._steps = walked_types(context.graph.edge_types)

    def batches(
        self, rows: Rows, settings: SageSettings
    ) -> Iterator[tuple[HeteroData, NDArray[np.int64]]]:
        """Batches of rows in order, with the positions of their rows."""
        device = self._model._device()
        kind = self._model.node_type
        sampler = TemporalSampler(
            self._graph,
            settings.fanouts,
            self._window_us,
            seed=settings.seed,
            node_type=kind,
            device=device,
        )
        loader = NodeLoader(
            _skeleton(self._graph),
            node_sampler=sampler,
            input_nodes=(kind, torch.from_numpy(rows.node)),
            input_time=torch.from_numpy(rows.anchor_us),
            batch_size=settings.batch_rows,
            shuffle=False,
        )
        start = 0
        for batch in loader:
            size = int(batch[kind].batch_size)
            anchor = rows.anchor_us[start : start + size]
            yield self._attach(batch, anchor).to(device), np.arange(start, start + size)
            start += size

    def _attach(self, batch: HeteroData, anchor: NDArray[np.int64]) -> HeteroData:
        for kind in batch.node_types:
            nodes = batch[kind].n_id.cpu().numpy()
            at = anchor[batch[kind].batch.cpu().numpy()]
            if kind == self._model.node_type:
                batch[kind].x = self._table[torch.from_numpy(self._row_of(nodes, at))]
            else:
                batch[kind].x = torch.from_numpy(self._busy(kind, nodes, at))
        return batch

    def _lookup(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rank = np.searchsorted(self._anchors, self._rows.anchor_us)
        keys = self._rows.node * (len(self._anchors) + 1) + rank
        order = np.argsort(keys, kind="stable")
        return order, keys[order]

    def _row_of(self, nodes: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The newest row of each node at or before a time; the last row of the table if none."""
        rank = np.searchsorted(self._anchors, at, side="right") - 1
        base = nodes * (len(self._anchors) + 1)
        place = np.searchsorted(self._keys, base + rank, side="right") - 1
        there = (place >= 0) & (self._keys[np.maximum(place, 0)] >= base)
        return np.where(there, self._order[np.maximum(place, 0)], len(self._order))

    def _busy(self, kind: str, nodes: NDArray[np.int64], at: NDArray[np.int64]) -> Floats:
        """log(1 + daily edges in the window) per way of stepping from this type."""
        columns = []
        for message, stored, by_target in self._steps:
            if message[2] == kind:
                side: Literal["source", "target"] = "target" if by_target else "source"
                degree = window_degree(self._graph, stored, side, (nodes, at), self._window_us)
                columns.append(np.log1p(degree))
        return np.stack(columns, axis=1).astype(np.float32)


def _skeleton(graph: HeteroGraph) -> HeteroData:
    """Types and sizes for the loader; edges come from the sampler."""
    data = HeteroData()
    for kind, count in graph.num_nodes.items():
        data[kind].num_nodes = count
    for message, _, _ in walked_types(graph.edge_types):
        data[message].edge_index = torch.zeros((2, 0), dtype=torch.int64)
    return data


def _columns(rows: Rows, names: tuple[str, ...]) -> Rows:
    place = {name: number for number, name in enumerate(rows.names)}
    x = np.ascontiguousarray(rows.x[:, [place[name] for name in names]])
    return Rows(rows.node, rows.anchor_us, x, names, rows.label)


def _labels(where: str, rows: Rows) -> NDArray[np.int8]:
    if rows.label is None:
        message = f"{where}: rows carry no label"
        raise ValueError(message)
    positives = int(rows.label.sum())
    if positives == 0 or positives == len(rows):
        raise TooFewLabels(where, positives, len(rows) - positives, 1)
    return rows.label


def _subset(label: NDArray[np.int8], negatives: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """All positives and a draw of negatives, in order."""
    ones, zeros = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    if len(zeros) > negatives:
        zeros = rng.choice(zeros, negatives, replace=False)
    return np.sort(np.concatenate([ones, zeros]))


def _state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def _mixed(device: str) -> Any:
    if device == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def _deterministic(seed: int, device: str) -> Iterator[None]:
    """Seeded, deterministic torch inside; its global state as it was outside."""
    held, was = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(device == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was)
        torch.set_rng_state(held)
