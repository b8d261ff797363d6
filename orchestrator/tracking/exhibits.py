"""Tables and pictures of a run: one file each, written whole, named by step and what it shows.

    exhibits/000400-confusion.png    exhibits/000400-examples.table.json

Evaluations write them; the W&B forwarder and the dashboard show them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.runs.storage import Storage

FOLDER = "exhibits"
INSIDE = "inside"  # a table's column of this name has folders of runs inside of the run
_NAME = re.compile(r"(\d{6,})-([a-z0-9][a-z0-9_-]*)\.(table\.json|png|jpg|svg)")
_TABLE = "table.json"


@dataclass(frozen=True, kw_only=True, order=True)
class Exhibit:
    step: int
    name: str  # lower-case letters, digits, dashes
    suffix: str = _TABLE

    @property
    def file(self) -> str:
        return f"{self.step:06d}-{self.name}.{self.suffix}"

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.file}"

    @property
    def kind(self) -> str:
        return "table" if self.suffix == _TABLE else "picture"

    @staticmethod
    def parse(file: str) -> Exhibit | None:
        match = _NAME.fullmatch(file)
        return Exhibit(step=int(match[1]), name=match[2], suffix=match[3]) if match else None

    @staticmethod
    def table(data: bytes) -> tuple[list[str], list[list[Any]]]:
        plain = json.loads(data)
        return list(plain["columns"]), [list(row) for row in plain["rows"]]


def write_table(
    run: Storage, name: str, step: int, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> Exhibit:
    plain = {"columns": list(columns), "rows": [list(row) for row in rows]}
    return _write(run, Exhibit(step=step, name=name), json.dumps(plain, allow_nan=False).encode())


def write_picture(run: Storage, name: str, step: int, data: bytes, suffix: str) -> Exhibit:
    """`suffix` is png, jpg or svg."""
    return _write(run, Exhibit(step=step, name=name, suffix=suffix), data)


def list_exhibits(run: Storage) -> list[Exhibit]:
    named = [Exhibit.parse(entry.name) for entry in run.list(FOLDER)]
    return sorted(exhibit for exhibit in named if exhibit is not None)


def _write(run: Storage, exhibit: Exhibit, data: bytes) -> Exhibit:
    if Exhibit.parse(exhibit.file) != exhibit:
        raise ValueError(f"{exhibit.file} does not fit {_NAME.pattern}")
    run.write(exhibit.path, data)
    return exhibit
