"""Ranks that train one network together: each has a share of every batch, all the same weights.

A rank alone is a team of one, so that training is written once. What ranks do together they do in
the same order, so the weights are the same on all of them after every step.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Team:
    """One rank's place among the ranks.

    Attributes:
        rank: This one, from 0.
        size: How many there are; more than one need torch's process group.
    """

    rank: int = 0
    size: int = 1

    def share(self, count: int) -> slice:
        """This rank's part of `count` things in order; parts differ by one thing at most."""
        ends = [count * number // self.size for number in (self.rank, self.rank + 1)]
        return slice(*ends)

    def together(self, net: nn.Module) -> nn.Module:
        """The network with gradients averaged over the ranks."""
        if self.size == 1:
            return net
        return nn.parallel.DistributedDataParallel(net)

    def total(self, value: float) -> float:
        """Sum of every rank's value."""
        if self.size == 1:
            return value
        summed = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(summed)
        return float(summed)

    def gathered(self, mine: Floats, count: int) -> Floats:
        """All `count` rows, of which this rank has its share, shape [count, width], float32."""
        if self.size == 1:
            return mine
        whole = torch.zeros((count, *mine.shape[1:]), dtype=torch.float32)
        whole[self.share(count)] = torch.from_numpy(mine)
        # Each row is one rank's number plus zeros, so the sum is exact.
        distributed.all_reduce(whole)
        return whole.numpy()

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            distributed.barrier()
