"""Sentence pairs for NSP and SOP: where a sample is divided, and which halves change places.

All of it decides over the samples of one window from one random number for each of them, which is
keyed by where its text stands. `cut.py` calls this.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from orchestrator.corpus.arrays import Int64s, Uint64s
from orchestrator.corpus.keys import Purpose, below, draw, key_of, sum_of

NO_LABEL = -1  # of a sample that is no pair
_ROUNDS = 8


class Pairing(StrEnum):
    NONE = "none"
    NSP = "nsp"  # label 1: the second half is another document's
    SOP = "sop"  # label 1: the halves are turned round


def divide(bounds_N1: Int64s, first_S1: Int64s, numbers_S: Uint64s) -> Int64s:
    """Where second halves begin: at a keyed sentence, or in the middle of a sentence alone.

    Only a sample of a single token has no second half.
    """
    begins_S, ends_S = bounds_N1[first_S1[:-1]], bounds_N1[first_S1[1:]]
    ways_S = np.diff(first_S1) - 1
    sentences_S = first_S1[:-1] + 1 + below(numbers_S, np.maximum(ways_S, 1))
    return np.where(ways_S > 0, bounds_N1[sentences_S], (begins_S + ends_S + 1) // 2)


def exchange(documents_S: Int64s, lengths_S2: Int64s, numbers_S: Uint64s, budget: int) -> Int64s:
    """For each sample the one whose second half it gets: its own, or that of a partner.

    Partners exchange, so every half is used once; they are of different documents, and both fit.
    To that end samples stand in a row by the length of their second halves and neighbours become
    partners; who found none tries again with a new neighbour. Of these pairs as many exchange as
    make half of all samples (a keyed choice rounds odd counts), or all there are: of one document,
    none.
    """
    first_S, second_S = lengths_S2.T
    row = np.lexsort((numbers_S, second_S))
    row = row[second_S[row] > 0]
    wanted = (len(row) + key_of(sum_of(numbers_S), Purpose.EXCHANGE) % 4) // 4
    partners: list[Int64s] = []
    for number in range(_ROUNDS):
        start = number % 2
        stop = start + 2 * ((len(row) - start) // 2)
        left, right = row[start:stop:2], row[start + 1 : stop : 2]
        is_match = documents_S[left] != documents_S[right]
        is_match &= first_S[left] + second_S[right] <= budget
        is_match &= first_S[right] + second_S[left] <= budget
        partners.append(np.stack([left[is_match], right[is_match]], axis=1))
        is_waiting = np.ones(len(row), np.bool_)
        is_waiting[start:stop] = np.repeat(~is_match, 2)
        row = row[is_waiting]
    pairs = np.concatenate(partners)
    lots = draw(key_of(0, Purpose.EXCHANGE), numbers_S[pairs[:, 0]])
    pairs = pairs[np.argsort(lots, kind="stable")[:wanted]]
    from_S = np.arange(len(second_S))
    from_S[pairs[:, 0]], from_S[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return from_S
