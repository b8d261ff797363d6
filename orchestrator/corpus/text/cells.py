"""The text in a field of a row, whatever the row was stored in. Pure; called by all row readers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.corpus.text.lines import RECORD_BYTES
from orchestrator.corpus.text.origin import Origin
from orchestrator.errors import RequestError
from orchestrator.settings.finding import did_you_mean


class NotText(ValueError):
    """What was found in place of a text, as the end of a sentence; the caller knows where."""


def find_value(row: Any, column: str) -> Any:
    """A field of a parsed JSON object. Dots lead into objects, unless a name has them itself."""
    if not isinstance(row, dict):
        raise NotText(f"is {_describe(row)} and not an object with named fields")
    if column in row:
        return row[column]
    value: Any = row
    parts = column.split(".")
    for depth, name in enumerate(parts):
        if value is None:
            return None
        if not isinstance(value, dict) or name not in value:
            there = value if isinstance(value, dict) else {}
            known = [".".join((*parts[:depth], key)) for key in there]
            near = f". Try {did_you_mean(column, known)}" if known else ""
            raise NotText(f"has no {column}; it has {_some(known)}{near}".removesuffix("."))
        value = value[name]
    return value


def text_of(value: Any, *, replaces: bool) -> str | None:
    """A text, or a list of them as lines; None where there is none."""
    if isinstance(value, str):
        text = value.replace("\r\n", "\n") if "\r" in value else value
    elif value is None:
        return None
    elif isinstance(value, list | tuple):
        text = "\n".join(_as_line(item) for item in value if item is not None)
    else:
        raise NotText(f"holds {_describe(value)} and not a text")
    if len(text) > RECORD_BYTES:
        raise NotText(f"holds {len(text):,} characters; the limit of a row is {RECORD_BYTES:,}")
    return text if text.isascii() else _encodable(text, replaces)


def missing_column(origin: Origin, known: Iterable[str]) -> RequestError:
    column = origin.source.column
    names = sorted(known)
    return RequestError(
        f"{origin.uri} has no column {column}; it has {_some(names)}.",
        hint=f"Set {origin.key}.column; try {did_you_mean(column, names)}",
    )


def _as_line(item: Any) -> str:
    if not isinstance(item, str):
        raise NotText(f"holds a list with {_describe(item)} and not only texts")
    return item.replace("\r\n", " ").replace("\n", " ")


def _encodable(text: str, replaces: bool) -> str:
    """JSON can spell halves of characters, which no encoding can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as err:
        if not replaces:
            half = f"\\u{ord(text[err.start]):04x}"
            raise NotText(f"holds half a character, {half}, at {err.start:,}") from err
        return text.encode("utf-8", "replace").decode()
    return text


def _some(names: list[str], most: int = 20) -> str:
    more = f" … ({len(names)} in all)" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object ({', '.join(list(map(str, value))[:5])})"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:39] + '…'}"
