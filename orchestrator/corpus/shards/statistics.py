"""Figures of prepared text that add up: those of parts give those of the corpus, in any order.

`prepare` gathers them as it tokenises, the manifest keeps them for each split. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from orchestrator.corpus.arrays import Int64s
from orchestrator.corpus.rows import Rows

Histogram = tuple[int, ...]  # number 0 counts zeros, number n those from 2^(n-1) to 2^n - 1


@dataclass(frozen=True, kw_only=True)
class Statistics:
    documents: int = 0  # rows of shards
    divided: int = 0  # of those, the ones that continue the row before: too long for one
    sentences: int = 0
    tokens: int = 0
    unknown: int = 0  # tokens that stand for what the vocabulary lacks
    text_bytes: int = 0  # in UTF-8
    longest: int = 0  # tokens of a document, at most
    document_lengths: Histogram = ()  # in tokens
    sentence_lengths: Histogram = ()

    @classmethod
    def of(cls, rows: Rows, unknown_id: int | None) -> Statistics:
        """All that tokens tell; `add_text` has the rest."""
        lengths_D = np.diff(rows.offsets_D1)
        begins_N = np.zeros_like(rows.sentence_ends_N)
        begins_N[1:] = rows.sentence_ends_N[:-1]
        firsts_D = rows.sentence_offsets_D1[:-1]
        begins_N[firsts_D[np.diff(rows.sentence_offsets_D1) > 0]] = 0
        return cls(
            documents=len(rows),
            sentences=len(rows.sentence_ends_N),
            tokens=len(rows.tokens_T),
            unknown=0 if unknown_id is None else int((rows.tokens_T == unknown_id).sum()),
            longest=int(lengths_D.max(initial=0)),
            document_lengths=_histogram(lengths_D),
            sentence_lengths=_histogram(rows.sentence_ends_N - begins_N),
        )

    def add_text(self, num_bytes: int, *, is_rest: bool) -> Statistics:
        """The text of one row, before it is tokenised."""
        return replace(self, text_bytes=self.text_bytes + num_bytes, divided=self.divided + is_rest)

    def __add__(self, other: Statistics) -> Statistics:
        values: dict[str, Any] = asdict(other)
        for name, value in asdict(self).items():
            if name == "longest":
                values[name] = max(value, values[name])
            elif isinstance(value, tuple):
                pairs = zip_longest(value, values[name], fillvalue=0)
                values[name] = tuple(one + another for one, another in pairs)
            else:
                values[name] += value
        return Statistics(**values)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Statistics:
        values: dict[str, Any] = dict(plain)
        for name in ("document_lengths", "sentence_lengths"):
            values[name] = tuple(values[name])
        return cls(**values)


def _histogram(lengths: Int64s) -> Histogram:
    # The exponent of a float is exact for whole numbers below 2^53: the length in bits.
    numbers = np.frexp(lengths.astype(np.float64))[1]
    return tuple(np.bincount(numbers).tolist())
