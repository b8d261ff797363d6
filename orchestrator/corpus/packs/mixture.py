"""How often an epoch reads the documents of each source: repeat weights, exact over all epochs.

A source of n documents gives round(weight × n) reads to every epoch. Its reads of all epochs go
through one endless row of permutations of its documents, so none is read again before all others
were read as often, whatever the weight. `window.py` asks which documents its reads are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.corpus.arrays import Int64s, offsets
from orchestrator.corpus.keys import Purpose, key_of
from orchestrator.corpus.packs.cut import REPEAT
from orchestrator.corpus.packs.order import Order
from orchestrator.errors import RequestError

_MOST = 2**20  # that a weight can be, so that numbers with their repeats fit 64 bits


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Documents that stand in a row in a corpus: those of one source."""

    num_documents: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight <= _MOST:
            raise RequestError(
                f"weight={self.weight} must be above 0 and at most {_MOST:,}.",
                hint="2 reads every document twice an epoch, 0.5 every second one.",
            )

    @property
    def num_reads(self) -> int:
        """Of an epoch. What has any document is never left out."""
        return max(round(self.weight * self.num_documents), min(self.num_documents, 1))


@dataclass(frozen=True, kw_only=True)
class Mixture:
    portions: tuple[Portion, ...]  # together the whole corpus, in its order

    @property
    def num_documents(self) -> int:
        return sum(portion.num_documents for portion in self.portions)

    @property
    def num_reads(self) -> int:
        """Of an epoch."""
        return sum(portion.num_reads for portion in self.portions)

    @property
    def num_epochs(self) -> int:
        """In so many epochs in a row, wherever they begin, every document is read."""
        read = [portion for portion in self.portions if portion.num_documents]
        return max((-(-2 * one.num_documents // one.num_reads) for one in read), default=0)

    def documents(self, reads_D: Int64s, *, seed: int, epoch: int) -> Int64s:
        """The document that each read of the epoch is, plus REPEAT for each time before in it."""
        numbers_D = np.empty_like(reads_D)
        documents_P1 = offsets(np.asarray([one.num_documents for one in self.portions], np.int64))
        reads_P1 = offsets(np.asarray([one.num_reads for one in self.portions], np.int64))
        for number, portion in enumerate(self.portions):
            first, end = reads_P1[number : number + 2].tolist()
            own = np.flatnonzero((reads_D >= first) & (reads_D < end))
            if len(own):
                key = key_of(seed, Purpose.PASSES, number)
                found = _documents(portion, reads_D[own] - first, key, epoch)
                numbers_D[own] = found + documents_P1[number]
        return numbers_D


def _documents(portion: Portion, reads_D: Int64s, key: int, epoch: int) -> Int64s:
    count, begin = portion.num_documents, epoch * portion.num_reads
    end = begin + portion.num_reads
    passes_D: Int64s = (reads_D + begin) // count
    places_D: Int64s = (reads_D + begin) % count
    first, last = begin // count, (end - 1) // count
    for number in {first, last}:
        # A pass that lies in one epoch is shuffled by the epoch; so weights of 1 change nothing.
        if number * count < begin or (number + 1) * count > end:
            own = np.flatnonzero(passes_D == number)
            places_D[own] = Order(count=count, seed=key, epoch=number).at(places_D[own])
    return places_D + (passes_D - first) * REPEAT
