"""The vocabulary head in two steps: what comes before the decoder, and the decoder with its loss.

The loss goes by a few rows at a time: all logits in fp32 never exist at once. `Encoder` calls both
with the states of predicted tokens only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from orchestrator.settings.model import Family

# 31 MB of logits with 30,528 words. Fewer rows cost time, more save none.
_ROWS = 256


def _bert(head: nn.Module, states_PD: Tensor) -> Tensor:
    return cast(Tensor, head.get_submodule("transform")(states_PD))


def _roberta(head: nn.Module, states_PD: Tensor) -> Tensor:
    dense_PD = head.get_submodule("dense")(states_PD)
    return cast(Tensor, head.get_submodule("layer_norm")(gelu(dense_PD)))


# What a family's head does before its decoder.
TRANSFORMS: Mapping[Family, Callable[[nn.Module, Tensor], Tensor]] = {
    Family.BERT: _bert,
    Family.ROBERTA: _roberta,
}


def decoded_loss(states_PD: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_P: Tensor) -> Tensor:
    """The sum of cross-entropies, fp32. The matrix products are in the dtype of the states."""
    device, dtype = states_PD.device.type, states_PD.dtype
    if torch.is_autocast_enabled(device):  # which does not reach into our own function
        dtype = torch.get_autocast_dtype(device)
    inputs = (states_PD.to(dtype), weight_VD.to(dtype), bias_V.to(dtype), targets_P)
    has_backward = torch.is_grad_enabled()
    return cast(Tensor, _DecodedLoss.apply(*inputs, has_backward))  # type: ignore[no-untyped-call]


def decoded_words(states_PD: Tensor, weight_VD: Tensor, bias_V: Tensor) -> Tensor:
    """[P]: the likeliest word at each place."""
    words = [
        torch.addmm(bias_V, states_RD.to(weight_VD.dtype), weight_VD.t()).argmax(dim=1)
        for states_RD in states_PD.split(_ROWS)  # type: ignore[no-untyped-call]
    ]
    return torch.cat(words)


class _DecodedLoss(torch.autograd.Function):
    """Makes the gradients on the way forward, while a chunk's probabilities are at hand.

    So logits are computed once and none is kept. What is kept are gradients of the three inputs,
    for a loss whose own gradient is 1; the backward pass scales them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states_PD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor,
        targets_P: Tensor,
        has_backward: bool,
    ) -> Tensor:
        loss = states_PD.new_zeros((), dtype=torch.float32)
        if has_backward:
            d_states_PD = torch.empty_like(states_PD)
            # Chunks add up in fp32 also where the weights are in bf16.
            d_weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32)
            d_bias_V = torch.zeros_like(bias_V, dtype=torch.float32)
            ctx.save_for_backward(d_states_PD, d_weight_VD, d_bias_V)
            ctx.dtype = states_PD.dtype
        for begin in range(0, len(targets_P), _ROWS):
            rows = slice(begin, begin + _ROWS)
            states_RD, targets_R1 = states_PD[rows], targets_P[rows, None]
            scores_RV = torch.addmm(bias_V, states_RD, weight_VD.t()).float()
            norms_R1 = scores_RV.logsumexp(dim=1, keepdim=True)
            loss += (norms_R1 - scores_RV.gather(1, targets_R1)).sum()
            if has_backward:
                d_scores_RV = scores_RV.sub_(norms_R1).exp_()
                d_scores_RV.scatter_add_(1, targets_R1, torch.full_like(norms_R1, -1.0))
                d_bias_V += d_scores_RV.sum(dim=0)
                d_scores_RV = d_scores_RV.to(states_RD.dtype)
                torch.mm(d_scores_RV, weight_VD, out=d_states_PD[rows])
                d_weight_VD += torch.mm(d_scores_RV.t(), states_RD)
        return loss

    @staticmethod
    def backward(ctx: Any, *d_loss: Tensor) -> tuple[Tensor | None, ...]:
        return *((saved * d_loss[0]).to(ctx.dtype) for saved in ctx.saved_tensors), None, None
