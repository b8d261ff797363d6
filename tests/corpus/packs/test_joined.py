from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.packs.joined import JoinedCorpus
from orchestrator.corpus.packs.mixture import Mixture, Portion
from orchestrator.corpus.packs.stream import Cursor, Stream
from tests.corpus.packs.synthetic import (
    Lengths,
    ListCorpus,
    a_recipe,
    documents,
    filled,
    same,
    seeds,
)


class Slice:
    """Some documents in a row, as a corpus of its own."""

    def __init__(self, corpus: ListCorpus, begin: int, end: int) -> None:
        self._corpus, self._begin = corpus, begin
        self.num_documents = end - begin

    def read(self, indices_D: np.ndarray) -> object:
        assert not len(indices_D) or 0 <= indices_D.min() <= indices_D.max() < self.num_documents
        return self._corpus.read(indices_D + self._begin)


def split(corpus: ListCorpus, cuts: list[int]) -> list[Slice]:
    bounds = [0, *sorted(cut % (corpus.num_documents + 1) for cut in cuts), corpus.num_documents]
    return [Slice(corpus, *pair) for pair in pairwise(bounds)]


cuts = st.lists(st.integers(0, 25), max_size=4)


@given(documents, cuts, st.randoms(use_true_random=False))
def test_corpora_together_read_as_one_would(
    sentences: Lengths, cuts: list[int], random: object
) -> None:
    """In any order, some documents twice, of corpora that may be empty."""
    corpus = ListCorpus(sentences)
    joined = JoinedCorpus(split(corpus, cuts))
    assert joined.num_documents == corpus.num_documents
    indices = np.asarray(random.choices(range(corpus.num_documents), k=9), np.int64)
    for asked in (indices, np.sort(indices), indices[:0]):
        found, expected = vars(joined.read(asked)), vars(corpus.read(asked))
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


@given(filled, cuts, seeds)
def test_how_a_corpus_is_divided_does_not_change_its_stream(
    sentences: Lengths, cuts: list[int], seed: int
) -> None:
    corpus = ListCorpus(sentences)
    parts = split(corpus, cuts)
    portions = tuple(Portion(num_documents=part.num_documents) for part in parts)
    mixed = a_recipe(seed=seed, mixture=Mixture(portions=portions))
    joined = islice(Stream(JoinedCorpus(parts), mixed).packs(Cursor()), 12)
    alone = islice(Stream(corpus, a_recipe(seed=seed)).packs(Cursor()), 12)
    for (one, one_cursor), (other, other_cursor) in zip(joined, alone, strict=True):
        assert same(one, other) and one_cursor == other_cursor
