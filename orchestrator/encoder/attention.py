"""Attention within each sample of a pack, as a function that transformers' models call by name.

A pack is one row of tokens; `Layout` says where its samples begin and goes to the model as
`layout=`. Nothing is padded and no mask is made. `build.py` gives every model this attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from orchestrator.corpus.arrays import Integers
from orchestrator.encoder.findings import has_flash_attn

PACKED = "packed"  # in a config of transformers; it is never written to a config.json
_HAS_FLASH_ATTN = has_flash_attn()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the samples of a pack lie: made once for a pack, read by every layer."""

    cu_seqlens_S1: Tensor  # int32, on the model's device
    lengths: tuple[int, ...]

    @property
    def longest(self) -> int:
        return max(self.lengths)


def layout_of(offsets_S1: Integers, device: torch.device | str = "cpu") -> Layout:
    """Of `Pack.offsets_S1`."""
    cu_seqlens_S1 = torch.tensor(offsets_S1, dtype=torch.int32, device=device)
    return Layout(cu_seqlens_S1=cu_seqlens_S1, lengths=tuple(np.diff(offsets_S1).tolist()))


def _attend(
    module: torch.nn.Module,
    query_1HTC: Tensor,
    key_1HTC: Tensor,
    value_1HTC: Tensor,
    attention_mask: None,
    *,
    layout: Layout,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """H heads of C channels. Answers in the order that transformers goes on with: [1, T, H, C]."""
    states = (query_1HTC, key_1HTC, value_1HTC)
    is_half = query_1HTC.dtype in (torch.float16, torch.bfloat16)
    if query_1HTC.is_cuda and is_half and (dropout == 0 or _HAS_FLASH_ATTN):
        query_THC, key_THC, value_THC = (each.transpose(1, 2).squeeze(0) for each in states)
        attended_THC = _on_gpu(query_THC, key_THC, value_THC, layout, scaling, dropout)
        return attended_THC.unsqueeze(0), None
    return _one_by_one(*states, layout, scaling, dropout), None


# Not compiled: lengths differ from pack to pack, and each would be compiled anew.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _one_by_one(
    query_1HTC: Tensor,
    key_1HTC: Tensor,
    value_1HTC: Tensor,
    layout: Layout,
    scaling: float,
    dropout: float,
) -> Tensor:
    """What is fastest on a CPU: a sample's scores fit its cache, those of a padded batch do not.

    In fp32, also where the model is in bf16: without instructions for bf16 its kernels are three
    to ten times slower, and with dropout PyTorch computes in fp32 anyway.
    """
    states = zip(
        *(
            all_1HTC.float().split_with_sizes(layout.lengths, dim=2)
            for all_1HTC in (query_1HTC, key_1HTC, value_1HTC)
        ),
        strict=True,
    )
    attended = [
        scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scaling)
        for query, key, value in states
    ]
    return torch.cat(attended, dim=2).transpose(1, 2).to(query_1HTC.dtype)


def _on_gpu(
    query_THC: Tensor,
    key_THC: Tensor,
    value_THC: Tensor,
    layout: Layout,
    scaling: float,
    dropout: float,
) -> Tensor:
    bounds = (layout.cu_seqlens_S1, layout.cu_seqlens_S1, layout.longest, layout.longest)
    if dropout == 0:
        from torch.nn.attention.varlen import varlen_attn

        return cast(Tensor, varlen_attn(query_THC, key_THC, value_THC, *bounds, scale=scaling))
    flash_attn = import_module("flash_attn")
    return cast(
        Tensor,
        flash_attn.flash_attn_varlen_func(
            *(query_THC, key_THC, value_THC, *bounds),
            dropout_p=dropout,
            softmax_scale=scaling,
            deterministic=torch.are_deterministic_algorithms_enabled(),
        ),
    )


def _no_mask(**_: Any) -> None:
    """Instead of the square of a pack's tokens that transformers would make."""


AttentionInterface.register(PACKED, _attend)
AttentionMaskInterface.register(PACKED, _no_mask)
