"""Training text that is read twice: first for its characters, then for its words.

`train.py` needs to know the characters beforehand. It keeps normalised text here, in a file that
has no name and is gone with the process.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from tempfile import TemporaryFile
from typing import IO

_RARE = 10**7  # a character that is seen less than once in so many is noise
_CHUNK = 2**20  # characters


class Spool:
    """Use it as a context."""

    def __init__(self, texts: Iterable[str], normalise: Callable[[str], str]) -> None:
        self._texts = texts
        self._normalise = normalise
        self._counts: Counter[str] = Counter()

    def __enter__(self) -> Spool:
        self._file: IO[str] = TemporaryFile("w+", encoding="utf-8", newline="\n")
        chunk: list[str] = []
        size = 0
        for text in self._texts:
            chunk.append(self._normalise(text) + "\n")
            size += len(text)
            if size > _CHUNK:
                self._add("".join(chunk))
                chunk, size = [], 0
        self._add("".join(chunk))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _add(self, text: str) -> None:
        self._counts.update(text)
        self._file.write(text)

    def characters(self, places: Callable[[str], int], *, limit: int) -> list[str]:
        """The frequent ones, as many as find their places in the vocabulary."""
        seen = [(-count, char) for char, count in self._counts.items() if not _is_space(char)]
        total = self._counts.total()
        kept = []
        for count, char in sorted(seen):
            limit -= places(char)
            if limit < 0 or -count * _RARE < total:
                break
            kept.append(char)
        return sorted(kept)

    def lines(self, characters: Iterable[str]) -> Iterator[str]:
        """With a space in the place of every other character."""
        others = sorted(
            {char for char in self._counts if not _is_space(char)}.difference(characters)
        )
        pattern = re.compile(f"[{re.escape(''.join(others))}]") if others else None
        self._file.seek(0)
        for line in self._file:
            yield pattern.sub(" ", line) if pattern else line


def _is_space(char: str) -> bool:
    """To the tokenizers library, which takes the four separators below for letters."""
    return char.isspace() and not "\x1c" <= char <= "\x1f"
