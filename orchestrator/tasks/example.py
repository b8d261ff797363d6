"""Rows and examples: values that know where they came from, so that a mistake can be pointed at.

Readers of files yield rows; a kind of task makes an example of each.
"""

from __future__ import annotations

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
        """A list; in a csv file a text of such, with spaces between."""
        value = self.value(column)
        items = value.split() if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(
            isinstance(item, str | int) for item in items
        ):
            raise BadRow("is not a list of texts.", shown=f"{column}={value!r}"[:80])
        return tuple(str(item) for item in items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    texts: tuple[str, ...]  # one or two; the words of tagging; a question and its context
    target: Any  # a label, a number, tags …: its kind knows
    where: Where
    group: str | None = None


def plain_of(value: Any) -> Any:
    """A target or an answer as what JSON can hold."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [plain_of(item) for item in value]
    return list(value.texts) if hasattr(value, "texts") else value
