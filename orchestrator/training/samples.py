"""Some validation samples with masked words, and what the model takes those for: to look at.

The first samples of a rank's first pack are cut out once, so a measurement costs a small pass more.
All ranks make it, since they may hold parts of the weights; only rank 0's is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer
from orchestrator.encoder.attention import layout_of
from orchestrator.objectives.ready import ReadyPack
from orchestrator.runs.samples import MOST, Sample

_MOST_TOKENS = 2048
_GUESSES = 3
_NO_WORD = " (no word)"


class MaskedSamples:
    def __init__(self, first: ReadyPack, tokenizer: CorpusTokenizer) -> None:
        self._pack, self._tokenizer = first_samples(first), tokenizer

    def read(self, evaluate: Callable[..., Any]) -> tuple[Sample, ...]:
        chances_PG, words_PG = evaluate([self._pack], None, _GUESSES)
        return self._told(chances_PG.cpu(), words_PG.cpu())

    def _told(self, chances_PG: Tensor, words_PG: Tensor) -> tuple[Sample, ...]:
        pack, pieces_of = self._pack, self._tokenizer.pieces
        pieces = pieces_of(pack.tokens_T.tolist())
        targets = pieces_of(pack.targets_P.tolist())
        chosen_P = pack.chosen_P.cpu().numpy()
        samples, begin = [], 0
        for length in pack.layout.lengths:
            end = begin + length
            masked = []
            for place in range(*np.searchsorted(chosen_P, [begin, end]).tolist()):
                words = [self._word(number) for number in words_PG[place].tolist()]
                chances = [round(chance, 4) for chance in chances_PG[place].tolist()]
                at = int(chosen_P[place]) - begin
                masked.append([at, targets[place], list(zip(words, chances, strict=True))])
            samples.append({"pieces": pieces[begin:end], "masked": masked})
            begin = end
        return tuple(samples)

    def _word(self, number: int) -> str:
        """A vocabulary is padded: a model that has learnt little may take a hole for a word."""
        is_word = number < self._tokenizer.vocab_size
        return self._tokenizer.pieces([number])[0] if is_word else _NO_WORD


def first_samples(pack: ReadyPack) -> ReadyPack:
    """A pack of its first samples, as many as are shown."""
    ends = np.cumsum(pack.layout.lengths)[:MOST]
    fitting = ends[ends <= _MOST_TOKENS]
    ends = fitting if len(fitting) else ends[:1]
    end = int(ends[-1])
    layout = layout_of(np.concatenate([[0], ends]))
    device = pack.tokens_T.device
    is_chosen_P, is_first_N = pack.chosen_P < end, pack.firsts_N < end
    return replace(
        pack,
        num_tokens=min(end, pack.num_tokens),
        tokens_T=pack.tokens_T[:end],
        positions_T=pack.positions_T[:end],
        segments_T=pack.segments_T[:end],
        layout=replace(layout, cu_seqlens_S1=layout.cu_seqlens_S1.to(device)),
        chosen_P=pack.chosen_P[is_chosen_P],
        targets_P=pack.targets_P[is_chosen_P],
        firsts_N=pack.firsts_N[is_first_N],
        labels_N=pack.labels_N[is_first_N],
    )
