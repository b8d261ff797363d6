"""Documents out of lines or rows: where one begins, where it ends, and what is too long for memory.

Whatever a source is in, its reader gives a `Stretch`: the texts that are its own, and those behind
for the last document, read only when there is one to finish. Pure; `read` calls one of the four.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from orchestrator.corpus.text.lines import is_blank

PIECE_CHARS = 4 * 2**20
_SEEN_CHARS = 2**16  # of a line or row, by a pattern; the first piece of a long line has more
_SENTENCE_ENDS = (". ", "! ", "? ", "。", "！", "？")  # noqa: RUF001


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    text: str  # lines separated by \n
    is_rest: bool = False  # a piece, after the first, of a document too long for memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """Some lines or rows."""

    items: list[str]
    is_open: bool = False  # the last goes on in the first of the next


@dataclass(frozen=True, kw_only=True)
class Stretch:
    own: Iterator[Texts]
    beyond: Iterator[Texts] = field(default_factory=lambda: iter(()))
    is_first: bool = True  # nothing comes before it in the file
    is_inside: bool = False  # it begins in a document that is another stretch's


class Draft:
    """A document in the making. It gives out its beginning where it grows too long."""

    def __init__(self, limit: int = PIECE_CHARS) -> None:
        self._limit = limit
        self._lines: list[str] = []
        self._size = 0
        self._is_rest = False

    @property
    def is_empty(self) -> bool:
        return not self._lines

    @property
    def is_long(self) -> bool:
        return self._size > self._limit

    def add(self, lines: list[str], *, is_same_line: bool = False) -> None:
        """More lines, the first of which may go on with the last."""
        if is_same_line and self._lines and lines:
            self._lines[-1] += lines[0]
            self._lines += lines[1:]
        else:
            self._lines += lines
        self._size += sum(map(len, lines)) + len(lines)

    def pieces(self) -> Iterator[Document]:
        """What is too much, in pieces that do not depend on how the text came."""
        text = "\n".join(self._lines)
        begin = 0
        while len(text) - begin > self._limit:
            end = _find_cut(text, begin, self._limit)
            yield from self._piece(text[begin:end])
            begin = end
        self._lines = [text[begin:]]
        self._size = len(text) - begin + 1

    def finish(self) -> Iterator[Document]:
        """All that is left. The next line begins another document."""
        if self.is_long:
            yield from self.pieces()
        yield from self._piece("\n".join(self._lines))
        self._lines, self._size, self._is_rest = [], 0, False

    def _piece(self, text: str) -> Iterator[Document]:
        if text and not text.isspace():
            yield Document(text=text, is_rest=self._is_rest)
            self._is_rest = True


def each(stretch: Stretch) -> Iterator[Document]:
    """Every line or row is a document."""
    draft = Draft()
    is_open = False
    for texts in stretch.own:
        items = texts.items
        if is_open:
            draft.add(items[:1], is_same_line=True)
            if draft.is_long:
                yield from draft.pieces()
            if len(items) == 1 and texts.is_open:
                continue
            yield from draft.finish()
            items = items[1:]
        is_open = texts.is_open
        for text in items[:-1] if is_open else items:
            if len(text) > PIECE_CHARS:
                draft.add([text])
                yield from draft.finish()
            elif text and not text.isspace():
                yield Document(text=text)
        if is_open:
            draft.add(items[-1:])


def whole(stretch: Stretch) -> Iterator[Document]:
    """All of it is one document."""
    draft = Draft()
    is_open = False
    for texts in stretch.own:
        draft.add(texts.items, is_same_line=is_open)
        if draft.is_long:
            yield from draft.pieces()
        is_open = texts.is_open
    yield from draft.finish()


def blocks(stretch: Stretch) -> Iterator[Document]:
    """Blank lines stand between documents."""
    return _divided(stretch, _blank_lines, has_begun=not stretch.is_inside, is_between=True)


def started(stretch: Stretch, start: re.Pattern[str]) -> Iterator[Document]:
    """A document begins with a line or row that the pattern matches, and with the first of all."""

    def starts(lines: list[str]) -> list[int]:
        return [index for index, line in enumerate(lines) if start.match(line, 0, _SEEN_CHARS)]

    return _divided(stretch, starts, has_begun=stretch.is_first, is_between=False)


def _blank_lines(lines: list[str]) -> list[int]:
    return [index for index, line in enumerate(lines) if not line or is_blank(line)]


def _divided(
    stretch: Stretch,
    find_marks: Callable[[list[str]], list[int]],
    *,
    has_begun: bool,
    is_between: bool,
) -> Iterator[Document]:
    """Documents end where a mark is, which stands between them or begins the next."""
    draft = Draft()
    for is_own, batches in ((True, stretch.own), (False, stretch.beyond)):
        if not is_own and (draft.is_empty if is_between else not has_begun):
            return
        is_open = False
        for texts in batches:
            begin = 0
            for mark in find_marks(texts.items):
                if is_open and mark == 0:
                    continue  # within a line
                if has_begun:
                    draft.add(texts.items[begin:mark], is_same_line=is_open and begin == 0)
                yield from draft.finish()
                if not is_own:
                    return
                has_begun = True
                begin = mark + is_between
            if has_begun:
                draft.add(texts.items[begin:], is_same_line=is_open and begin == 0)
                if draft.is_long:
                    yield from draft.pieces()
            is_open = texts.is_open
    yield from draft.finish()


def _find_cut(text: str, begin: int, limit: int) -> int:
    """Where the next piece of a long document ends: as late as a good place in its last half."""
    low, end = begin + limit // 2, begin + limit
    for ends in (("\n",), _SENTENCE_ENDS, (" ",)):
        cuts = [found + len(mark) for mark in ends if (found := text.rfind(mark, low, end)) >= 0]
        if cuts:
            return max(cuts)
    return end
