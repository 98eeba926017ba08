"""Pre-training without labels: guess a row's hidden tokens from those that are shown.

Most users have no label, but all have columns and neighbours. As in Hou et al. 2022, "GraphMAE",
with tokens in place of nodes: a user's own columns are guessed from its neighbourhood, and a
relation from the rest. The network keeps its weights, the decoders are thrown away.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from graphguard.models.network_settings import NetworkSettings
from graphguard.models.propagated_net import TokenNet
from graphguard.models.training import LARGEST_STEP, WEIGHT_DECAY, device_of

HIDDEN_SHARE = 0.4
"""Chance that a token is hidden."""


def pretrain(
    net: TokenNet, inputs: NDArray[np.float32], settings: NetworkSettings, epochs: int
) -> list[float]:
    """Train the network to guess hidden tokens; leaves the weights in `net`.

    Args:
        net: A fresh network.
        inputs: Of all rows that may be looked at, shape [n, columns].
        settings: Batch size, step size, seed.
        epochs: Passes over the rows.

    Returns:
        Mean squared error over hidden inputs, of each epoch.

    Cost: an epoch as one of training on as many rows.
    """
    device, tokens = device_of(net), net.tokens
    hidden = settings.hidden
    stand_in = nn.Parameter(torch.zeros(hidden, device=device))
    decoders = nn.ModuleList(nn.Linear(hidden, one.last - one.first) for one in tokens).to(device)
    learned = [*net.parameters(), *decoders.parameters(), stand_in]
    optimizer = torch.optim.AdamW(learned, lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    curve = []
    net.train()
    for epoch in range(epochs):
        rng = np.random.Generator(np.random.Philox([settings.seed, epoch, 1]))
        order = rng.permutation(len(inputs))
        total = count = 0.0
        for start in range(0, len(order), settings.batch_rows):
            batch = torch.from_numpy(inputs[order[start : start + settings.batch_rows]]).to(device)
            drawn = rng.random((len(batch), len(tokens))) < HIDDEN_SHARE
            hide = torch.from_numpy(drawn).to(device)
            state = net.guess(batch, hide, stand_in)
            errors = batch.new_zeros(())
            number = 0
            for place, (token, decode) in enumerate(zip(tokens, decoders, strict=True)):
                asked = hide[:, place]
                wanted = batch[asked, token.first : token.last]
                errors = errors + ((decode(state[asked]) - wanted) ** 2).sum()
                number += wanted.numel()
            optimizer.zero_grad()
            (errors / max(number, 1)).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learned, LARGEST_STEP)
            optimizer.step()
            total, count = total + float(errors.detach()), count + number
        curve.append(total / max(count, 1.0))
    return curve
