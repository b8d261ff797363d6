"""Where an attempt and its workers leave word for each other: a group's desk, a tally of tasks.

Actors in processes of their own. They stay free of torch and Ray Train, whose imports take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How far the ranks are, as one of them sees it."""

    name: str
    done: float = 0.0
    total: float | None = None
    unit: str = ""


class Desk:
    """Where the driver's side and the ranks leave word for each other."""

    def __init__(self) -> None:
        self._stop_reason: str | None = None
        self._values: dict[int, Any] = {}
        self._arrived: set[int] = set()
        self._stage: Stage | None = None

    def arrive(self, rank: int) -> None:
        self._arrived.add(rank)

    def show(self, stage: Stage) -> None:
        self._stage = stage

    def look(self) -> tuple[int, Stage | None]:
        """How many ranks are there, and how far they are."""
        return len(self._arrived), self._stage

    def ask_stop(self, reason: str) -> None:
        self._stop_reason = reason

    def stop_reason(self) -> str | None:
        return self._stop_reason

    def put(self, rank: int, value: Any) -> None:
        self._values[rank] = value

    def values(self) -> dict[int, Any]:
        return self._values


class Tally:
    """How much of their items tasks have done."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}

    def tell(self, number: int, done: int) -> None:
        self._done[number] = done

    def done(self) -> int:
        return sum(self._done.values())
