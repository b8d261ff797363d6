"""How tokens tell where words begin: by a sign at the beginning, on the inside, or at the end.

Read from the description of a tokenizer, whoever made it; `tokenizer.py` asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.corpus.arrays import Bools, Integers

_BYTE_SPACE = "Ġ"  # a space as a byte-level tokenizer writes it
_SPACE = "▁"


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Where nothing is marked every token is a word."""

    is_marked_V: Bools
    is_end: bool  # marked tokens end words; those that follow them begin one

    def starts(self, tokens_T: Integers) -> Bools:
        is_marked_T = self.is_marked_V.take(tokens_T)
        return np.roll(is_marked_T, 1) if self.is_end else is_marked_T


def is_byte_level(plain: dict[str, Any]) -> bool:
    """Of a tokenizer's description; what comes before the model decides."""
    return any(part.get("type") == "ByteLevel" for part in _parts(plain))


def read_marks(plain: dict[str, Any], names: list[str]) -> Marks:
    model = plain["model"]
    if inside := model.get("continuing_subword_prefix"):
        return _marks(not name.startswith(inside) for name in names)
    if end := model.get("end_of_word_suffix"):
        return _marks((name.endswith(end) for name in names), is_end=True)
    if is_byte_level(plain):
        return _marks(name.startswith(_BYTE_SPACE) for name in names)
    if any(_SPACE in part.values() for part in _parts(plain)):
        return _marks(name.startswith(_SPACE) for name in names)
    return _marks(True for _ in names)


def _marks(is_marked: Iterator[bool], *, is_end: bool = False) -> Marks:
    return Marks(is_marked_V=np.fromiter(is_marked, np.bool_), is_end=is_end)


def _parts(plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Normalisers and pre-tokenisers, those inside of sequences too."""
    waiting = [plain.get("normalizer"), plain.get("pre_tokenizer")]
    while waiting:
        part = waiting.pop()
        if part is not None:
            yield part
            waiting += part.get("normalizers", []) + part.get("pretokenizers", [])
