"""A pack as a model reads it: masked, with its targets, as tensors. Made in the loader's thread.

Everything here is a function of the pack and of keys, so counts are known before any model runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from orchestrator.corpus.packs.mask import Masking, Vocabulary, mask
from orchestrator.corpus.packs.pairs import NO_LABEL
from orchestrator.corpus.packs.window import Pack
from orchestrator.encoder.attention import Layout, layout_of


@dataclass(frozen=True, kw_only=True)
class ReadyPack:
    index: int  # in the whole stream
    fed_hash: int
    num_tokens: int  # 0 where the pack counts nothing
    tokens_T: Tensor
    positions_T: Tensor
    segments_T: Tensor
    layout: Layout
    chosen_P: Tensor
    targets_P: Tensor
    firsts_N: Tensor  # where samples begin that are pairs
    labels_N: Tensor

    def to(self, device: torch.device) -> ReadyPack:
        """The copies overlap with what the device computes, where its memory allows."""
        if device.type == "cpu":
            return self
        moved = {
            name: getattr(self, name).pin_memory().to(device, non_blocking=True)
            for name in _TENSORS
        }
        layout = replace(self.layout, cu_seqlens_S1=self.layout.cu_seqlens_S1.to(device))
        return replace(self, layout=layout, **moved)


_TENSORS = (
    *("tokens_T", "positions_T", "segments_T"),
    *("chosen_P", "targets_P", "firsts_N", "labels_N"),
)


def make_ready(pack: Pack, masking: Masking, vocabulary: Vocabulary) -> ReadyPack:
    masked = mask(pack, masking, vocabulary)
    pairs = np.flatnonzero(pack.labels_S != NO_LABEL)
    counts = pack.weight > 0
    return ReadyPack(
        index=pack.index,
        fed_hash=pack.fed_hash(),
        num_tokens=len(pack.tokens_T) if counts else 0,
        tokens_T=torch.from_numpy(masked.tokens_T),
        positions_T=torch.from_numpy(pack.positions_T),
        segments_T=torch.from_numpy(pack.segments_T),
        layout=layout_of(pack.offsets_S1),
        chosen_P=torch.from_numpy(masked.chosen_P if counts else masked.chosen_P[:0]),
        targets_P=torch.from_numpy(masked.targets_P if counts else masked.targets_P[:0]),
        firsts_N=torch.from_numpy(pack.offsets_S1[pairs].astype(np.int64)),
        labels_N=torch.from_numpy(pack.labels_S[pairs]),
    )


def joined(packs: list[ReadyPack]) -> ReadyPack:
    """Packs as one, which a model without dropout may read: no key of theirs counts."""
    begins = np.cumsum([0, *(len(pack.tokens_T) for pack in packs)]).tolist()
    offsets = [
        begin + np.cumsum([0, *pack.layout.lengths])[:-1]
        for begin, pack in zip(begins, packs, strict=False)
    ]

    def all_of(name: str, *, shifted: bool = False) -> Tensor:
        shifts = begins if shifted else [0] * len(packs)
        parts = zip(packs, shifts, strict=False)
        return torch.cat([getattr(pack, name) + shift for pack, shift in parts])

    return ReadyPack(
        index=packs[0].index,
        fed_hash=sum(pack.fed_hash for pack in packs) % 2**64,
        num_tokens=sum(pack.num_tokens for pack in packs),
        tokens_T=all_of("tokens_T"),
        positions_T=all_of("positions_T"),
        segments_T=all_of("segments_T"),
        layout=layout_of(np.asarray([*np.concatenate(offsets), begins[-1]])),
        chosen_P=all_of("chosen_P", shifted=True),
        targets_P=all_of("targets_P"),
        firsts_N=all_of("firsts_N", shifted=True),
        labels_N=all_of("labels_N"),
    )


def sample_lengths(packs: list[ReadyPack]) -> Iterator[int]:
    """Of the samples that count."""
    for pack in packs:
        if pack.num_tokens:
            yield from pack.layout.lengths
