"""One small reduction before a step: what all ranks feed together, and whether they go on.

Counts and hashes are known from packs alone, so nobody computes anything before all have agreed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed

from orchestrator.encoder.counts import count_flops
from orchestrator.encoder.encoder import Encoder
from orchestrator.objectives.ready import ReadyPack, sample_lengths
from orchestrator.objectives.terms import Term
from orchestrator.training.port import WorkerPort

_LIMBS = 4  # of 16 bits: sums of them are exact in fp64 for any world


@dataclass(frozen=True, kw_only=True)
class Agreed:
    counts: tuple[int, ...]  # of each term
    tokens: int
    flops: float
    fed_hash: int
    must_stop: bool
    is_due: bool  # a checkpoint, by the time


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Of rank 0; others have none."""

    stop: bool = False
    checkpoint: bool = False


class Feeding:
    """Counts what this rank feeds; adds up what all do."""

    def __init__(self, port: WorkerPort, encoder: Encoder, terms: tuple[Term, ...]) -> None:
        self._port = port
        self._terms = terms
        self._model = encoder.settings
        self._vocab_size = encoder.vocab_size

    def agree(self, micro_batches: list[list[ReadyPack]], wishes: Wishes) -> Agreed:
        packs = [pack for packs in micro_batches for pack in packs]
        counts = [sum(term.count(pack) for pack in packs) for term in self._terms]
        flops = count_flops(
            self._model,
            vocab_size=self._vocab_size,
            lengths=sample_lengths(packs),
            num_predicted=counts[0],
            num_pairs=sum(counts[1:]),
        )
        tokens = sum(pack.num_tokens for pack in packs)
        limbs = limbs_of(sum(pack.fed_hash for pack in packs) % 2**64)
        own = [*counts, tokens, flops, wishes.stop, wishes.checkpoint, *limbs]
        vector = torch.tensor(own, dtype=torch.float64)
        distributed.all_reduce(vector, group=self._port.control)
        *summed, all_tokens, all_flops, stop, due = vector[:-_LIMBS].tolist()
        return Agreed(
            counts=tuple(map(int, summed)),
            tokens=int(all_tokens),
            flops=all_flops,
            fed_hash=of_limbs(map(int, vector[-_LIMBS:].tolist())),
            must_stop=stop > 0,
            is_due=due > 0,
        )


def limbs_of(number: int) -> list[int]:
    return [(number >> (16 * place)) & 0xFFFF for place in range(_LIMBS)]


def of_limbs(limbs: Iterable[int]) -> int:
    """Of sums of limbs: what does not fit into one is carried on."""
    return sum(limb << (16 * place) for place, limb in enumerate(limbs)) % 2**64


def added_up(port: WorkerPort, values: torch.Tensor) -> torch.Tensor:
    """The sum over all ranks, in fp64."""
    total = values.detach().to("cpu", torch.float64)
    distributed.all_reduce(total, group=port.control)
    return total
