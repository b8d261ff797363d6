"""Random numbers without a state: each is a pure function of the key parts that name its use.

Parts are chained through the finaliser of splitmix64 (Steele, Lea and Flood 2014, with Stafford's
constants): number = mix(key + (part + 1) × golden). For one key, different parts never collide.
Everything random in a corpus comes from here; so no order of evaluation and no split can change it.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import numpy as np

from orchestrator.corpus.arrays import Int64s, Integers, Uint64s

_WORD = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31


class Purpose(IntEnum):
    """What a number decides. The values are part of every stream: never renumber them."""

    ORDER = 1  # of documents
    SHORT = 2  # is this sample shorter on purpose, and how short?
    HALVES = 3  # where a pair is divided
    EXCHANGE = 4  # which pairs exchange their second halves
    TURN = 5  # is this pair's order turned round?
    SAMPLES = 6  # order of samples before packing, and inside a pack
    PACKS = 7  # order of packs
    IDENTITY = 8  # of a sample
    FED = 9  # what an audit sums
    MASK = 10  # is this token or word predicted?
    SPAN = 11  # over how many words
    REPLACE = 12  # and by what is it replaced?
    PASSES = 13  # which documents of a source does an epoch read?


def key_of(seed: int, purpose: Purpose, *parts: int) -> int:
    """The key that arrays of further parts are drawn under."""
    state = seed & _WORD
    for part in (int(purpose), *parts):
        state = _mix_one(state + (part + 1) * _GOLDEN)
    return state


def draw(key: int | Uint64s, parts: Integers) -> Uint64s:
    """One number for each part, under one key or under a key of each its own."""
    state = parts.astype(np.uint64)
    state *= np.uint64(_GOLDEN)
    if isinstance(key, int):
        state += np.uint64((key + _GOLDEN) & _WORD)
    else:
        state += key
        state += np.uint64(_GOLDEN)
    return _mix(state)


def draw_along(keys_S: Uint64s, offsets_S1: Integers) -> Uint64s:
    """For pieces laid end to end, draw(keys_S[s], 0), draw(keys_S[s], 1), … of each, for the masks.

    The product with golden is linear, so one table of products serves every piece, shifted.
    """
    starts = offsets_S1.astype(np.uint64)
    lengths = np.diff(offsets_S1)
    state = np.repeat(keys_S - starts[:-1] * np.uint64(_GOLDEN), lengths)
    state += _products(1 << max(len(state) - 1, 0).bit_length())[: len(state)]
    return _mix(state)


def below(numbers: Uint64s, limits: Integers | int) -> Int64s:
    """Numbers made uniform in [0, limit), for limits up to 2^32; uses the upper 32 bits alone."""
    scaled = numbers >> np.uint64(32)
    scaled *= np.asarray(limits).astype(np.uint64)
    scaled >>= np.uint64(32)
    return scaled.view(np.int64)


def threshold(chance: float) -> np.uint64:
    """A number is less than this with the given chance (1 is missed by 2^-64)."""
    return np.uint64(min(max(int(chance * 2.0**64), 0), _WORD))


def sum_of(numbers: Uint64s) -> int:
    """Modulo 2^64: the same for every order and grouping, so ranks may add theirs up in turn."""
    return int(numbers.sum(dtype=np.uint64))


def _mix(state: Uint64s) -> Uint64s:
    """In place; returns its argument."""
    shifted = np.empty_like(state)
    for shift, factor in _ROUNDS:
        np.right_shift(state, np.uint64(shift), out=shifted)
        state ^= shifted
        state *= np.uint64(factor)
    np.right_shift(state, np.uint64(_LAST_SHIFT), out=shifted)
    state ^= shifted
    return state


def _mix_one(state: int) -> int:
    state &= _WORD
    for shift, factor in _ROUNDS:
        state = ((state ^ (state >> shift)) * factor) & _WORD
    return state ^ (state >> _LAST_SHIFT)


@lru_cache(maxsize=8)
def _products(size: int) -> Uint64s:
    products = np.arange(1, size + 1, dtype=np.uint64)
    products *= np.uint64(_GOLDEN)
    products.flags.writeable = False
    return products
