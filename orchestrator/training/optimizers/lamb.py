"""LAMB (You et al. 2019): each matrix moves by a length in proportion to its own.

Algorithm 2 of the paper: m̂ and v̂ are corrected for having begun at zero, φ is the identity, decay
is part of the update whose norm is taken. As in the code published with the paper, parameters of
one dimension, which are not decayed, are not scaled either: biases begin at a length of zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from orchestrator.training.optimizers.pieces import Pieces
from orchestrator.training.optimizers.scaled import Scaled


class Lamb(Scaled):
    num_measures = 2

    def __init__(
        self, groups: list[dict[str, Any]], *, betas: tuple[float, float], eps: float
    ) -> None:
        # Said here, where parameters have their shapes; ZeRO makes them flat.
        groups = [
            group | {"is_scaled": all(tensor.ndim > 1 for tensor in group["params"])}
            for group in groups
        ]
        super().__init__(groups, betas=betas, eps=eps)

    def measured(self, pieces: Pieces) -> Sequence[list[Tensor]]:
        # m̂ / (√v̂ + ε) + λw, in the memory of the denominators.
        updates = pieces.updates = pieces.denominators()
        torch._foreach_reciprocal_(updates)
        torch._foreach_mul_(updates, pieces.means)
        torch._foreach_div_(updates, pieces.corrections(pieces.group["betas"][0]))
        if pieces.group["weight_decay"]:
            torch._foreach_add_(updates, pieces.weights, alpha=pieces.group["weight_decay"])
        return (pieces.weights, updates) if pieces.group["is_scaled"] else ()

    def move(self, pieces: Pieces, squares_PK: Sequence[Sequence[float]]) -> None:
        lr = pieces.group["lr"]
        torch._foreach_mul_(pieces.updates, [-lr * _trust(*squares) for squares in squares_PK])
        torch._foreach_add_(pieces.weights, pieces.updates)


def _trust(weight_square: float, update_square: float) -> float:
    """‖w‖ / ‖update‖; 1 where there is nothing to divide, as for what is not scaled."""
    if not weight_square or not update_square:
        return 1.0
    return math.sqrt(weight_square / update_square)
