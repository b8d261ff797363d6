"""StableAdamW (Wortsman et al. 2023): AdamW that takes shorter steps where v̂ lags behind.

After a sudden rise of gradients v̂ is too small for a while and AdamW's step too long. So the
learning rate of a parameter, decay included, is divided by the root mean square of g / √v̂ where
that is above 1. Gradients need no clipping besides.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from orchestrator.training.optimizers.pieces import Pieces
from orchestrator.training.optimizers.scaled import Scaled

_LEAST = torch.finfo(torch.float32).tiny  # ε² may be none in fp32


class StableAdamW(Scaled):
    num_measures = 1

    def measured(self, pieces: Pieces) -> Sequence[list[Tensor]]:
        # g / √max(v̂, ε²): the maximum is the paper's guard against dividing by zero.
        corrections = pieces.corrections(pieces.group["betas"][1])
        surprises = list(torch._foreach_div(pieces.squares, corrections))
        torch._foreach_clamp_min_(surprises, max(pieces.group["eps"] ** 2, _LEAST))
        torch._foreach_sqrt_(surprises)
        torch._foreach_reciprocal_(surprises)
        torch._foreach_mul_(surprises, pieces.gradients)
        return (surprises,)

    def move(self, pieces: Pieces, squares_PK: Sequence[Sequence[float]]) -> None:
        group = pieces.group
        rates = [
            group["lr"] / max(1.0, (square / size) ** 0.5)
            for (square,), size in zip(squares_PK, pieces.sizes, strict=True)
        ]
        if group["weight_decay"]:
            torch._foreach_mul_(
                pieces.weights, [1 - rate * group["weight_decay"] for rate in rates]
            )
        corrections = pieces.corrections(group["betas"][0])
        torch._foreach_addcdiv_(
            pieces.weights,
            pieces.means,
            pieces.denominators(),
            [-rate / correction for rate, correction in zip(rates, corrections, strict=True)],
        )
