"""Tensors as an optimizer steps on them, divided along the borders of parameters.

Without ZeRO a piece is a whole parameter. With it, a rank holds flat tensors, in which lie pieces
of many parameters, and of one parameter several ranks may have pieces. What is said of a whole
parameter is therefore summed over pieces and ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed

# Elements whose squares are added in fp32; rows are added in fp64. On a CPU the norm of one long
# tensor is off by 1e-3 at 23 million elements, and by another amount for each way to divide it.
_ROW = 1024


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """A run of one parameter's elements within a flat tensor."""

    parameter: int  # its number, the same on all ranks
    start: int
    length: int


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """What this rank holds. What lies between fragments is padding."""

    of: Mapping[Tensor, tuple[Fragment, ...]]
    sizes: tuple[int, ...]  # elements of each parameter, on all ranks together
    device: torch.device | None  # where ranks reduce; None: each has everything

    @staticmethod
    def whole(tensors: Sequence[Tensor]) -> Fragments:
        return Fragments(
            of={
                tensor: (Fragment(parameter=number, start=0, length=tensor.numel()),)
                for number, tensor in enumerate(tensors)
            },
            sizes=tuple(tensor.numel() for tensor in tensors),
            device=None,
        )

    def reduced(self, sums_KP: Tensor) -> Tensor:
        """Over all ranks. A collective, also for a rank that holds padding only."""
        if self.device is None:
            return sums_KP
        totals_KP = sums_KP.to(self.device)
        distributed.all_reduce(totals_KP)
        return totals_KP


@dataclass(kw_only=True)
class Pieces:
    """Of one group of parameters. Lists run alike; tensors are views, so writing is stepping."""

    group: Mapping[str, Any]
    numbers: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # of whole parameters
    ages: list[float] = field(default_factory=list)  # steps, this one included
    weights: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    means: list[Tensor] = field(default_factory=list)
    squares: list[Tensor] = field(default_factory=list)
    updates: list[Tensor] = field(default_factory=list)  # what an optimizer keeps for its move

    def corrections(self, decay: float) -> list[float]:
        """What a mean that began at zero has to be divided by."""
        return [1 - decay**age for age in self.ages]

    def denominators(self) -> list[Tensor]:
        """√v̂ + ε, in new memory."""
        roots = torch._foreach_sqrt(self.squares)
        corrections = self.corrections(self.group["betas"][1])
        torch._foreach_div_(roots, [correction**0.5 for correction in corrections])
        torch._foreach_add_(roots, self.group["eps"])
        return list(roots)


def squared_norms(tensors: list[Tensor]) -> Tensor:
    """In fp64, and exact enough to be the same however a parameter is divided."""
    if tensors[0].is_cuda:  # adds in a tree anyway, and all tensors at once
        return torch.stack(torch._foreach_norm(tensors)).double().square()
    return torch.stack([_squared_norm(tensor.reshape(-1)) for tensor in tensors])


def _squared_norm(flat: Tensor) -> Tensor:
    border = flat.numel() // _ROW * _ROW
    rows = torch.linalg.vector_norm(flat[:border].view(-1, _ROW), dim=1)
    rest = torch.linalg.vector_norm(flat[border:])
    total: Tensor = rows.double().square().sum() + rest.double().square()
    return total
