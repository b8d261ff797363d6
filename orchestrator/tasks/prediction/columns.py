"""The columns that rows have, as they are seen row by row: for outputs that must name them first.

A column of one plain type keeps it; in others, everything that is no text is written as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from orchestrator.errors import RequestError

_MOST = 2000
_INT64 = 2**63
_NAMES: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "text"}
_TYPES: dict[frozenset[str], Any] = {
    frozenset({"bool"}): pa.bool_(),
    frozenset({"int"}): pa.int64(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),
}


@dataclass
class Columns:
    types: dict[str, set[str]] = field(default_factory=dict)

    def add(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            seen = self.types.get(name)
            if seen is None:
                if len(self.types) > _MOST:
                    return
                seen = self.types[name] = set()
            if value is not None:
                seen.add(_name(value))

    def join(self, other: Columns) -> None:
        for name, seen in other.types.items():
            self.types.setdefault(name, set()).update(seen)

    def schema(self) -> Any:
        """Of Arrow, in the order in which the columns were seen first."""
        if len(self.types) > _MOST:
            raise RequestError(
                f"The rows have more than {_MOST:,} different names; a table needs one column "
                "for each.",
                hint="output.kind=jsonl has none.",
            )
        return pa.schema(
            [(name, _TYPES.get(frozenset(seen), pa.string())) for name, seen in self.types.items()]
        )


def _name(value: object) -> str:
    name = _NAMES.get(type(value), "other")
    if name == "int" and not -_INT64 <= int(value) < _INT64:  # type: ignore[call-overload]
        return "other"
    return name


def cell(value: Any, kind: Any) -> Any:
    """As a column of that Arrow type holds it."""
    if value is None or isinstance(value, str):
        return clean(value) if isinstance(value, str) else None
    return json_text(value) if pa.types.is_string(kind) else value


def json_text(value: Any) -> str:
    """Halves of characters and odd bytes stay escaped, so that what was read can be written."""
    text = json.dumps(value, ensure_ascii=False, default=_said)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, default=_said)
    return text


def clean(text: str) -> str:
    """With � for what no encoding can hold."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def joined(columns: Iterable[Columns]) -> Columns:
    whole = Columns()
    for some in columns:
        whole.join(some)
    return whole


def _said(value: object) -> str:
    """Of parquet's dates and bytes."""
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
