"""Chosen examples as the tensors of one pass: what an encoder and a head of a task read.

The one place where features become tensors; training and evaluation call `pack`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from orchestrator.corpus.arrays import Int64s, flat_ranges
from orchestrator.encoder.attention import Layout, layout_of
from orchestrator.tasks.features import Features


@dataclass(frozen=True, kw_only=True)
class TaskPack:
    num_examples: int
    num_samples: int
    num_tokens: int
    tokens_T: Tensor
    positions_T: Tensor
    segments_T: Tensor
    layout: Layout
    firsts_S: Tensor  # the first token of each sample
    places_P: Tensor
    num_places_S: tuple[int, ...]
    num_samples_E: tuple[int, ...]
    targets: dict[str, Tensor]

    def to(self, device: torch.device) -> TaskPack:
        if device.type == "cpu":
            return self
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("tokens_T", "positions_T", "segments_T", "firsts_S", "places_P")
        }
        layout = replace(self.layout, cu_seqlens_S1=self.layout.cu_seqlens_S1.to(device))
        targets = {name: tensor.to(device) for name, tensor in self.targets.items()}
        return replace(self, layout=layout, targets=targets, **moved)


def pack(features: Features, chosen_E: Int64s) -> TaskPack:
    chosen = features.take(chosen_E)
    begins_S, sizes_S = chosen.offsets_S1[:-1], np.diff(chosen.offsets_S1)
    num_places_S = np.diff(chosen.place_offsets_S1)
    arrays = {**chosen.of_examples, **chosen.of_samples, **chosen.of_places}
    positions_T = flat_ranges(np.zeros_like(sizes_S), sizes_S).astype(np.int32)
    return TaskPack(
        num_examples=len(chosen),
        num_samples=len(sizes_S),
        num_tokens=len(chosen.tokens_T),
        tokens_T=torch.from_numpy(chosen.tokens_T),
        positions_T=torch.from_numpy(positions_T),
        segments_T=torch.from_numpy(chosen.segments_T),
        layout=layout_of(chosen.offsets_S1),
        firsts_S=torch.from_numpy(begins_S.copy()),
        places_P=torch.from_numpy(np.repeat(begins_S, num_places_S) + chosen.places_P),
        num_places_S=tuple(num_places_S.tolist()),
        num_samples_E=tuple(np.diff(chosen.samples_E1).tolist()),
        targets={name: torch.from_numpy(array) for name, array in arrays.items()},
    )
