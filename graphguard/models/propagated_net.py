"""The network of the decoupled model: encoders of tokens, attention over them, and a head.

As in Yang et al. 2023, "Simple and efficient heterogeneous graph neural network" (SeHGNN), with the
attention of Wang et al. 2019, "Heterogeneous graph attention network", row by row.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphguard.models.hop_inputs import Token
from graphguard.models.network_settings import NetworkSettings

HEADS = 4


class TokenNet(nn.Module):
    """Logit of a row from tokens that say what it is like and what lies around it.

    z_t = W2 drop(relu(norm(W1 x_t))) for each token t; each head h weighs the tokens by
    softmax_t(v_h tanh(V z_t)); the head of the network sees the own token and the weighted sums.
    """

    def __init__(self, tokens: Sequence[Token], settings: NetworkSettings) -> None:
        super().__init__()
        hidden, drop = settings.hidden, settings.dropout
        self.tokens = tuple(tokens)
        self.encode = nn.ModuleList(
            nn.Sequential(
                nn.Linear(token.last - token.first, hidden),
                nn.LayerNorm(hidden),
                nn.ReLU(),
                nn.Dropout(drop),
                nn.Linear(hidden, hidden),
            )
            for token in tokens
        )
        self.weigh = nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, HEADS))
        self.head = nn.Sequential(
            nn.LayerNorm(2 * hidden), nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Dropout(drop)
        )
        self.out = nn.Linear(hidden, 1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logit and hidden state of rows, shape [n] and [n, hidden]; inputs [n, columns]."""
        found = self._fused(*self._attend(inputs))
        return self.out(found).squeeze(1), found

    def guess(self, inputs: Tensor, hide: Tensor, stand_in: Tensor) -> Tensor:
        """Hidden state of rows that show some of their tokens only.

        Args:
            inputs: Shape [n, columns].
            hide: Tokens not to show, shape [n, tokens], bool.
            stand_in: State in their place, shape [hidden].
        """
        states = torch.where(hide[..., None], stand_in, self._states(inputs))
        return self._fused(states, self.weigh(states).softmax(dim=1))

    def _fused(self, states: Tensor, weights: Tensor) -> Tensor:
        rows, number, hidden = states.shape
        parts = states.view(rows, number, HEADS, hidden // HEADS)
        summed = (weights[..., None] * parts).sum(dim=1).reshape(rows, hidden)
        found: Tensor = self.head(torch.cat([states[:, 0], summed], dim=1))
        return found

    def attention(self, inputs: Tensor) -> Tensor:
        """How much each token weighs in each row, mean of the heads, shape [n, tokens]."""
        return self._attend(inputs)[1].mean(dim=2)

    def _attend(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """States of the tokens, [n, tokens, hidden], and their weights, [n, tokens, heads]."""
        states = self._states(inputs)
        return states, self.weigh(states).softmax(dim=1)

    def _states(self, inputs: Tensor) -> Tensor:
        return torch.stack(
            [
                encode(inputs[:, token.first : token.last])
                for encode, token in zip(self.encode, self.tokens, strict=True)
            ],
            dim=1,
        )
