"""Documents → samples: segments on sentence boundaries, whole or divided into a pair.

Samples are spans of the documents' tokens; nothing is copied. Every choice is keyed by where in the
corpus the text stands, so that it depends on nothing that is read beside it. `window.py` cuts one
window at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.corpus.arrays import Bools, Int64s, Integers, Uint64s, flat_ranges
from orchestrator.corpus.keys import Purpose, below, draw, key_of, threshold
from orchestrator.corpus.packs.pairs import NO_LABEL, Pairing, divide, exchange
from orchestrator.errors import RequestError

REPEAT = 2**40  # more documents than any corpus has


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Rows of a corpus, laid end to end in the order in which they were asked for."""

    # In the corpus, plus REPEAT for each time that the epoch read it before: samples of their own.
    indices_D: Int64s
    tokens_T: Integers
    word_starts_T: Bools
    offsets_D1: Int64s  # into tokens
    sentence_ends_N: Int64s  # into tokens, exclusive, ascending; a document's end need not be there


@dataclass(frozen=True, kw_only=True)
class Template:
    """The special tokens before a text, after it, and between the two of a pair."""

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Cutting:
    seed: int
    seq_len: int
    template: Template
    pairing: Pairing = Pairing.NONE
    short_share: float = 0.1

    def __post_init__(self) -> None:
        least = 1 if self.pairing is Pairing.NONE else 2
        if self.budget < least:
            raise RequestError(
                f"seq_len={self.seq_len} leaves {self.budget} tokens for text beside the special "
                f"tokens; a sample needs at least {least}.",
                hint=f"Try seq_len={self.seq_len - self.budget + 126}.",
            )

    @property
    def budget(self) -> int:
        """Tokens of text in a sample, at most."""
        template = self.template
        middle = () if self.pairing is Pairing.NONE else template.middle
        return self.seq_len - len(template.prefix + middle + template.suffix)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Each is a span of the documents' tokens, or two; the second is empty where there is one."""

    ids_S: Uint64s  # made from where the text stands
    begins_S2: Int64s
    lengths_S2: Int64s
    sizes_S: Int64s  # tokens, special ones included
    labels_S: Int64s

    def __len__(self) -> int:
        return len(self.ids_S)


def cut(documents: Documents, cutting: Cutting, epoch: int) -> Samples:
    bounds_N1 = split_sentences(documents, cutting.budget)
    rows_N = np.searchsorted(documents.offsets_D1, bounds_N1[:-1], side="right") - 1
    keys_N = _keys(documents, rows_N, bounds_N1[:-1])
    ends_N = documents.offsets_D1[rows_N + 1]
    first_S1 = _chain(bounds_N1, ends_N, keys_N, cutting, epoch)
    rows_S, keys_S = rows_N[first_S1[:-1]], keys_N[first_S1[:-1]]
    begins_S, ends_S = bounds_N1[first_S1[:-1]], bounds_N1[first_S1[1:]]
    middles_S = ends_S
    if cutting.pairing is not Pairing.NONE:
        numbers_S = draw(key_of(cutting.seed, Purpose.HALVES, epoch), keys_S)
        middles_S = divide(bounds_N1, first_S1, numbers_S)
    begins_S2 = np.stack([begins_S, middles_S], axis=1)
    lengths_S2 = np.stack([middles_S - begins_S, ends_S - middles_S], axis=1)
    rows_S2 = np.stack([rows_S, rows_S], axis=1)
    labels_S = np.where(lengths_S2[:, 1] > 0, 0, NO_LABEL)
    if cutting.pairing is Pairing.NSP:
        numbers_S = draw(key_of(cutting.seed, Purpose.EXCHANGE, epoch), keys_S)
        documents_S = documents.indices_D[rows_S] % REPEAT
        from_S = exchange(documents_S, lengths_S2, numbers_S, cutting.budget)
        for halves_S2 in (begins_S2, lengths_S2, rows_S2):
            halves_S2[:, 1] = halves_S2[from_S, 1]
        labels_S[from_S != np.arange(len(from_S))] = 1
    if cutting.pairing is Pairing.SOP:
        numbers_S = draw(key_of(cutting.seed, Purpose.TURN, epoch), keys_S)
        is_turned_S = (numbers_S < threshold(0.5)) & (labels_S == 0)
        for halves_S2 in (begins_S2, lengths_S2):
            halves_S2[is_turned_S] = halves_S2[is_turned_S, ::-1]
        labels_S[is_turned_S] = 1
    special_S = np.where(labels_S == NO_LABEL, 0, len(cutting.template.middle))
    special_S += len(cutting.template.prefix + cutting.template.suffix)
    return Samples(
        ids_S=_identify(documents, rows_S2, begins_S2, lengths_S2),
        begins_S2=begins_S2,
        lengths_S2=lengths_S2,
        sizes_S=lengths_S2.sum(axis=1) + special_S,
        labels_S=labels_S,
    )


