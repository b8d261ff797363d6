"""Where an attempt and its workers leave word for each other: a group's desk, a tally of tasks.

Actors in processes of their own. They stay free of torch and Ray Train, whose imports take seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How far the ranks are, as one of them sees it."""

    name: str
    done: float = 0.0
    total: float | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Seat:
    """The process that a rank is."""

    node_id: str
    host: str
    pid: int


@dataclass(frozen=True, kw_only=True)
class Beat:
    """The last that was heard of a rank."""

    step: int
    silent_s: float


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a trial's first rank has measured."""

    step: int
    values: Mapping[str, float]


class Desk:
    """Where the driver's side and the ranks leave word for each other."""

    def __init__(self) -> None:
        self._stop_reason: str | None = None
        self._values: dict[int, Any] = {}
        self._seats: dict[int, Seat] = {}
        self._beats: dict[int, tuple[int, float]] = {}
        self._stage: Stage | None = None
        self._measured: Measurement | None = None
        self._answered: int | None = None  # the step of the last one

    def arrive(self, rank: int, seat: Seat) -> None:
        self._seats[rank] = seat

    def seats(self) -> dict[int, Seat]:
        return self._seats

    def beat(self, rank: int, step: int) -> None:
        self._beats[rank] = (step, time.monotonic())

    def beats(self) -> dict[int, Beat]:
        now = time.monotonic()
        return {
            rank: Beat(step=step, silent_s=now - at) for rank, (step, at) in self._beats.items()
        }

    def show(self, stage: Stage) -> None:
        self._stage = stage

    def look(self) -> tuple[int, Stage | None]:
        """How many ranks are there, and how far they are."""
        return len(self._seats), self._stage

    def ask_stop(self, reason: str) -> bool:
        """Whether it was in time: no rank has come to its end yet."""
        self._stop_reason = reason
        return not self._values

    def stop_reason(self) -> str | None:
        return self._stop_reason

    def measured(self, measurement: Measurement) -> None:
        """The rank waits for an answer."""
        self._measured = measurement

    def measurement(self) -> Measurement | None:
        """The one that waits."""
        return self._measured

    def answer(self, step: int) -> None:
        """Go on; or, where a stop was asked for before, end."""
        self._measured, self._answered = None, step

    def is_answered(self, step: int) -> bool:
        return self._answered == step

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
