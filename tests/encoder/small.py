"""Small encoders and random packs to feed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from orchestrator.encoder.attention import Layout, layout_of
from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.encoder import Encoder
from orchestrator.encoder.families import WORDS_AND_PAIRS, WORDS_ONLY, Heads
from orchestrator.settings.model import Family, Model

torch.set_num_threads(1)  # small work on a busy machine: a team of threads waits for its last

NUM_WORDS = 96
PAD = 1
# Weights large enough that attention to the wrong tokens shows.
BERT = Model(
    **dict(layers=2, hidden=16, heads=2, max_positions=64, initializer_range=0.2),
    **dict(dropout=0.2, attention_dropout=0.2),
)
ROBERTA = Model(
    **dict(family=Family.ROBERTA, segments=1, layer_norm_eps=1e-5),
    **dict(layers=2, hidden=16, heads=2, max_positions=64, initializer_range=0.2),
    **dict(dropout=0.2, attention_dropout=0.2),
)
HEADS: dict[Family, Heads] = {Family.BERT: WORDS_AND_PAIRS, Family.ROBERTA: WORDS_ONLY}


def encoder_of(model: Model, *, seed: int = 0) -> Encoder:
    return build_encoder(
        model, vocab_size=NUM_WORDS, pad_id=PAD, heads=HEADS[model.family], seed=seed
    )


@dataclass(frozen=True, kw_only=True)
class Feed:
    tokens_T: Tensor
    positions_T: Tensor
    segments_T: Tensor
    layout: Layout
    chosen_P: Tensor
    targets_P: Tensor

    @property
    def firsts_S(self) -> Tensor:
        return self.layout.cu_seqlens_S1[:-1].long()

    def hidden(self, encoder: Encoder) -> Tensor:
        hidden: Tensor = encoder(self.tokens_T, self.positions_T, self.segments_T, self.layout)
        return hidden

    def samples(self) -> list[Feed]:
        """Each alone, as a pack of its own. Nothing is chosen."""
        bounds = self.layout.cu_seqlens_S1.tolist()
        return [
            Feed(
                tokens_T=self.tokens_T[begin:end],
                positions_T=self.positions_T[begin:end],
                segments_T=self.segments_T[begin:end],
                layout=layout_of(np.asarray([0, end - begin])),
                chosen_P=self.chosen_P[:0],
                targets_P=self.targets_P[:0],
            )
            for begin, end in pairwise(bounds)
        ]


def feed_of(lengths: Sequence[int], *, seed: int = 0) -> Feed:
    numbers = np.random.default_rng(seed)
    size = sum(lengths)
    tokens_T = torch.from_numpy(numbers.integers(PAD + 1, NUM_WORDS, size))
    chosen_P = torch.from_numpy(np.flatnonzero(numbers.random(size) < 0.3))
    return Feed(
        tokens_T=tokens_T,
        positions_T=torch.cat([torch.arange(length) for length in lengths]),
        segments_T=torch.from_numpy(numbers.integers(0, 2, size)),
        layout=layout_of(np.cumsum([0, *lengths])),
        chosen_P=chosen_P,
        targets_P=tokens_T[chosen_P],
    )


def gradient_of(encoder: Encoder) -> Tensor:
    """Of all parameters, as one vector: that of a key's bias is zero but for rounding."""
    return torch.cat(
        [
            (torch.zeros_like(each) if each.grad is None else each.grad).flatten()
            for each in encoder.parameters()
        ]
    )


def difference(one: Tensor, other: Tensor) -> float:
    return ((one - other).norm() / other.norm()).item()
