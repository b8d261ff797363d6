"""Mistakes in data, gathered by what is wrong: the first rows by name, of the others how many.

`read` fills it, and `findings` with what only all examples together tell; `plan` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.errors import SettingsError
from orchestrator.settings.finding import Finding
from orchestrator.tasks.example import BadRow, Where

_NAMED = 3  # rows of a mistake


@dataclass
class _Group:
    shown: str
    try_: str
    places: list[str] = field(default_factory=list)
    count: int = 0


class Problems:
    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}
        self._others: list[Finding] = []

    def add(self, split: str, where: Where, err: BadRow) -> None:
        group = self._groups.setdefault((split, err.rule), _Group(err.shown, err.try_))
        group.count += 1
        if len(group.places) < _NAMED:
            group.places.append(str(where))

    def say(self, finding: Finding) -> None:
        self._others.append(finding)

    def findings(self) -> Iterator[Finding]:
        for (split, rule), group in self._groups.items():
            more = group.count - len(group.places)
            places = "; ".join(group.places) + (f"; and {more:,} more" if more else "")
            shown = f": {group.shown}" if group.shown else ""
            yield Finding(
                key=f"task.data.splits.{split}",
                found=f"{places}{shown}",
                rule=rule,
                try_=group.try_,
            )
        yield from self._others

    def raise_any(self) -> None:
        lines = [str(finding) for finding in self.findings()]
        if lines:
            raise SettingsError(lines)
