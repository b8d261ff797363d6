"""How alike two texts are: MinHash over word triples, and bands that find the pairs to compare.

`datasketch` has the permutations and finds the best bands. Triples are hashed many at once here:
one at a time, as it would, they take four times as long. Used by `duplicates`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from orchestrator.corpus.arrays import Bools, Int64s, Uint64s
from orchestrator.corpus.keys import draw

Uint32s = npt.NDArray[np.uint32]
NUM_VALUES = 128  # of a signature: similarity is estimated to ± 0.035 at 0.8
_WORDS, _CHARACTERS = 3, 5  # of a shingle
_LONG_WORD = 16  # a language with spaces has shorter words on the average
_AT_ONCE = 2**14  # shingles or pairs: bounds the memory of a step to some 20 MB
_MISSED = 0.98  # weight of a missed pair; pairs found in vain cost a comparison, and no more
_HIGHEST = 0.97  # above it one band alone would be best, which would miss too much
_FACTORS = draw(0, np.arange(NUM_VALUES)) | np.uint64(1)  # odd: none loses a bit


def signer() -> Callable[[str], Uint32s]:
    """A function from a text, whose spaces are single, to its signature.

    The least of two texts' values, one by one, are the signature of both together.
    """
    from datasketch import MinHash

    empty = MinHash(num_perm=NUM_VALUES, hashfunc=lambda hashed: hashed)

    def sign(text: str) -> Uint32s:
        signature = empty.copy()
        shingles = _shingles(text)
        for begin in range(0, len(shingles), _AT_ONCE):
            signature.update_batch(shingles[begin : begin + _AT_ONCE].tolist())
        values: Uint32s = signature.hashvalues
        return values

    return sign


def _shingles(text: str) -> Uint64s:
    """32-bit hashes of what follows on each other: of words, or of characters without spaces."""
    words = text.lower().encode().split(b" ")
    if len(text) > _LONG_WORD * len(words):
        units = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint64)
        size = min(_CHARACTERS, len(units))
    else:
        units = np.fromiter(map(xxh3_64_intdigest, words), np.uint64, len(words))
        size = min(_WORDS, len(units))
    count = len(units) - size + 1
    mixed = sum(
        (units[at : at + count] * _FACTORS[at] for at in range(size)), np.zeros(count, np.uint64)
    )
    return mixed >> np.uint64(32)


def bands(similarity: float) -> list[slice]:
    """Ranges of values; two texts that agree in all values of any one are to be compared."""
    from datasketch import MinHashLSH

    best: Any = MinHashLSH(
        threshold=min(similarity, _HIGHEST), num_perm=NUM_VALUES, weights=(1 - _MISSED, _MISSED)
    )
    return [slice(band * best.r, (band + 1) * best.r) for band in range(best.b)]


def band_keys(values_DV: Uint32s, band: slice) -> Uint64s:
    """Equal where all values of the band are."""
    values = values_DV[:, band].astype(np.uint64)
    keys: Uint64s = (values * _FACTORS[: values.shape[1]]).sum(axis=1, dtype=np.uint64)
    return keys


def pairs_of(keys_D: Uint64s) -> tuple[Int64s, Int64s]:
    """Of documents with equal keys: each with the first of them, and with the one before it.

    Not all with all: a thousand copies of a page would make half a million pairs.
    """
    order = np.argsort(keys_D, kind="stable")
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = keys_D[order[1:]] != keys_D[order[:-1]]
    begins = np.flatnonzero(is_new)
    firsts = order[np.repeat(begins, np.diff(begins, append=len(order)))]
    before, later = np.roll(order, 1)[~is_new], order[~is_new]
    is_third = firsts[~is_new] != before
    return (
        np.concatenate([before, firsts[~is_new][is_third]]),
        np.concatenate([later, later[is_third]]),
    )


def are_first(values_DV: Uint32s, bands: list[slice], similarity: float) -> Bools:
    """Whether a document is alike to no earlier one.

    One that is alike to a later one only, which goes, stays: its text would be lost. Repeated with
    what is left until nothing is found, since `pairs_of` does not give all pairs.
    """
    is_first_D = np.ones(len(values_DV), np.bool_)
    while True:
        kept_K = np.flatnonzero(is_first_D)
        for band in bands:
            one_P, other_P = (kept_K[at_P] for at_P in pairs_of(band_keys(values_DV, band)[kept_K]))
            is_open_P = is_first_D[other_P]
            one_P, other_P = one_P[is_open_P], other_P[is_open_P]
            is_first_D[other_P[_are_alike(values_DV, one_P, other_P, similarity)]] = False
        if is_first_D[kept_K].all():
            return is_first_D


def _are_alike(values_DV: Uint32s, one_P: Int64s, other_P: Int64s, similarity: float) -> Bools:
    """The share of equal values is the estimate of how many shingles two texts have in common."""
    least = similarity * NUM_VALUES - 1e-9
    is_alike_P = np.empty(len(one_P), np.bool_)
    for begin in range(0, len(one_P), _AT_ONCE):
        at = slice(begin, begin + _AT_ONCE)
        equal_PV = values_DV[one_P[at]] == values_DV[other_P[at]]
        is_alike_P[at] = equal_PV.sum(axis=1) >= least
    return is_alike_P
