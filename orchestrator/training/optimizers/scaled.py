"""Adam's moments with a step length of its own for each parameter: what LAMB and StableAdamW share.

A step measures parameters, adds up over ranks in one small message, and then moves weights. State
has the names that torch's AdamW gives it, so that DeepSpeed saves, loads and converts it alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from orchestrator.training.optimizers.pieces import Fragments, Pieces, squared_norms


class Scaled(torch.optim.Optimizer, ABC):
    num_measures: int  # norms that a parameter's step length is made of

    def __init__(
        self, groups: list[dict[str, Any]], *, betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(groups, {"lr": 0.0, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self._fragments: Fragments | None = None
        self._shapes = {tensor.shape for group in groups for tensor in group["params"]}

    @abstractmethod
    def measured(self, pieces: Pieces) -> Sequence[list[Tensor]]:
        """The tensors whose norms are needed: for each measure one for each piece."""

    @abstractmethod
    def move(self, pieces: Pieces, squares_PK: Sequence[Sequence[float]]) -> None:
        """Changes weights. `squares_PK`: a piece's squared norms, over its whole parameter."""

    def attach(self, fragments: Fragments) -> None:
        """From now on these flat tensors are stepped on, and this is what lies in them."""
        self._fragments = fragments

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "the gradient is there already"
        fragments = self._fragments or self._whole()
        divided = list(self._divided(fragments))
        sums_KP = torch.zeros(self.num_measures, len(fragments.sizes), dtype=torch.float64)
        if divided:
            sums_KP = sums_KP.to(divided[0].weights[0].device)
        for pieces in divided:
            numbers = torch.tensor(pieces.numbers, device=sums_KP.device)
            for measure, tensors in enumerate(self.measured(pieces)):
                sums_KP[measure].index_add_(0, numbers, squared_norms(tensors))
        squares_PK = fragments.reduced(sums_KP).T.tolist()
        for pieces in divided:
            self.move(pieces, [squares_PK[number] for number in pieces.numbers])

    def _divided(self, fragments: Fragments) -> Iterator[Pieces]:
        """Moments go forward by a step on the way, whole tensors at a time."""
        for group in self.param_groups:
            tensors = [tensor for tensor in group["params"] if tensor.grad is not None]
            self._update_moments(group, tensors)
            pieces = Pieces(group=group)
            for tensor in tensors:
                state = self.state[tensor]
                lists = (pieces.weights, pieces.gradients, pieces.means, pieces.squares)
                sources = (tensor, tensor.grad, state["exp_avg"], state["exp_avg_sq"])
                for fragment in fragments.of[tensor]:
                    pieces.numbers.append(fragment.parameter)
                    pieces.sizes.append(fragments.sizes[fragment.parameter])
                    pieces.ages.append(float(state["step"]))
                    for views, source in zip(lists, sources, strict=True):
                        views.append(_view(source, fragment.start, fragment.length))
            if pieces.weights:
                yield pieces

    def _update_moments(self, group: dict[str, Any], tensors: list[Tensor]) -> None:
        if not tensors:
            return
        for tensor in tensors:
            state = self.state[tensor]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                for name in ("exp_avg", "exp_avg_sq"):
                    state[name] = torch.zeros_like(tensor, memory_format=torch.preserve_format)
            state["step"] += 1
        means = [self.state[tensor]["exp_avg"] for tensor in tensors]
        squares = [self.state[tensor]["exp_avg_sq"] for tensor in tensors]
        gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
        first, second = group["betas"]
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)

    def _whole(self) -> Fragments:
        tensors = [tensor for group in self.param_groups for tensor in group["params"]]
        if any(tensor.shape not in self._shapes for tensor in tensors):
            raise RuntimeError(
                "The optimizer was given other tensors than the module's parameters, and nobody "
                "has said what lies in them: call attach_fragments after deepspeed.initialize."
            )
        return Fragments.whole(tensors)


def _view(tensor: Tensor, start: int, length: int) -> Tensor:
    return tensor if length == tensor.numel() else tensor[start : start + length]
