"""Windows over a long context, and where an answer lies among the tokens of one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    begin: int
    end: int


def windows_of(size: int, *, room: int, stride: int) -> Iterator[Window]:
    """Of at most `room` tokens; neighbours have `stride` in common, or half of what fits."""
    step = max(room - stride, room // 2, 1)
    begin = 0
    while True:
        end = min(begin + room, size)
        yield Window(begin, end)
        if end >= size:
            return
        begin += step


def target_of(answer: Window, spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """First and last place of the answer's characters, counted from 1; (0, 0): not all is here."""
    inside = [
        place
        for place, (begin, end) in enumerate(spans, 1)
        if begin < answer.end and end > answer.begin and end > begin
    ]
    if not inside:
        return 0, 0
    first, last = spans[inside[0] - 1], spans[inside[-1] - 1]
    is_whole = first[0] <= answer.begin and last[1] >= answer.end
    return (inside[0], inside[-1]) if is_whole else (0, 0)
