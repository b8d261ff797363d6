"""What a run came to, in numbers: result.json, written once, when everything else is there.

A fine-tune writes one, and each of its seeds; `status`, pipelines and sweeps read it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.storage import Storage

SCHEMA = "orchestrator.result/1"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A metric over seeds: of those that have it the median, and how far they lie apart."""

    median: float | None
    least: float | None
    most: float | None
    values: tuple[float | None, ...]

    @staticmethod
    def of(values: Sequence[float | None]) -> Spread:
        known = [value for value in values if value is not None]
        return Spread(
            median=statistics.median(known) if known else None,
            least=min(known, default=None),
            most=max(known, default=None),
            values=tuple(values),
        )

    def __str__(self) -> str:
        return " to ".join("–" if end is None else f"{end:.4f}" for end in (self.least, self.most))


def write_result(run: Storage, result: dict[str, Any]) -> None:
    document = {"schema": SCHEMA, **result}
    run.write(layout.RESULT, json.dumps(document, indent=1, allow_nan=False).encode())


def read_result(run: Storage) -> dict[str, Any] | None:
    """None where the run has not come to its end."""
    if not run.exists(layout.RESULT):
        return None
    document: dict[str, Any] = json.loads(run.read(layout.RESULT))
    return document
