"""A corpus in memory whose every token is another number, so that a lost one is missed by name."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from orchestrator.corpus.arrays import Int64s, offsets
from orchestrator.corpus.packs.cut import Cutting, Documents, Template
from orchestrator.corpus.packs.mixture import Mixture
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.corpus.packs.stream import Cursor, Stream
from orchestrator.corpus.packs.window import Corpus, Pack, Phase, Recipe

CLS, SEP, MASK, PAD = 1, 2, 3, 0
NUM_SPECIAL = 10
TEMPLATE = Template(prefix=(CLS,), middle=(SEP,), suffix=(SEP,))

Lengths = list[list[int]]  # of sentences, by document


class ListCorpus:
    def __init__(self, sentences: Lengths, *, seed: int = 0) -> None:
        self._sentences = [np.asarray(lengths, np.int64) for lengths in sentences]
        sizes = np.asarray([lengths.sum() for lengths in self._sentences], np.int64)
        self._offsets = offsets(sizes)
        self.num_tokens = int(self._offsets[-1])
        self._is_word = np.random.default_rng(seed).random(self.num_tokens) < 0.7

    @property
    def num_documents(self) -> int:
        return len(self._sentences)

    def all(self) -> Documents:
        return self.read(np.arange(self.num_documents))

    def read(self, indices_D: Int64s) -> Documents:
        tokens, words, ends, sizes = [np.empty(0, np.int64)], [np.empty(0, bool)], [], [0]
        for index in indices_D.tolist():
            begin, end = self._offsets[index : index + 2].tolist()
            tokens.append(np.arange(begin, end) + NUM_SPECIAL)
            words.append(self._is_word[begin:end])
            ends.extend((sum(sizes) + np.cumsum(self._sentences[index])).tolist())
            sizes.append(end - begin)
        return Documents(
            indices_D=indices_D,
            tokens_T=np.concatenate(tokens).astype(np.uint32),
            word_starts_T=np.concatenate(words),
            offsets_D1=np.cumsum(sizes),
            sentence_ends_N=np.asarray(ends, np.int64),
        )

    def document_of(self, tokens: Int64s) -> Int64s:
        return np.searchsorted(self._offsets, tokens - NUM_SPECIAL, side="right") - 1


def realistic(num_documents: int, *, mean_sentences: float = 30, seed: int = 0) -> ListCorpus:
    rng = np.random.default_rng(seed)
    counts = rng.lognormal(np.log(mean_sentences) - 0.5, 1.0, num_documents).astype(int)
    return ListCorpus([(3 + rng.gamma(2.0, 8.5, count)).astype(int).tolist() for count in counts])


def a_recipe(
    *,
    seed: int = 0,
    seq_len: int = 16,
    pack_tokens: int = 40,
    window_documents: int = 4,
    pairing: Pairing = Pairing.NONE,
    phases: tuple[Phase, ...] = (),
    mixture: Mixture | None = None,
) -> Recipe:
    return Recipe(
        cutting=Cutting(seed=seed, seq_len=seq_len, template=TEMPLATE, pairing=pairing),
        phases=phases,
        pack_tokens=pack_tokens,
        window_documents=window_documents,
        mixture=mixture,
    )


def epoch_of(corpus: Corpus, recipe: Recipe, epoch: int) -> list[Pack]:
    found = []
    for pack, _ in Stream(corpus, recipe).packs(Cursor(epoch=epoch)):
        if pack.epoch > epoch:
            return found
        found.append(pack)
    raise AssertionError("a stream does not end")


def same(one: Pack, other: Pack) -> bool:
    values = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(left, right) for left, right in values)


def ids(packs: list[Pack]) -> list[int]:
    return [number for pack in packs if pack.weight for number in pack.ids_S.tolist()]


# Documents without a sentence, of empty ones, of one token, and of sentences far too long.
documents = st.lists(
    st.lists(st.one_of(st.integers(0, 12), st.sampled_from([14, 100, 333])), max_size=12),
    min_size=1,
    max_size=25,
)
seeds = st.integers(0, 2**63)
filled = documents.filter(lambda sentences: any(map(sum, sentences)))
pairings = st.sampled_from(list(Pairing))
