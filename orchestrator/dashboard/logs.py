"""The end of a run's output, all attempts in order, with only the lines that hold some words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.cluster.output import for_people
from orchestrator.runs import layout
from orchestrator.runs.segments import SegmentName
from orchestrator.runs.storage import Storage

_SHOWN, _SEARCHED = 2**19, 8 * 2**20  # bytes, from the end
_MOST_LINES = 2000


@dataclass(frozen=True, kw_only=True)
class _File:
    name: SegmentName
    size_bytes: int


def tail(run: Storage, *, words: str = "", attempt: int | None = None) -> dict[str, Any]:
    """`lines` as `[attempt, text]`; `is_cut` where there is more before them."""
    needed, found, is_cut = words.lower(), list[tuple[int, str]](), False
    room = _SEARCHED if words else _SHOWN
    files = [file for file in _files(run) if attempt is None or file.name.attempt == attempt]
    for file in reversed(files):
        if room <= 0 or len(found) >= _MOST_LINES:
            is_cut = True
            break
        start = max(0, file.size_bytes - room)
        data = run.read(f"{layout.LOGS}/{file.name}", start=start, size=file.size_bytes - start)
        room -= len(data)
        is_cut |= start > 0
        lines = data.decode(errors="replace").split("\n")[1 if start else 0 : -1]
        told = (for_people(line) for line in lines)
        mine = [line for line in told if line is not None and needed in line.lower()]
        found[:0] = [(file.name.attempt, line) for line in mine]
    return {
        "lines": found[-_MOST_LINES:],
        "is_cut": is_cut or len(found) > _MOST_LINES,
        "attempts": sorted({file.name.attempt for file in _files(run)}),
    }


def _files(run: Storage) -> list[_File]:
    found = []
    for entry in run.list(layout.LOGS):
        name = SegmentName.parse(entry.name)
        if name is not None and name.suffix == "log":
            found.append(_File(name=name, size_bytes=entry.size_bytes))
    return sorted(found, key=lambda file: file.name)
