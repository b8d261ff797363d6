"""Metrics of a run, one line a step: `{step, attempt, time, tokens, values: {…}}`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.segments import StreamReader, StreamWriter
from orchestrator.runs.storage import Storage


class MetricsWriter:
    def __init__(self, run: Storage, *, attempt: int, writer: str) -> None:
        self._attempt = attempt
        self._stream = StreamWriter(run, layout.METRICS, attempt=attempt, writer=writer)

    def write(self, step: int, values: Mapping[str, float], *, tokens: int = 0) -> None:
        line = {
            "step": step,
            "attempt": self._attempt,
            "time": round(time.time(), 3),
            "tokens": tokens,
            "values": {name: _finite(value) for name, value in values.items()},
        }
        self._stream.append(json.dumps(line, allow_nan=False, separators=(",", ":")).encode())

    def flush(self) -> None:
        """Everything written so far survives a crash from here on."""
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def read_metrics(run: Storage) -> list[dict[str, Any]]:
    """All lines, ordered by attempt and step. Bytes that a disk lost cost their own line only."""
    lines = []
    for _, line in StreamReader(run, layout.METRICS).read_new():
        try:
            plain = json.loads(line)
            lines.append(((plain["attempt"], plain["step"]), plain))
        except (ValueError, KeyError, TypeError):
            continue
    return [plain for _, plain in sorted(lines, key=lambda pair: pair[0])]


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity; a browser would refuse the whole line."""
    return value if math.isfinite(value) else None
