from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planning.cost import Speed, cost
from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.schedule import Schedule, ScheduleKind
from orchestrator.training.schedule import Course

BATCH = Batch(global_tokens=131_072, start_tokens=16_384, ramp_tokens=10_000_000)
SCHEDULE = Schedule(kind=ScheduleKind.CONSTANT, warmup=100)


def course(budget: Budget) -> Course:
    return Course(batch=BATCH, schedule=SCHEDULE, budget=budget)


def test_a_day_on_eight_workers() -> None:
    plain = Course(batch=Batch(), schedule=Schedule(), budget=Budget(steps=1000))
    speed = Speed(tokens_per_s=1_000_000, dollars_per_hour=24)
    told = cost(plain, speed, tokens_per_epoch=65_536_000)
    assert (told.extent.steps, told.extent.tokens, told.extent.epochs) == (1000, 131_072_000, 2)
    assert told.duration_s == pytest.approx(131.072)
    assert told.dollars == pytest.approx(24 * 131.072 / 3600)
    assert not told.is_cut_short


@given(st.integers(1, 3000), st.floats(1e3, 1e7), st.floats(60, 10**6))
def test_time_ends_a_run_where_it_is_shorter_and_whole_steps_are_told(
    steps: int, tokens_per_s: float, max_duration: float
) -> None:
    speed = Speed(tokens_per_s=tokens_per_s)
    whole = cost(course(Budget(steps=steps)), speed, tokens_per_epoch=1000)
    cut = cost(course(Budget(steps=steps, max_duration=max_duration)), speed, tokens_per_epoch=1000)
    by_time = cost(course(Budget(max_duration=max_duration)), speed, tokens_per_epoch=1000)
    assert cut.extent.steps == min(whole.extent.steps, by_time.extent.steps)
    assert cut.is_cut_short == (cut.extent.steps < steps)
    assert not by_time.is_cut_short
    step_s = BATCH.global_tokens / tokens_per_s
    assert by_time.duration_s <= max_duration + step_s
    for told in (whole, cut, by_time):
        assert told.extent.packs == course(Budget(steps=1)).ramp.after(told.extent.steps).packs
        assert told.duration_s == pytest.approx(told.extent.tokens / tokens_per_s)
