"""The course of a run: learning rate, packs of a step, lengths of samples, and where it ends.

All are functions of the settings and of how far the run is, so a run that is resumed, on any
number of workers, goes on as if it had not stopped. The training loop asks before each step;
`planning` asks once, for the whole run.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from orchestrator.corpus.packs.window import Phase
from orchestrator.errors import RequestError
from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.schedule import Counted, Schedule, ScheduleKind


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a run is: what lies behind it."""

    steps: int = 0
    packs: int = 0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A schedule with its lengths in one unit: the share of the peak rate at each place."""

    kind: ScheduleKind
    warmup: float
    decay: float
    end: float  # math.inf where the run has none; then the curve is constant
    final_fraction: float

    def at(self, place: float) -> float:
        if place < self.warmup:
            return place / self.warmup
        if self.kind is ScheduleKind.CONSTANT:
            return 1.0
        begin = self.end - self.decay if self.kind is ScheduleKind.WSD else self.warmup
        passed = _share(place, begin, self.end)
        if self.kind is ScheduleKind.LINEAR:
            left = 1 - passed
        elif self.kind is ScheduleKind.COSINE:
            left = (1 + math.cos(math.pi * passed)) / 2
        else:
            left = 1 - math.sqrt(passed)
        return self.final_fraction + (1 - self.final_fraction) * left


def curve_of(schedule: Schedule, *, end: float, unit: float = 1) -> Curve:
    """`unit`: how much of what settings count in is one of what the curve counts in."""

    def length(amount: float) -> float:
        return amount * end if 0 < amount < 1 else amount / unit

    return Curve(
        kind=schedule.kind,
        warmup=length(schedule.warmup),
        decay=length(schedule.decay),
        end=end,
        final_fraction=schedule.final_fraction,
    )


def _share(place: float, begin: float, end: float) -> float:
    if place <= begin:
        return 0.0
    return 1.0 if place >= end else (place - begin) / (end - begin)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Steps of the same number of packs."""

    begin: Mark
    packs_per_step: int


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A batch that grows from `start` to `full` packs over the first `over` packs of the run.

    It follows a straight line from below in multiples of `start`: where the workers share a step of
    `start` packs evenly, they do so in every step of the ramp.
    """

    start: int
    full: int
    over: int

    def packs_per_step(self, packs_total: int) -> int:
        """Of the step that begins when so many packs of the run lie behind."""
        if packs_total >= self.over:
            return self.full
        grown = self.start * self.over + (self.full - self.start) * packs_total
        return grown // (self.start * self.over) * self.start

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        stages: list[Stage] = []
        steps = packs = 0
        while packs < self.over:
            size = self.packs_per_step(packs)
            stages.append(Stage(begin=Mark(steps=steps, packs=packs), packs_per_step=size))
            # Where the straight line comes to the next multiple.
            until = min(self.over, -(-self.over * size // (self.full - self.start)))
            count = -(-(until - packs) // size)
            steps, packs = steps + count, packs + count * size
        stages.append(Stage(begin=Mark(steps=steps, packs=packs), packs_per_step=self.full))
        return tuple(stages)

    def after(self, steps: int) -> Mark:
        """How far a run is after so many steps."""
        number = bisect_right(self.stages, steps, key=lambda stage: stage.begin.steps)
        stage = self.stages[number - 1]
        packs = stage.begin.packs + (steps - stage.begin.steps) * stage.packs_per_step
        return Mark(steps=steps, packs=packs)

    def reaching(self, packs: int) -> Mark:
        """Where the first step ends with which at least so many packs lie behind."""
        number = bisect_right(self.stages, packs, key=lambda stage: stage.begin.packs)
        stage = self.stages[number - 1]
        count = -(-(packs - stage.begin.packs) // stage.packs_per_step)
        return self.after(stage.begin.steps + count)


@dataclass(frozen=True, kw_only=True)
class Course:
    batch: Batch
    schedule: Schedule
    budget: Budget

    @cached_property
    def ramp(self) -> Ramp:
        batch = self.batch
        return Ramp(start=batch.start_packs, full=batch.packs, over=batch.ramp_packs)

    @cached_property
    def horizon(self) -> Mark | None:
        """Where the run ends by its steps or tokens, whichever is first; time may end it before."""
        ends = []
        if self.budget.steps is not None:
            ends.append(self.ramp.after(self.budget.steps))
        if self.budget.tokens is not None:
            ends.append(self.ramp.reaching(-(-self.budget.tokens // self.batch.pack_tokens)))
        return min(ends, key=lambda end: end.steps, default=None)

    @cached_property
    def curve(self) -> Curve:
        """In steps or in packs, as the schedule is counted."""
        schedule = self.schedule
        is_in_steps = schedule.counted_in is Counted.STEPS
        unit = 1 if is_in_steps else self.batch.pack_tokens
        end = math.inf
        if schedule.needs_horizon or self.horizon is not None:
            horizon = self._needed_horizon(f"schedule.kind={schedule.kind}")
            end = horizon.steps if is_in_steps else horizon.packs

        return curve_of(schedule, end=end, unit=unit)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """Lengths of samples, shorter ones first; the first phase begins at pack 0."""
        lengths = sorted((int(name), share) for name, share in self.batch.shorter_first.items())
        if not lengths:
            return (Phase(from_packs=0, seq_len=self.batch.seq_len),)
        packs = self._needed_horizon("batch.shorter_first").packs
        begins: dict[int, int] = {}  # what would have no pack gives way to the longer one
        passed = 0.0
        for seq_len, share in lengths:
            begins[round(passed * packs)] = seq_len
            passed += share
        begins[round(passed * packs)] = self.batch.seq_len
        return tuple(Phase(from_packs=begin, seq_len=begins[begin]) for begin in sorted(begins))

    def packs_per_step(self, packs_total: int) -> int:
        return self.ramp.packs_per_step(packs_total)

    def rate(self, done: Mark) -> float:
        """The share of the peak learning rate for the step that begins here.

        Taken in the middle of the step, so that neither the first nor the last one is lost.
        """
        if self.schedule.counted_in is Counted.STEPS:
            return self.curve.at(done.steps + 0.5)
        return self.curve.at(done.packs + self.packs_per_step(done.packs) / 2)

    def is_over(self, done: Mark) -> bool:
        return self.horizon is not None and done.steps >= self.horizon.steps

    def _needed_horizon(self, what: str) -> Mark:
        if self.horizon is None:
            raise RequestError(
                f"{what} goes by the end of the run, which time alone does not tell.",
                hint="Try budget.steps=… or budget.tokens=…",
            )
        return self.horizon
