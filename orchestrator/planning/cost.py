"""How long a run is: in steps, tokens and epochs, and at a given speed in hours and dollars. Pure.

`plan` shows it before anything is held, and `status` while a run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.training.schedule import Course, Mark


@dataclass(frozen=True, kw_only=True)
class Extent:
    steps: int
    packs: int
    tokens: int  # nominal: packs times batch.pack_tokens
    epochs: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    extent: Extent
    duration_s: float
    dollars: float
    is_cut_short: bool  # by budget.max_duration, before budget.steps or budget.tokens


@dataclass(frozen=True, kw_only=True)
class Speed:
    tokens_per_s: float  # nominal ones, all workers together
    dollars_per_hour: float = 0.0  # all workers together


def extent(course: Course, end: Mark, *, tokens_per_epoch: int) -> Extent:
    tokens = end.packs * course.batch.pack_tokens
    return Extent(steps=end.steps, packs=end.packs, tokens=tokens, epochs=tokens / tokens_per_epoch)


def cost(course: Course, speed: Speed, *, tokens_per_epoch: int) -> Cost:
    """Of the whole run, or of what `budget.max_duration` leaves of it."""
    end = _end(course, speed)
    is_cut_short = course.horizon is not None and end.steps < course.horizon.steps
    reached = extent(course, end, tokens_per_epoch=tokens_per_epoch)
    duration_s = reached.tokens / speed.tokens_per_s
    return Cost(
        extent=reached,
        duration_s=duration_s,
        dollars=duration_s / 3600 * speed.dollars_per_hour,
        is_cut_short=is_cut_short,
    )


def _end(course: Course, speed: Speed) -> Mark:
    limit_s = course.budget.max_duration
    if limit_s is None:
        assert course.horizon is not None, "a budget without any end is a finding"
        return course.horizon
    packs = max(1, int(limit_s * speed.tokens_per_s / course.batch.pack_tokens))
    in_time = course.ramp.reaching(packs)
    if course.horizon is None or in_time.steps < course.horizon.steps:
        return in_time
    return course.horizon