def split_sentences(documents: Documents, budget: int) -> Int64s:
    """Where sentences begin, and the end of all: no sentence is empty or longer than the budget.

    Documents end sentences whether or not an end is given there. A sentence that is too long is
    split into full pieces; its rest is a sentence like others, and shares a sample with what
    follows.
    """
    bounds_N1 = np.concatenate([documents.sentence_ends_N, documents.offsets_D1])
    bounds_N1.sort(kind="stable")
    bounds_N1 = bounds_N1[np.flatnonzero(np.diff(bounds_N1, prepend=-1))]
    pieces_N = -(-np.diff(bounds_N1) // budget)
    if len(pieces_N) == pieces_N.sum():
        return bounds_N1
    within_N = flat_ranges(np.zeros_like(pieces_N), pieces_N) * budget
    return np.append(np.repeat(bounds_N1[:-1], pieces_N) + within_N, bounds_N1[-1])


def _chain(
    bounds_N1: Int64s, ends_N: Int64s, keys_N: Uint64s, cutting: Cutting, epoch: int
) -> Int64s:
    """The sentences that begin a sample, and the number of all.

    Where a sample would end is known for every sentence that it may begin with; so one walk from
    sentence to sentence cuts the whole window. `ends_N` are those of the sentences' documents.
    """
    key = key_of(cutting.seed, Purpose.SHORT, epoch)
    numbers_N = draw(key, keys_N)
    is_short_N = numbers_N < threshold(cutting.short_share)
    lengths_N = np.full(len(numbers_N), cutting.budget)
    lengths_N[is_short_N] = _short_lengths(draw(key, numbers_N[is_short_N]), cutting.budget)
    stops_N = np.minimum(bounds_N1[:-1] + lengths_N, ends_N)
    nexts_N = np.searchsorted(bounds_N1, stops_N, side="right") - 1
    np.maximum(nexts_N, np.arange(1, len(nexts_N) + 1), out=nexts_N)
    nexts = memoryview(nexts_N)  # indexed at samples only: a list would hold every sentence
    first, at = [], 0
    while at < len(nexts):
        first.append(at)
        at = nexts[at]
    return np.asarray([*first, len(nexts)], np.int64)


def _short_lengths(numbers: Uint64s, budget: int) -> Int64s:
    """From two tokens, as in BERT, to as many as any sample."""
    least = min(2, budget)
    return least + below(numbers, budget - least + 1)


def _keys(documents: Documents, rows: Int64s, tokens: Int64s) -> Uint64s:
    """A number for each token's place in the corpus: its document, and how far into it."""
    keys = draw(key_of(0, Purpose.IDENTITY), documents.indices_D[rows])
    return draw(keys, tokens - documents.offsets_D1[rows])


def _identify(
    documents: Documents, rows_S2: Int64s, begins_S2: Int64s, lengths_S2: Int64s
) -> Uint64s:
    ids_S = draw(_keys(documents, rows_S2[:, 0], begins_S2[:, 0]), lengths_S2[:, 0])
    pairs = np.flatnonzero(lengths_S2[:, 1])
    seconds = _keys(documents, rows_S2[pairs, 1], begins_S2[pairs, 1])
    ids_S[pairs] = draw(draw(ids_S[pairs], lengths_S2[pairs, 1]), seconds)
    return ids_S
