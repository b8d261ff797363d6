"""What each step of a run consumed, one line a step: written by rank 0, read back by the audit.

Lines are made durable with the checkpoint that they lead to, not one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.segments import SegmentName, StreamWriter
from orchestrator.runs.storage import Storage

_AT_ONCE = 2**24
_TAIL_BYTES = 2**14  # some dozens of lines


class StepWriter:
    def __init__(self, run: Storage, *, attempt: int) -> None:
        self._stream = StreamWriter(run, layout.STEPS, attempt=attempt, writer="rank-000")

    def write(self, plain: Mapping[str, Any]) -> None:
        self._stream.append(json.dumps(plain, separators=(",", ":")).encode())

    def flush(self) -> None:
        """Everything written so far survives a crash from here on."""
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def last_step(run: Storage) -> int:
    """Of the newest attempt that made any; 0 where none did. Reads the end of one file."""
    named = [(SegmentName.parse(entry.name), entry) for entry in run.list(layout.STEPS)]
    known = sorted(((name, entry) for name, entry in named if name), key=lambda pair: pair[0])
    for _, entry in reversed(known):
        start = max(0, entry.size_bytes - _TAIL_BYTES)
        *lines, _ = run.read(f"{layout.STEPS}/{entry.name}", start=start).split(b"\n")
        steps = [plain["step"] for plain in map(_parsed, lines) if type(plain.get("step")) is int]
        if steps:
            return int(steps[-1])
    return 0


def read_steps(run: Storage) -> Iterator[dict[str, Any]]:
    """In the order of attempts, and within one as written; a part of a file is in memory at once.

    A line that is no JSON is given as it is, under `damaged`: an audit must see it.
    """
    named = [(SegmentName.parse(entry.name), entry) for entry in run.list(layout.STEPS)]
    known = sorted(((name, entry) for name, entry in named if name), key=lambda pair: pair[0])
    for _, entry in known:
        path = f"{layout.STEPS}/{entry.name}"
        rest, offset = b"", 0
        while data := run.read(path, start=offset, size=_AT_ONCE):
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            yield from map(_parsed, lines)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(line)
    except ValueError:
        return {"damaged": line[:200].decode(errors="replace")}
    return plain if isinstance(plain, dict) else {"damaged": plain}
