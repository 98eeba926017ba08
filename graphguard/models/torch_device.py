"""Where torch computes, and how to make it compute the same twice."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from graphguard.errors import BadSetting


def pick_torch_device(wanted: str) -> str:
    """Return 'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'.

    Raises:
        BadSetting: 'cuda' is asked for and torch sees no GPU.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        place, key = "training", "device"
        reason = "is 'cuda', but torch sees no GPU here; use 'auto' or 'cpu'"
        raise BadSetting(place, key, reason)
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


@contextlib.contextmanager
def deterministic(seed: int, device: str) -> Iterator[None]:
    """Seeded, deterministic torch inside; its global state as it was outside."""
    held, was = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic  # its attributes are made at run time
    filled = memory.fill_uninitialized_memory
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(device == "cpu")
    # Filling memory that is written next anyway takes a twentieth of an epoch.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = filled
        torch.use_deterministic_algorithms(was)
        torch.set_rng_state(held)
