"""The terms that pretraining sums up: masked tokens, and pairs. `training/` weights and adds them.

A term's sum is divided by its count over the whole global batch, so that it does not matter which
worker had how many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from orchestrator.encoder.encoder import Encoder
from orchestrator.objectives.ready import ReadyPack
from orchestrator.settings.objective import Objective, Pairs


class Term(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> float: ...
    def count(self, pack: ReadyPack) -> int: ...
    def sum(self, encoder: Encoder, hidden_TD: Tensor, pack: ReadyPack) -> Tensor: ...
    def num_right(self, encoder: Encoder, hidden_TD: Tensor, pack: ReadyPack) -> int: ...


@dataclass(frozen=True, kw_only=True)
class MaskedTokens:
    name: str = "mlm"
    weight: float = 1.0

    def count(self, pack: ReadyPack) -> int:
        return len(pack.targets_P)

    def sum(self, encoder: Encoder, hidden_TD: Tensor, pack: ReadyPack) -> Tensor:
        return encoder.vocabulary_loss(hidden_TD, pack.chosen_P, pack.targets_P)

    def num_right(self, encoder: Encoder, hidden_TD: Tensor, pack: ReadyPack) -> int:
        words_P = encoder.vocabulary_words(hidden_TD, pack.chosen_P)
        return int((words_P == pack.targets_P).sum())


@dataclass(frozen=True, kw_only=True)
class TextPairs:
    name: str  # nsp or sop
    weight: float

    def count(self, pack: ReadyPack) -> int:
        return len(pack.labels_N)

    def sum(self, encoder: Encoder, hidden_TD: Tensor, pack: ReadyPack) -> Tensor:
        return encoder.pair_loss(hidden_TD, pack.firsts_N, pack.labels_N)

    def num_right(self, encoder: Encoder, hidden_TD: Tensor, pack: ReadyPack) -> int:
        logits_N2 = encoder.pair_logits(hidden_TD, pack.firsts_N)
        return int((logits_N2.argmax(dim=1) == pack.labels_N).sum())


def terms_of(objective: Objective) -> tuple[Term, ...]:
    if objective.pairs is Pairs.NONE:
        return (MaskedTokens(),)
    return (MaskedTokens(), TextPairs(name=objective.pairs.value, weight=objective.pair_weight))


def weighted(terms: tuple[Term, ...], sums: Tensor, counts: tuple[int, ...]) -> Tensor:
    """The loss: each term's sum over its count in the whole global batch, by its weight."""
    shares = [
        term.weight / count if count else 0.0 for term, count in zip(terms, counts, strict=True)
    ]
    return (sums * torch.tensor(shares, dtype=sums.dtype, device=sums.device)).sum()
