"""The loss on the validation split: the same packs with the same masks each time, on any world."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import takewhile

import torch

from orchestrator.corpus.packs.stream import Cursor, Share, Stream
from orchestrator.corpus.packs.window import Pack
from orchestrator.objectives.ready import ReadyPack
from orchestrator.objectives.terms import Term
from orchestrator.training.agree import added_up
from orchestrator.training.port import WorkerPort


class Validation:
    """A rank's share of the packs, laid out once and kept."""

    def __init__(
        self,
        port: WorkerPort,
        stream: Stream,
        terms: tuple[Term, ...],
        *,
        num_packs: int,
        transform: Callable[[list[Pack]], list[ReadyPack]],
    ) -> None:
        self._port = port
        self._terms = terms
        first_epoch = takewhile(lambda place: place[1].epoch == 0, stream.places(Cursor()))
        self.num_packs = sum(1 for _ in zip(range(num_packs), first_epoch, strict=False))
        share = Share(
            packs_per_step=self.num_packs, micro_packs=1, world=port.world, rank=port.rank
        )
        micro_batches, _ = stream.step(Cursor(), share)
        self._packs = [transform(packs) for packs in micro_batches]

    @property
    def first(self) -> ReadyPack | None:
        """Of this rank; on rank 0 it is the first of all."""
        return self._packs[0][0] if self._packs else None

    def measure(self, score: Callable[[list[ReadyPack]], torch.Tensor]) -> dict[str, float]:
        scores = torch.zeros(2, len(self._terms), dtype=torch.float64)
        counts = torch.zeros(1, len(self._terms), dtype=torch.float64)
        for packs in self._packs:
            scores += score(packs)
            counts += torch.tensor(
                [[sum(term.count(pack) for pack in packs) for term in self._terms]]
            )
        sums, right, counted = added_up(self._port, torch.cat([scores, counts])).tolist()
        figures: dict[str, float] = {}
        loss = 0.0
        for number, term in enumerate(self._terms):
            mean = sums[number] / max(counted[number], 1)
            loss += term.weight * mean
            figures[f"eval/{term.name}_loss"] = mean
            figures[f"eval/{term.name}_accuracy"] = right[number] / max(counted[number], 1)
        figures["eval/loss"] = loss
        # Of masked tokens, which are the first term.
        figures["eval/perplexity"] = math.exp(min(figures[f"eval/{self._terms[0].name}_loss"], 700))
        return figures
