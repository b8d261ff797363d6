"""The optimizers' steps as their papers write them, one parameter at a time, in fp64."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

BETAS = (0.9, 0.99)
EPS = 1e-6
DECAY = 0.1


@dataclass
class Reference:
    """A parameter and its moments. Decay is for parameters of more than one dimension."""

    weight: Tensor
    mean: Tensor = field(init=False)
    square: Tensor = field(init=False)
    age: int = 0

    def __post_init__(self) -> None:
        self.weight = self.weight.detach().double()
        self.mean, self.square = torch.zeros_like(self.weight), torch.zeros_like(self.weight)

    def step(self, kind: str, gradient: Tensor, rate: float) -> None:
        gradient = gradient.double()
        self.age += 1
        self.mean = BETAS[0] * self.mean + (1 - BETAS[0]) * gradient
        self.square = BETAS[1] * self.square + (1 - BETAS[1]) * gradient**2
        mean = self.mean / (1 - BETAS[0] ** self.age)
        square = self.square / (1 - BETAS[1] ** self.age)
        decay = DECAY if self.weight.ndim > 1 else 0.0
        {"adamw": _adamw, "lamb": _lamb, "stable_adamw": _stable_adamw}[kind](
            self.weight, gradient, mean, square, rate, decay
        )


def _adamw(
    weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rate: float, decay: float
) -> None:
    weight -= rate * decay * weight
    weight -= rate * mean / (square.sqrt() + EPS)


def _lamb(
    weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rate: float, decay: float
) -> None:
    update = mean / (square.sqrt() + EPS) + decay * weight
    lengths = weight.norm().item(), update.norm().item()
    ratio = lengths[0] / lengths[1] if all(lengths) and weight.ndim > 1 else 1.0
    weight -= rate * ratio * update


def _stable_adamw(
    weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rate: float, decay: float
) -> None:
    surprise = (gradient**2 / square.clamp_min(EPS**2)).mean().sqrt().item()
    rate /= max(1.0, surprise)
    weight -= rate * decay * weight
    weight -= rate * mean / (square.sqrt() + EPS)
