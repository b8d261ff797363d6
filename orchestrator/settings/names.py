"""Explicit tables from names to code: a config file can pick from a table, never name code.

Entries are `module:attribute` references, imported at first use, so that a plan that only checks
names stays light. A user's `extensions` add to the same tables through `register`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from orchestrator.errors import RequestError
from orchestrator.settings.finding import did_you_mean

T = TypeVar("T")


class Table(Generic[T]):
    def __init__(self, noun: str, entries: dict[str, str]) -> None:
        self.noun = noun
        self._entries: dict[str, str | T] = dict(entries)

    def register(self, name: str, thing: T) -> None:
        if name in self._entries and self._entries[name] is not thing:
            raise RequestError(
                f"There is already a {self.noun} called {name}; choose another name."
            )
        self._entries[name] = thing

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            near = did_you_mean(name, self._entries)
            raise RequestError(f"{name} is not a {self.noun}. Try {near}")
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = cast(T, getattr(importlib.import_module(module), attribute))
            self._entries[name] = entry
        return entry
