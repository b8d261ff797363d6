"""One small reduction before a step: what all ranks feed together, and whether they go on.

Counts and hashes are known from packs alone, so nobody computes anything before all have agreed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed

from orchestrator.training.material import Tally
from orchestrator.training.port import WorkerPort

_LIMBS = 4  # of 16 bits: sums of them are exact in fp64 for any world


@dataclass(frozen=True, kw_only=True)
class Agreed:
    counts: tuple[int, ...]  # of each part of the loss
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


def agree(port: WorkerPort, tally: Tally, wishes: Wishes) -> Agreed:
    limbs = limbs_of(tally.fed_hash % 2**64)
    own = [*tally.counts, tally.tokens, tally.flops, wishes.stop, wishes.checkpoint, *limbs]
    vector = torch.tensor(own, dtype=torch.float64)
    _reduce(port, vector)
    *counts, tokens, flops, stop, due = vector[:-_LIMBS].tolist()
    return Agreed(
        counts=tuple(map(int, counts)),
        tokens=int(tokens),
        flops=flops,
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
    total = values.detach().to("cpu", torch.float64, copy=True)
    _reduce(port, total)
    return total


def _reduce(port: WorkerPort, vector: torch.Tensor) -> None:
    """One worker alone may have no group."""
    if port.world > 1:
        distributed.all_reduce(vector, group=port.control)
