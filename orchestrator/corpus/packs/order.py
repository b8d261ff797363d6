"""The order of an epoch's documents: a keyed permutation that is computed, never stored.

A Feistel network permutes the numbers of as many bits as the count needs; a result that is not
below the count is sent through again until it is (cycle walking: twice on average at worst).
`window.py` asks it for one window at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.corpus.arrays import Int64s, Uint64s
from orchestrator.corpus.keys import Purpose, draw, key_of

_NUM_ROUNDS = 8
_NUM_ROUNDS_OF_FEW = 24  # halves of a bit or two mix slowly
_FEW_BITS = 12


@dataclass(frozen=True, kw_only=True)
class Order:
    count: int
    seed: int
    epoch: int

    def between(self, start: int, stop: int) -> Int64s:
        """The documents at positions [start, stop)."""
        return self.at(np.arange(start, stop, dtype=np.int64))

    def at(self, positions: Int64s) -> Int64s:
        if len(positions) and not 0 <= positions.min() <= positions.max() < self.count:
            raise IndexError(f"positions must be in [0, {self.count})")
        if self.count < 2:
            return positions.copy()
        found = self._permute(positions.astype(np.uint64))
        while len(outside := np.flatnonzero(found >= np.uint64(self.count))):
            found[outside] = self._permute(found[outside])
        return found.view(np.int64)

    def _permute(self, numbers: Uint64s) -> Uint64s:
        bits = (self.count - 1).bit_length()
        low_bits = bits // 2
        widths = [low_bits, bits - low_bits]
        masks = [np.uint64((1 << width) - 1) for width in widths]
        halves = [numbers & masks[0], numbers >> np.uint64(low_bits)]
        for number in range(_NUM_ROUNDS if bits > _FEW_BITS else _NUM_ROUNDS_OF_FEW):
            changed, read = number % 2, 1 - number % 2
            key = key_of(self.seed, Purpose.ORDER, self.epoch, number)
            halves[changed] ^= draw(key, halves[read]) & masks[changed]
        return halves[0] | (halves[1] << np.uint64(low_bits))
