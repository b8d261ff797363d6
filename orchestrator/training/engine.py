"""What the loop needs of whoever holds the weights: `zero.py` is one, through DeepSpeed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Stepped:
    grad_norm: float  # of all parameters, before clipping
    is_applied: bool  # False: the gradient was not finite, and no weight has changed


class Engine(Protocol):
    def accumulate(self, *inputs: Any, is_last: bool) -> Tensor:
        """Forward and backward of one micro-batch; what the model gives beside its loss."""

    def evaluate(self, *inputs: Any) -> Any:
        """Forward only, without dropout."""

    def step(self, rate: float) -> Stepped:
        """The optimizer's step, at this learning rate, with what was accumulated."""

    def snapshot(self) -> dict[str, Any]:
        """File name → what this rank must write into it, in the host's memory. A collective."""

    def weights(self) -> dict[str, Tensor]:
        """All of the module's, whole, in fp32 in the host's memory. A collective."""

    def restore(self, folder: Path) -> None:
        """From a folder with the files of all ranks, in the form for this world. A collective."""
