"""What boosters need beside growing: when to stop, where to compute, their files, their gains."""

import importlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import xgboost
from xgboost.core import XGBoostError

from graphguard.errors import ArtefactInvalid, BadSetting

_PLATEAU = 1e-3
"""Rounds whose validation AUPRC is this near the best count as equally good."""
_SMOOTH_ROUNDS = 5
"""Validation AUPRC is averaged over this many rounds: with few positives one round is luck."""


def rounds_to_keep(auprc: list[float], log_loss: list[float]) -> int:
    """Choose the number of rounds from the curves on the selection slice.

    The AUPRC is averaged over 5 rounds. Among the rounds within 0.001 of its best, the one of least
    log loss is taken: where the ranking is perfect from the first tree on, more trees still tell
    users apart, and a single tree would leave nothing but ties.

    Args:
        auprc: Validation AUPRC after each round, one or more.
        log_loss: Validation log loss after each round.

    Returns:
        Number of rounds, at least 1.

    >>> rounds_to_keep([1.0, 1.0, 1.0], [0.6, 0.5, 0.55])
    2
    """
    curve = np.asarray(auprc)
    half = _SMOOTH_ROUNDS // 2
    padded = np.pad(curve, half, mode="edge")
    smooth = np.convolve(padded, np.ones(_SMOOTH_ROUNDS) / _SMOOTH_ROUNDS, mode="valid")
    good = np.flatnonzero(smooth >= smooth.max() - _PLATEAU)
    return int(good[np.argmin(np.asarray(log_loss)[good])]) + 1


def pick_device(device: str) -> str:
    """Return 'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'.

    Raises:
        BadSetting: 'cuda' is asked for and this xgboost build, or this machine, has none.
    """
    if device == "cpu":
        return "cpu"
    able = bool(xgboost.build_info().get("USE_CUDA"))
    # torch is asked only by a build that could use its answer: it takes seconds to import.
    present = able and bool(importlib.import_module("torch").cuda.is_available())
    if device == "cuda" and not present:
        found = "no GPU is visible" if able else "this xgboost build has no CUDA"
        reason = f"'cuda' is asked for but {found}; use 'auto' or pip install 'graphguard[gpu]'"
        raise BadSetting(path="training", key="device", reason=reason)
    return "cuda" if present else "cpu"


def gain_shares(boosters: Sequence[xgboost.Booster], columns: Sequence[str]) -> dict[str, float]:
    """Each column's share of what splits gained, mean of the boosters; 0 for columns never used.

    A forest and a booster tell gains on scales of their own, so each one's shares count alike.
    """
    shares = np.zeros(len(columns))
    for booster in boosters:
        found = booster.get_score(importance_type="total_gain")
        total = sum(float(gain) for gain in found.values())
        for key, gain in found.items():
            shares[int(key[1:])] += float(gain) / (total * len(boosters))
    return {name: float(share) for name, share in zip(columns, shares, strict=True)}


def booster_file(folder: Path, bag: int) -> Path:
    """The file of one booster of a model."""
    return folder / f"booster-{bag}.ubj"


def load_booster(path: Path, digest: str, num_columns: int) -> xgboost.Booster:
    """Read a booster whose bytes have this SHA-256 and that reads so many columns.

    Raises:
        ArtefactInvalid: The file is missing, damaged, or of another model.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtefactInvalid(path, reason="file not found") from error
    # XGBoost's parser can crash the process on damaged bytes, so they are compared before it sees
    # them, and the bytes compared are the bytes parsed.
    found = sha256(raw).hexdigest()
    if found != digest:
        raise ArtefactInvalid(path, f"SHA-256 is {found[:12]}..., model.json says {digest[:12]}...")
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(raw))
    except (XGBoostError, ValueError) as error:
        raise ArtefactInvalid(path, f"not an XGBoost model ({str(error)[:80]})") from error
    if booster.num_features() != num_columns:
        reason = f"has {booster.num_features()} columns, model.json {num_columns}"
        raise ArtefactInvalid(path, reason)
    return booster
