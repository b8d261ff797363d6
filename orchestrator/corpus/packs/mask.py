"""Which tokens of a pack are predicted, and what stands in their place.

Every choice is a function of (seed, epoch, sample, position) alone, so that it does not matter on
which rank, in which micro-batch or in which attempt a sample is masked. The objectives `mlm` and
`rtd` call this on whole packs; `spans.py` has the choice of n-grams.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from orchestrator.corpus.arrays import Bools, Int32s, Int64s, Integers, Uint64s, flat_ranges
from orchestrator.corpus.keys import Purpose, below, draw, draw_along, key_of, threshold
from orchestrator.corpus.packs.spans import cover, span_chances
from orchestrator.corpus.packs.window import Pack
from orchestrator.errors import RequestError


class Unit(StrEnum):
    """What is chosen as a whole."""

    TOKEN = "token"
    WORD = "word"
    NGRAM = "ngram"  # up to three words in a row, n with a chance proportional to 1/n


@dataclass(frozen=True, kw_only=True)
class Masking:
    seed: int
    rate: float = 0.15  # the chance of every token
    unit: Unit = Unit.TOKEN
    mask_share: float = 0.8  # of the predicted ones; the rest stay as they are
    random_share: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    size: int
    mask_id: int
    special_ids: tuple[int, ...]  # never selected and never a replacement

    def __post_init__(self) -> None:
        if not len(self.ordinary_ids):
            raise RequestError(f"All {self.size} words of the vocabulary are special tokens.")

    @cached_property
    def is_ordinary_V(self) -> Bools:
        is_ordinary_V = np.ones(self.size, np.bool_)
        is_ordinary_V[[*self.special_ids, self.mask_id]] = False
        return is_ordinary_V

    @cached_property
    def ordinary_ids(self) -> Int32s:
        return np.flatnonzero(self.is_ordinary_V).astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class Masked:
    tokens_T: Int32s  # what the model reads
    chosen_P: Int64s  # into tokens, ascending
    targets_P: Int32s  # what stood there


def mask(pack: Pack, masking: Masking, vocabulary: Vocabulary) -> Masked:
    is_open_T = vocabulary.is_ordinary_V.take(pack.tokens_T)
    keys_S = draw(key_of(masking.seed, Purpose.MASK, pack.epoch), pack.ids_S)
    if masking.unit is Unit.TOKEN:
        numbers_T = draw_along(keys_S, pack.offsets_S1)
        is_chosen_T = numbers_T < threshold(masking.rate)
        is_chosen_T &= is_open_T
        chosen = _with_lonely(np.flatnonzero(is_chosen_T), numbers_T, is_open_T, pack.offsets_S1)
    else:
        chosen = _choose_words(pack, masking, is_open_T, keys_S)
    targets_P = pack.tokens_T.take(chosen)
    tokens_T = pack.tokens_T.copy()
    tokens_T[chosen] = _replacements(targets_P, chosen, pack, masking, vocabulary)
    return Masked(tokens_T=tokens_T, chosen_P=chosen, targets_P=targets_P)


def _choose_words(pack: Pack, masking: Masking, is_open_T: Bools, keys_S: Uint64s) -> Int64s:
    """As tokens are chosen, with words in their place; what is no text is a word of its own."""
    is_first_T = pack.word_starts_T | ~is_open_T
    is_first_T[1:] |= ~is_open_T[:-1]
    is_first_T[pack.offsets_S1[:-1]] = True
    firsts_W = np.flatnonzero(is_first_T)
    words_S1 = np.searchsorted(firsts_W, pack.offsets_S1)
    num_words_S = np.diff(words_S1)
    positions_W = firsts_W - np.repeat(pack.offsets_S1[:-1], num_words_S)
    numbers_W = draw(np.repeat(keys_S, num_words_S), positions_W)
    is_open_W = is_open_T[firsts_W]
    if masking.unit is Unit.WORD:
        is_chosen_W = numbers_W < threshold(masking.rate)
    else:
        is_first_W = np.zeros(len(firsts_W), np.bool_)
        is_first_W[words_S1[:-1]] = True
        is_chosen_W = cover(numbers_W, is_open_W, is_first_W, span_chances(masking.rate))
    chosen = np.flatnonzero(is_chosen_W & is_open_W)
    chosen = _with_lonely(chosen, numbers_W, is_open_W, words_S1)
    lengths_W = np.diff(firsts_W, append=len(is_open_T))
    return flat_ranges(firsts_W[chosen], lengths_W[chosen])


def _with_lonely(chosen: Int64s, numbers: Uint64s, is_open: Bools, offsets_S1: Integers) -> Int64s:
    """Where a sample got no prediction, the place with the least number is chosen, if any is open.

    The same for tokens and for words.
    """
    lonely = np.flatnonzero(np.diff(np.searchsorted(chosen, offsets_S1)) == 0)
    if not len(lonely):
        return chosen
    begins, lengths = offsets_S1[lonely], np.diff(offsets_S1)[lonely].astype(np.int64)
    places = flat_ranges(begins, lengths)
    samples = np.repeat(np.arange(len(lonely)), lengths)[is_open[places]]
    places = places[is_open[places]]
    order = np.lexsort((numbers[places], samples))
    is_least = np.diff(samples, prepend=-1) > 0  # the samples stay sorted
    return np.sort(np.concatenate([chosen, places[order][is_least]]))


def _replacements(
    targets_P: Int32s, chosen: Int64s, pack: Pack, masking: Masking, vocabulary: Vocabulary
) -> Int32s:
    """A number's upper bits say what is done, its lower ones by which word it is replaced."""
    keys_S = draw(key_of(masking.seed, Purpose.REPLACE, pack.epoch), pack.ids_S)
    keys_P = np.repeat(keys_S, np.diff(np.searchsorted(chosen, pack.offsets_S1)))
    numbers_P = draw(keys_P, pack.positions_T.take(chosen))
    is_masked_P = numbers_P < threshold(masking.mask_share)
    is_changed_P = numbers_P < threshold(masking.mask_share + masking.random_share)
    words_P = np.where(is_masked_P, np.int32(vocabulary.mask_id), targets_P)
    randoms = np.flatnonzero(is_changed_P & ~is_masked_P)
    ordinary = vocabulary.ordinary_ids
    words_P[randoms] = ordinary[below(numbers_P[randoms] << np.uint64(32), len(ordinary))]
    return words_P
