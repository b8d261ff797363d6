"""Rows and examples: values that know where they came from, so that a mistake can be pointed at.

Readers of files yield rows; a kind of task makes an example of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.corpus.text.cells import NotText, find_value


@dataclass(frozen=True, slots=True)
class Where:
    file: str
    number: int | str  # from 1, as editors count lines
    unit: str = "line"

    def __str__(self) -> str:
        shown = f"{self.number:,}" if isinstance(self.number, int) else self.number
        return f"{self.file}, {self.unit} {shown}"


class BadRow(ValueError):
    """What is wrong with a row, as the end of a sentence; the caller knows where. `shown` may
    differ from row to row, the rule is the same."""

    def __init__(self, rule: str, *, shown: str = "", try_: str = "") -> None:
        super().__init__(f"{shown} {rule}".strip())
        self.rule = rule
        self.shown = shown
        self.try_ = try_


@dataclass(frozen=True, slots=True)
class Row:
    values: Mapping[str, Any]
    where: Where

    def value(self, column: str) -> Any:
        """Dots lead into objects."""
        try:
            return find_value(dict(self.values), column)
        except NotText as err:
            raise BadRow(f"{err}.") from err

    def text(self, column: str) -> str:
        value = self.value(column)
        if not isinstance(value, str):
            raise BadRow("is not a text.", shown=f"{column}={value!r}"[:80])
        if not value.strip():
            raise BadRow("is empty.", shown=column)
        return value

    def name(self, column: str) -> str:
        """A label: text, or a whole number or truth value as one."""
        value = self.value(column)
        if isinstance(value, bool | int | str) and str(value).strip():
            return str(value).strip()
        found = "empty" if value is None or value == "" else f"{value!r}"[:60]
        raise BadRow("is no label.", shown=f"{column} ({found})")

    def names(self, column: str) -> tuple[str, ...]:
        """A list; of a text the words, or JSON's list of them, as `predict` writes it in csv."""
        value = self.value(column)
        if isinstance(value, str):
            listed = listed_in(value)
            is_of_words = listed and all(isinstance(item, str) for item in listed)
            value = listed if is_of_words else value.split()
        return _names(value, column)

    def labels(self, column: str) -> tuple[str, ...]:
        """A list; a text has spaces or commas between them, or is JSON's list."""
        value = self.value(column)
        if isinstance(value, str):
            listed = listed_in(value)
            value = _divided(value, column) if listed is None else listed
        return _names(value, column)


def listed_in(text: str) -> list[Any] | None:
    """JSON's list, where the text is one."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value: list[Any] = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _divided(text: str, column: str) -> list[str]:
    shown, try_ = f"{column}={text!r}"[:80], 'a list of JSON: ["one", "two words"].'
    if text.lstrip().startswith("["):
        raise BadRow("begins as a list of JSON and is none.", shown=shown, try_=try_)
    if "," not in text:
        return text.split()
    items = [item.strip() for item in text.split(",") if item.strip()]
    if any(len(item.split()) > 1 for item in items):
        rule = "has commas and spaces between labels, of which one may be a part of them."
        raise BadRow(rule, shown=shown, try_=try_)
    return items


def _names(value: Any, column: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(item, str | int) for item in value
    ):
        raise BadRow("is not a list of texts.", shown=f"{column}={value!r}"[:80])
    return tuple(str(item) for item in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    texts: tuple[str, ...]  # one or two; the words of tagging; a question and its context
    target: Any  # a label, a number, tags …: its kind knows
    where: Where
    group: str | None = None


def refuse_halves(text: str) -> None:
    """JSON can spell halves of characters, which no tokenizer can read."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as err:
        half = f"\\u{ord(text[err.start]):04x}"
        raise BadRow("holds half a character.", shown=f"{half} at {err.start:,}") from err


def plain_of(value: Any) -> Any:
    """A target or an answer as what JSON can hold."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [plain_of(item) for item in value]
    return list(value.texts) if hasattr(value, "texts") else value
