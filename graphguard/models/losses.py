"""Losses for rare positives: weighted cross-entropy, and focal loss.

Focal loss: Lin et al. 2017, "Focal Loss for Dense Object Detection". Calibration comes later, so a
loss shapes the ranking only.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

Loss = Literal["weighted", "focal"]


def imbalance_loss(
    logit: Tensor, wanted: Tensor, weight: float, focal_gamma: float | None
) -> Tensor:
    """Loss of each row.

    Args:
        logit: Log-odds, shape [n].
        wanted: 0 or 1, shape [n], float.
        weight: Weight of a positive row; a negative one weighs 1.
        focal_gamma: None for cross-entropy; else each row's is scaled by (1 - p) ** gamma, p the
            probability given to the right answer.

    Returns:
        Shape [n], float.

    >>> imbalance_loss(torch.tensor([0.0]), torch.tensor([1.0]), 2.0, None)
    tensor([1.3863])
    """
    pos_weight = torch.tensor(weight, device=logit.device, dtype=logit.dtype)
    loss = binary_cross_entropy_with_logits(logit, wanted, pos_weight=pos_weight, reduction="none")
    if focal_gamma is None:
        return loss
    right = logsigmoid(torch.where(wanted > 0.5, logit, -logit))
    return loss * (1 - right.exp()) ** focal_gamma
