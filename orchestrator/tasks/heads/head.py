"""What a head is: outputs from the states of a pack, a loss as a sum, and what it is divided by.

A count is known without the model, so that losses are exact however a batch is divided.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from orchestrator.tasks.packed import TaskPack

Outputs = tuple[Tensor, ...]


class Head(nn.Module):
    """Where a loss is a cross-entropy, it may be smoothed, and its classes weighted."""

    smoothing: float = 0.0
    class_weights_C: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("class_weights_C", None, persistent=False)

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        raise NotImplementedError

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        """The sum over what `count` counts, in fp32."""
        raise NotImplementedError

    def count(self, pack: TaskPack) -> int:
        return pack.num_examples

    def class_losses(self, scores_NC: Tensor, wanted_N: Tensor) -> Tensor:
        """[N], in fp32."""
        return cross_entropy(
            scores_NC.float(),
            wanted_N,
            weight=self.class_weights_C,
            label_smoothing=self.smoothing,
            reduction="none",
        )


class Classifier(nn.Module):
    """A hidden layer and an output layer, on the states of first tokens."""

    def __init__(self, width: int, num_outputs: int, *, dropout: float) -> None:
        super().__init__()
        self.dense = linear(width, width)
        self.output = linear(width, num_outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states_ND: Tensor) -> Tensor:
        inner_ND = torch.tanh(self.dense(self.dropout(states_ND)))
        return cast(Tensor, self.output(self.dropout(inner_ND)))


def linear(width: int, num_outputs: int) -> nn.Linear:
    """As encoders begin: small random weights, no biases."""
    made = nn.Linear(width, num_outputs)
    nn.init.normal_(made.weight, std=0.02)
    nn.init.zeros_(made.bias)
    return made
