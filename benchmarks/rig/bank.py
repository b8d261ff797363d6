"""As many documents as one likes out of a bank of a few: so the order, the window and the cutting
are measured, not a disk.
"""

from __future__ import annotations

import numpy as np

from orchestrator.corpus.arrays import Int64s, flat_ranges, offsets
from orchestrator.corpus.packs.cut import Cutting, Documents, Template
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.corpus.packs.window import Recipe, window_documents

PACK_TOKENS, MEAN_TOKENS, MEAN_SENTENCE = 8192, 600, 20
TEMPLATE = Template(prefix=(101,), middle=(102,), suffix=(102,))
Row = dict[str, object]


class BankCorpus:
    """Document i is number i modulo the bank's."""

    def __init__(self, num_documents: int, bank: int = 4096) -> None:
        rng = np.random.default_rng(0)
        scale = np.log(MEAN_TOKENS) - 0.5
        self._offsets = offsets(rng.lognormal(scale, 1.0, bank).astype(np.int64))
        num_tokens = int(self._offsets[-1])
        self._tokens = rng.integers(1000, 30_000, num_tokens).astype(np.uint16)
        self._word_starts = rng.random(num_tokens) < 0.75
        lengths = rng.gamma(2.0, (MEAN_SENTENCE - 3) / 2, num_tokens).astype(np.int64) + 3
        ends = np.cumsum(lengths)
        self._ends = np.union1d(ends[ends < num_tokens], self._offsets[1:])
        self._ends_offsets = np.searchsorted(self._ends, self._offsets, side="right")
        self._bank = bank
        self.num_documents = num_documents

    def read(self, indices_D: Int64s) -> Documents:
        rows = indices_D % self._bank
        begins, lengths = self._offsets[rows], np.diff(self._offsets)[rows]
        spans = [slice(at, at + size) for at, size in zip(begins, lengths, strict=True)]
        firsts, counts = self._ends_offsets[rows], np.diff(self._ends_offsets)[rows]
        offsets_D1 = offsets(lengths)
        shifts = np.repeat(offsets_D1[:-1] - begins, counts)
        return Documents(
            indices_D=indices_D,
            tokens_T=np.concatenate([self._tokens[span] for span in spans]),
            word_starts_T=np.concatenate([self._word_starts[span] for span in spans]),
            offsets_D1=offsets_D1,
            sentence_ends_N=self._ends[flat_ranges(firsts, counts)] + shifts,
        )


def recipe_of(corpus: BankCorpus, seq_len: int, pairing: Pairing) -> Recipe:
    cutting = Cutting(seed=1, seq_len=seq_len, template=TEMPLATE, pairing=pairing)
    count = corpus.num_documents
    documents = window_documents(
        num_documents=count, num_tokens=MEAN_TOKENS * count, pack_tokens=PACK_TOKENS
    )
    return Recipe(cutting=cutting, pack_tokens=PACK_TOKENS, window_documents=documents)


def row(figure: str, value: float | None, unit: str, bound: str = "") -> Row:
    found: Row = {"figure": figure, "value": value, "unit": unit}
    return found | {"bound": bound} if bound else found
