"""The ledger: what happened to a run, in order, from every process that had a hand in it."""

from __future__ import annotations

import heapq
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.segments import StreamReader, StreamWriter
from orchestrator.runs.storage import Storage
from orchestrator.settings.secrets import mask

_OWN: dict[str, type | tuple[type, ...]] = {
    **{"seq": int, "attempt": int, "writer": str, "time": (int, float), "kind": str}
}


@dataclass(frozen=True, kw_only=True)
class Event:
    seq: int
    attempt: int
    writer: str
    time: float
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OWN} | self.fields

    @classmethod
    def from_line(cls, line: bytes) -> Event | None:
        """None for a line that is no event: a disk can lose bytes in the middle of a file."""
        try:
            plain = json.loads(line)
            own = {name: plain.pop(name) for name in _OWN}
        except (ValueError, KeyError, AttributeError, TypeError):
            return None
        if not all(isinstance(own[name], kind) for name, kind in _OWN.items()):
            return None
        return cls(**own, fields=plain)


class Ledger:
    """One writer's pen. Every event is durable when `record` returns."""

    def __init__(self, run: Storage, *, attempt: int, writer: str) -> None:
        self._attempt = attempt
        self._writer = writer
        self._stream = StreamWriter(run, layout.EVENTS, attempt=attempt, writer=writer)
        reader = StreamReader(run, layout.EVENTS)
        lines = reader.read_new()
        own = [line for name, line in lines if (name.attempt, name.writer) == (attempt, writer)]
        # Not their count: a number that was given away once is never given again.
        self._seq = max((event.seq for event in map(Event.from_line, own) if event), default=0)

    def record(self, kind: str, **fields: Any) -> Event:
        if taken := set(fields) & set(_OWN):
            raise ValueError(f"an event has its own {', '.join(sorted(taken))}")
        self._seq += 1
        event = Event(
            seq=self._seq,
            attempt=self._attempt,
            writer=self._writer,
            time=round(time.time(), 3),
            kind=kind,
            fields=fields,
        )
        line = mask(json.dumps(event.to_plain(), ensure_ascii=False, default=str))
        # A lone surrogate, of a file name that is no UTF-8, becomes the escape that JSON has.
        self._stream.append(line.encode(errors="backslashreplace"), durable=True)
        return event

    def close(self) -> None:
        self._stream.close()


class LedgerReader:
    """Events so far, in order; call `read_new` again for those that came since."""

    def __init__(self, run: Storage) -> None:
        self._reader = StreamReader(run, layout.EVENTS)

    def read_new(self) -> list[Event]:
        by_writer: dict[tuple[int, str], list[Event]] = defaultdict(list)
        for name, line in self._reader.read_new():
            if event := Event.from_line(line):
                by_writer[name.attempt, name.writer].append(event)
        return list(heapq.merge(*by_writer.values(), key=lambda event: event.time))


def read_events(run: Storage) -> list[Event]:
    """Merged by time, each writer's own order kept even where its clock was set back."""
    return LedgerReader(run).read_new()
