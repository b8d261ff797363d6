"""The modules that an engine trains: an encoder with the terms of its loss, or with a task's head.

Gradients are the same for every division of a step: sums are weighted by counts of the whole
global batch, and each pack has its own dropout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from orchestrator.encoder.dropout import keyed_dropout
from orchestrator.encoder.encoder import Encoder
from orchestrator.objectives.ready import ReadyPack, joined
from orchestrator.objectives.terms import Term, weighted
from orchestrator.tasks.heads.head import Outputs
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.packed import TaskPack


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """What a step's micro-batches have in common."""

    step: int
    counts: tuple[int, ...]  # of each term, in the whole global batch


class Pretraining(nn.Module):
    def __init__(self, encoder: Encoder, terms: tuple[Term, ...], *, seed: int) -> None:
        super().__init__()
        self.encoder = encoder
        self._terms = terms
        self._seed = seed
        model = encoder.settings
        self._has_dropout = model.dropout > 0 or model.attention_dropout > 0

    def forward(
        self, packs: list[ReadyPack], weighing: Weighing | None = None, num_guesses: int = 0
    ) -> tuple[Tensor, Tensor] | Tensor:
        """The micro-batch's part of the loss, and its sums, one for each term; or its scores; or
        what it takes the masked words for.

        One door for all, since ZeRO 3 gathers weights for those who come through it only.
        """
        if num_guesses:
            return self._guesses(packs[0], num_guesses)
        if weighing is None:
            return self._scores(packs)
        if not self._has_dropout:
            packs = [joined(packs)] if len(packs) > 1 else packs
        sums = torch.stack([self._sums(pack, weighing.step) for pack in packs]).sum(dim=0)
        return weighted(self._terms, sums, weighing.counts), sums.detach()

    def _scores(self, packs: list[ReadyPack]) -> Tensor:
        """[2, terms] in fp64: sums of losses, and how many predictions are right."""
        scores = torch.zeros(2, len(self._terms), dtype=torch.float64)
        for pack in packs:
            hidden_TD = self._hidden(pack)
            for number, term in enumerate(self._terms):
                scores[0, number] += term.sum(self.encoder, hidden_TD, pack).item()
                scores[1, number] += term.num_right(self.encoder, hidden_TD, pack)
        return scores

    def _guesses(self, pack: ReadyPack, num_guesses: int) -> tuple[Tensor, Tensor]:
        """[P, guesses] each: how likely the likeliest words are at each chosen token, and which."""
        logits_PV = self.encoder.vocabulary_logits(self._hidden(pack), pack.chosen_P)
        chances_PG, words_PG = logits_PV.float().softmax(dim=1).topk(num_guesses)
        return chances_PG, words_PG

    def _sums(self, pack: ReadyPack, step: int) -> Tensor:
        with keyed_dropout(self._seed, step, pack.index, pack.tokens_T.device):
            hidden_TD = self._hidden(pack)
            sums = [term.sum(self.encoder, hidden_TD, pack) for term in self._terms]
        return torch.stack(sums)

    def _hidden(self, pack: ReadyPack) -> Tensor:
        hidden_TD: Tensor = self.encoder(
            pack.tokens_T, pack.positions_T, pack.segments_T, pack.layout
        )
        return hidden_TD


@dataclass(frozen=True, kw_only=True)
class TaskBatch:
    """Examples that are computed at once."""

    pack: TaskPack
    index: int  # of the pack in its step, from which its dropout follows
    fed_hash: int = 0
    counts: bool = True  # False: it only keeps a rank in step with the others


class Finetuning(nn.Module):
    def __init__(self, model: TaskModel, *, seed: int) -> None:
        super().__init__()
        self.model = model
        self._seed = seed

    def forward(
        self, batch: TaskBatch, weighing: Weighing | None = None
    ) -> tuple[Tensor, Tensor] | tuple[Outputs, Tensor]:
        """The batch's part of the loss, and its sum; or what the head puts out, and the sum."""
        pack = batch.pack
        if weighing is None:
            outputs = self.model(pack)
            return outputs, self.model.head.loss(outputs, pack)
        with keyed_dropout(self._seed, weighing.step, batch.index, pack.tokens_T.device):
            total = self.model.head.loss(self.model(pack), pack)
        if not batch.counts:
            total = total * 0.0
        return total / max(weighing.counts[0], 1), total.detach()[None]
