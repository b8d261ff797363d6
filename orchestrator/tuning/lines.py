"""What a trial prints, with its name before each line: several of them share the sweep's log."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO


@contextmanager
def named_lines(name: str) -> Iterator[None]:
    """For this whole process, which has one trial at a time."""
    lines = _Lines(name, sys.stdout)
    with redirect_stdout(lines):
        try:
            yield
        finally:
            lines.end()


class _Lines(io.TextIOBase):
    def __init__(self, name: str, output: TextIO) -> None:
        self._name, self._output, self._begun = name, output, ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._output.write(f"{self._name} | {line}\n")
        return len(text)

    def flush(self) -> None:
        self._output.flush()

    def end(self) -> None:
        if self._begun:
            self.write("\n")
        self.flush()
