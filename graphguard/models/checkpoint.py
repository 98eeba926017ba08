"""Checkpoints of a training: all that the rest of it depends on, as safetensors and JSON.

```
checkpoint.json                     whose it is, how far it is, and which file holds the arrays
state-<epoch>-<batch>.safetensors   weights, best weights, the optimizer's moments, random state
```
The arrays are written first, under a name of their own; then `checkpoint.json` is replaced in one
step. So a process killed at any moment leaves a checkpoint that is whole: the old or the new one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import Tensor, nn

from graphguard.errors import ArtefactInvalid
from graphguard.tables.files import file_digest, read_json, replace_json
from graphguard.tables.lease import fenced

POINTER = "checkpoint.json"


@dataclass
class Standing:
    """How far a training is.

    Attributes:
        epoch: The epoch at work, from 0.
        batch: Batches of it that are done.
        loss: Summed loss of the rows of these batches.
        curve: Mean loss of each epoch done.
        best: Best judged AUPRC so far; -1 before the first.
        waited: Epochs since then.
        ended: Whether no epoch is left to do.
    """

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    curve: list[float] = field(default_factory=list)
    best: float = -1.0
    waited: int = 0
    ended: bool = False


class Checkpoints:
    """The checkpoint of one training in a folder of its own; without a folder, none is kept.

    Args:
        folder: Where; None keeps nothing.
        identity: Names model, settings and data: a checkpoint of any other is never taken.
    """

    def __init__(self, folder: Path | None, identity: str) -> None:
        self._folder, self._identity = folder, identity

    def save(self, standing: Standing, tensors: Mapping[str, Tensor]) -> None:
        """Replace the checkpoint.

        Raises:
            LeaseLost: The workspace around the folder was taken over by another.
        """
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"state-{standing.epoch:04}-{standing.batch:06}.safetensors"
        with fenced(self._folder):
            aside = self._folder / f".{name}"
            save_file(dict(tensors), aside)
            digest = file_digest(aside)
            aside.replace(self._folder / name)
            facts = {
                "identity": self._identity,
                "state": name,
                "sha256": digest,
                "standing": asdict(standing),
            }
            replace_json(self._folder / POINTER, facts)
            for path in self._folder.glob("*state-*.safetensors"):
                if path.name != name:
                    path.unlink(missing_ok=True)

    def load(self) -> tuple[Standing, dict[str, Tensor]] | None:
        """The checkpoint of this training; None where there is none, or it is not whole.

        A checkpoint only saves time, so one that is damaged, or of other data, is passed over.
        """
        if self._folder is None or not (self._folder / POINTER).is_file():
            return None
        try:
            facts: dict[str, Any] = read_json(self._folder / POINTER)
            path = self._folder / str(facts["state"])
            if facts["identity"] != self._identity or file_digest(path) != facts["sha256"]:
                return None
            return Standing(**facts["standing"]), load_tensors(path.read_bytes())
        except (ArtefactInvalid, SafetensorError, OSError, KeyError, TypeError):
            return None


def state_of(net: nn.Module, best: Mapping[str, Tensor], optimizer: Any) -> dict[str, Tensor]:
    """All tensors that the rest of a training depends on, by name."""
    found = {f"net.{name}": value for name, value in net.state_dict().items()}
    found |= {f"best.{name}": value for name, value in best.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
    found["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        found["random.cuda"] = torch.cuda.get_rng_state()
    return {name: value.detach().cpu().contiguous().clone() for name, value in found.items()}


def put_back(tensors: Mapping[str, Tensor], net: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    """Give network, optimizer and random state what `state_of` took; returns the best weights."""
    net.load_state_dict(_under("net.", tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        number, _, moment = name.partition(".")
        moments.setdefault(int(number), {})[moment] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    torch.set_rng_state(tensors["random"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    device = next(net.parameters()).device
    return {name: value.to(device) for name, value in _under("best.", tensors).items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
