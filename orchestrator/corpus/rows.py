"""Tokenised documents laid end to end: what a tokenizer gives and a shard's batch holds."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.corpus.arrays import Bools, Int64s, Integers


@dataclass(frozen=True, kw_only=True)
class Rows:
    tokens_T: Integers  # uint16, or uint32 where the vocabulary is larger
    offsets_D1: Int64s  # into tokens
    sentence_ends_N: Int64s  # from its document's beginning, exclusive; the last is its length
    sentence_offsets_D1: Int64s  # into sentence ends
    word_starts_T: Bools  # whether a token begins a word, for whole-word masking

    def __len__(self) -> int:
        return len(self.offsets_D1) - 1
