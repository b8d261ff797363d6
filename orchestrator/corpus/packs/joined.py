"""Several corpora as one: the documents of the first, then those of the next.

Their weights are in the `Mixture` of the recipe. Any corpus of `window.py` can be a part.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from orchestrator.corpus.arrays import Int64s, offsets
from orchestrator.corpus.packs.cut import Documents
from orchestrator.corpus.packs.window import Corpus


class JoinedCorpus:
    def __init__(self, corpora: Sequence[Corpus]) -> None:
        self._corpora = corpora
        counts = np.asarray([corpus.num_documents for corpus in corpora], np.int64)
        self._begins_C1 = offsets(counts)

    @property
    def num_documents(self) -> int:
        return int(self._begins_C1[-1])

    def read(self, indices_D: Int64s) -> Documents:
        """Neighbours of one corpus are read together: indices that ascend cost the least."""
        corpora_D = np.searchsorted(self._begins_C1, indices_D, side="right") - 1
        bounds = [0, *(np.flatnonzero(np.diff(corpora_D)) + 1).tolist(), len(indices_D)]
        parts = []
        for begin, end in itertools.pairwise(bounds):
            number = int(corpora_D[begin]) if end > begin else 0
            own_D = indices_D[begin:end] - self._begins_C1[number]
            parts.append(self._corpora[number].read(own_D))
        return replace(_lay_end_to_end(parts), indices_D=indices_D)


def _lay_end_to_end(parts: list[Documents]) -> Documents:
    if len(parts) == 1:
        return parts[0]
    begins = offsets(np.asarray([len(part.tokens_T) for part in parts], np.int64))
    shifted = list(zip(parts, begins.tolist(), strict=False))
    return Documents(
        indices_D=np.concatenate([part.indices_D for part in parts]),
        tokens_T=np.concatenate([part.tokens_T for part in parts]),
        word_starts_T=np.concatenate([part.word_starts_T for part in parts]),
        offsets_D1=np.append(
            np.concatenate([part.offsets_D1[:-1] + at for part, at in shifted]), begins[-1]
        ),
        sentence_ends_N=np.concatenate([part.sentence_ends_N + at for part, at in shifted]),
    )
