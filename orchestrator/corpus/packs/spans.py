"""Masking of n-grams: spans of one to three words, n with a chance proportional to 1/n (ALBERT).

Spans begin at words independently and may overlap. The chance to begin one is solved for, so that
every word is covered with exactly the rate that was asked for, at the edges of a text too.
`mask.py` calls this.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from orchestrator.corpus.arrays import Bools, Uint64s
from orchestrator.corpus.keys import Purpose, draw, key_of, threshold

MAX_WORDS = 3
_SETTLED = 32  # words from the beginning of a text after which the chance changes no more
_HARMONIC = sum(1 / n for n in range(1, MAX_WORDS + 1))
# Chance that a span has more than d words.
_LONGER = [sum(1 / n for n in range(d + 1, MAX_WORDS + 1)) / _HARMONIC for d in range(MAX_WORDS)]


@lru_cache(maxsize=8)
def span_chances(rate: float) -> tuple[float, ...]:
    """The chance that a span begins at the word with 0, 1, … words of its text before it.

    A word is free if no span begins there and none that began d words before is longer than d:
    1 - rate = (1 - chance[i]) × Π over d of (1 - chance[i - d] × P(longer than d)).
    """
    chances: list[float] = []
    for word in range(_SETTLED):
        free = 1.0
        for d in range(1, min(word, MAX_WORDS - 1) + 1):
            free *= 1 - chances[word - d] * _LONGER[d]
        chances.append(1 - (1 - rate) / free)
    return tuple(chances)


def cover(
    numbers_W: Uint64s, is_open_W: Bools, is_first_W: Bools, chances: tuple[float, ...]
) -> Bools:
    """Which words spans cover. They do not cross a closed word, nor a sample's beginning."""
    words = np.arange(len(numbers_W))
    is_edge_W = is_first_W | ~is_open_W
    is_edge_W[1:] |= ~is_open_W[:-1]
    before_W = words - np.maximum.accumulate(np.where(is_edge_W, words, 0))
    thresholds = np.asarray([threshold(chance) for chance in chances])
    begins_W = numbers_W < thresholds[np.minimum(before_W, len(chances) - 1)]
    begins_W &= is_open_W
    lengths_W = draw(key_of(0, Purpose.SPAN), numbers_W)
    covered_W = begins_W.copy()
    for d in range(1, MAX_WORDS):
        reaches_W = begins_W[:-d] & (lengths_W[:-d] < threshold(_LONGER[d]))
        covered_W[d:] |= reaches_W & (before_W[d:] >= d)
    return covered_W
