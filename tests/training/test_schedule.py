from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.packs.stream import Cursor, Share
from orchestrator.errors import RequestError
from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.schedule import Counted, Schedule, ScheduleKind
from orchestrator.training.schedule import Course, Curve, Mark, Ramp

KINDS = st.sampled_from(ScheduleKind)
FALLING = KINDS.filter(lambda kind: kind is not ScheduleKind.CONSTANT)


@st.composite
def curves(draw: st.DrawFn, kinds: st.SearchStrategy[ScheduleKind] = KINDS) -> Curve:
    end = draw(st.integers(10, 10**6))
    warmup = draw(st.floats(0, 0.4)) * end
    return Curve(
        kind=draw(kinds),
        warmup=warmup if warmup > 1e-3 else 0.0,
        decay=draw(st.floats(0.01, 0.5)) * end,
        end=end,
        final_fraction=draw(st.floats(0, 1)),
    )


@st.composite
def ramps(draw: st.DrawFn) -> Ramp:
    start = draw(st.integers(1, 8))
    full = start + draw(st.integers(1, 60))
    return Ramp(start=start, full=full, over=full + draw(st.integers(0, 2000)))


@st.composite
def courses(draw: st.DrawFn) -> Course:
    pack = 64
    start = draw(st.integers(1, 4))
    packs = start + draw(st.integers(1, 20))
    is_ramp = draw(st.booleans())
    batch = Batch(
        global_tokens=packs * pack,
        pack_tokens=pack,
        seq_len=32,
        shorter_first=draw(st.sampled_from([{}, {"8": 0.9}, {"16": 0.25, "8": 0.5}])),
        start_tokens=start * pack if is_ramp else None,
        ramp_tokens=(packs + draw(st.integers(0, 300))) * pack if is_ramp else 0,
    )
    schedule = Schedule(
        kind=draw(KINDS),
        counted_in=draw(st.sampled_from(Counted)),
        warmup=draw(st.sampled_from([0.0, 0.1, 7.0])),
        decay=draw(st.sampled_from([0.2, 9.0])),
    )
    steps = draw(st.integers(20, 200))
    budget = Budget(steps=steps, tokens=draw(st.none() | st.integers(20_000, 200_000)))
    return Course(batch=batch, schedule=schedule, budget=budget)


def whole_run(course: Course) -> list[Mark]:
    """By counting alone, as a loop does it."""
    marks = [Mark()]
    while not course.is_over(marks[-1]):
        done = marks[-1]
        packs = done.packs + course.packs_per_step(done.packs)
        marks.append(Mark(steps=done.steps + 1, packs=packs))
    return marks


# --- the rate


@given(curves())
def test_the_rate_rises_straight_to_its_peak_and_never_leaves_0_to_1(curve: Curve) -> None:
    places = np.linspace(0, curve.end * 1.2, 200)
    assert all(0 <= curve.at(place) <= 1 for place in places)
    if curve.warmup:
        assert curve.at(0) == 0
        assert curve.at(curve.warmup / 4) == pytest.approx(0.25)
    assert curve.at(curve.warmup) == 1


@given(curves())
def test_the_rate_rises_then_never_rises_again(curve: Curve) -> None:
    rates = [curve.at(place) for place in np.linspace(curve.warmup, curve.end * 1.1, 300)]
    assert all(after <= before for before, after in pairwise(rates))


@given(curves(FALLING))
def test_the_rate_ends_at_its_final_fraction_and_stays_there(curve: Curve) -> None:
    assert curve.at(curve.end) == pytest.approx(curve.final_fraction, abs=1e-12)
    assert curve.at(curve.end * 3) == curve.at(curve.end)


@given(curves(), st.floats(0, 1))
def test_the_rate_has_no_jump(curve: Curve, where: float) -> None:
    """A step of a hundred-thousandth: the root of WSD is steepest where it begins."""
    place, step = where * curve.end, curve.end * 1e-5
    steepest = math.sqrt(1e-5 * curve.end / min(curve.decay, curve.end - curve.warmup))
    rise = step / curve.warmup if curve.warmup else math.inf if place == 0 else 0
    assert abs(curve.at(place + step) - curve.at(place)) <= 1.01 * max(2 * steepest, rise)


@pytest.mark.parametrize(
    ("kind", "place", "rate"),
    [
        (ScheduleKind.LINEAR, 55, 0.5),
        (ScheduleKind.COSINE, 55, 0.5),
        (ScheduleKind.COSINE, 40, (1 + math.cos(math.pi / 3)) / 2),
        (ScheduleKind.WSD, 79, 1.0),
        (ScheduleKind.WSD, 85, 0.5),  # a quarter of the decay: 1 - sqrt(1/4)
        (ScheduleKind.WSD, 95, 1 - math.sqrt(0.75)),
        (ScheduleKind.CONSTANT, 99, 1.0),
    ],
)
def test_the_rate_on_its_way(kind: ScheduleKind, place: float, rate: float) -> None:
    curve = Curve(kind=kind, warmup=10, decay=20, end=100, final_fraction=0.0)
    assert curve.at(place) == pytest.approx(rate)
    kept = replace(curve, final_fraction=0.2)
    if kind is not ScheduleKind.CONSTANT:
        assert kept.at(place) == pytest.approx(0.2 + 0.8 * rate)


@given(courses())
def test_no_step_is_trained_at_rate_zero_and_warm_up_reaches_its_peak(course: Course) -> None:
    rates = [course.rate(mark) for mark in whole_run(course)[:-1]]
    assert min(rates) > 0
    # Within a step of it: rates are taken in the middle of steps.
    assert max(rates) > 0.7


@given(courses(), st.integers(2, 5))
def test_the_stable_part_of_wsd_is_the_same_for_a_longer_run(course: Course, more: int) -> None:
    schedule = Schedule(kind=ScheduleKind.WSD, warmup=7, decay=9)
    assert course.budget.steps is not None
    short = replace(course, schedule=schedule, budget=Budget(steps=course.budget.steps))
    long = replace(short, budget=Budget(steps=course.budget.steps * more))
    for mark in whole_run(short)[:-10]:
        assert long.rate(mark) == short.rate(mark)


def test_steps_and_tokens_are_the_same_clock_while_the_batch_does_not_grow() -> None:
    batch = Batch(global_tokens=1024, pack_tokens=64, seq_len=32)
    budget = Budget(steps=100)
    by_steps = Schedule(kind=ScheduleKind.COSINE, warmup=10)
    by_tokens = Schedule(kind=ScheduleKind.COSINE, warmup=10 * 1024, counted_in=Counted.TOKENS)
    one = Course(batch=batch, schedule=by_steps, budget=budget)
    other = Course(batch=batch, schedule=by_tokens, budget=budget)
    for mark in whole_run(one):
        assert one.rate(mark) == pytest.approx(other.rate(mark), abs=1e-12)


# --- the batch


@given(ramps())
def test_a_ramp_grows_in_multiples_of_its_start_and_reaches_full(ramp: Ramp) -> None:
    sizes = [ramp.packs_per_step(packs) for packs in range(ramp.over + 10)]
    assert sizes[0] == ramp.start
    assert sizes[ramp.over :] == [ramp.full] * 10
    assert all(before <= after for before, after in pairwise(sizes))
    assert all(size % ramp.start == 0 for size in sizes[: ramp.over])
    line = [ramp.start + (ramp.full - ramp.start) * packs / ramp.over for packs in range(ramp.over)]
    assert all(
        0 <= exact - size < ramp.start + 1e-9 for exact, size in zip(line, sizes, strict=False)
    )


@given(ramps(), st.integers(0, 400))
def test_where_a_ramp_is_after_some_steps_is_where_counting_comes_to(
    ramp: Ramp, steps: int
) -> None:
    packs = 0
    for step in range(steps):
        assert ramp.after(step) == Mark(steps=step, packs=packs)
        assert ramp.reaching(packs) == Mark(steps=step, packs=packs)
        size = ramp.packs_per_step(packs)
        assert ramp.reaching(packs + 1) == Mark(steps=step + 1, packs=packs + size)
        packs += size


@given(ramps(), st.integers(1, 7), st.integers(1, 3), st.integers(0, 60))
def test_the_steps_of_a_ramp_tile_the_stream_for_any_world(
    ramp: Ramp, world: int, micro_packs: int, steps: int
) -> None:
    cursor = Cursor()
    fed: list[int] = []
    for _ in range(steps):
        size = ramp.packs_per_step(cursor.packs_total)
        ranks = [
            Share(packs_per_step=size, micro_packs=micro_packs, world=world, rank=rank)
            for rank in range(world)
        ]
        own = np.concatenate([share.slots().ravel() for share in ranks])
        fed += sorted((cursor.packs_total + own[own >= 0]).tolist())
        for _ in range(size):
            cursor = cursor.next_pack()
    assert fed == list(range(cursor.packs_total))
    assert ramp.after(steps).packs == cursor.packs_total


def test_a_batch_that_does_not_grow_is_always_full() -> None:
    batch = Batch(global_tokens=1024, pack_tokens=64, seq_len=32)
    course = Course(batch=batch, schedule=Schedule(), budget=Budget(steps=3))
    assert [course.packs_per_step(packs) for packs in (0, 16, 10**9)] == [16, 16, 16]
    assert [mark.packs for mark in whole_run(course)] == [0, 16, 32, 48]


# --- the end, the lengths


@given(courses())
def test_a_run_ends_at_its_horizon_by_steps_or_tokens_whichever_is_first(course: Course) -> None:
    *before, last = whole_run(course)
    assert last == course.horizon
    budget, pack = course.budget, course.batch.pack_tokens
    assert budget.steps is not None
    enough = [last.steps == budget.steps]
    if budget.tokens is not None:
        enough.append(last.packs * pack >= budget.tokens)
        assert all(mark.packs * pack < budget.tokens for mark in before)
    assert any(enough)


@given(courses())
def test_phases_go_from_short_to_long_in_their_shares(course: Course) -> None:
    phases = course.phases
    assert course.horizon is not None
    assert (phases[0].from_packs, phases[-1].seq_len) == (0, course.batch.seq_len)
    for before, after in pairwise(phases):
        assert before.from_packs < after.from_packs < course.horizon.packs
        assert before.seq_len < after.seq_len
        share = course.batch.shorter_first[str(before.seq_len)]
        packs = after.from_packs - before.from_packs
        assert packs == pytest.approx(share * course.horizon.packs, abs=1)


def test_the_recipe_of_bert() -> None:
    batch = Batch(global_tokens=131072, pack_tokens=8192, shorter_first={"128": 0.9})
    budget = Budget(steps=1_000_000)
    course = Course(batch=batch, schedule=Schedule(warmup=10_000), budget=budget)
    assert [(phase.from_packs, phase.seq_len) for phase in course.phases] == [
        (0, 128),
        (16 * 900_000, 512),
    ]
    rates = [course.rate(course.ramp.after(step)) for step in (0, 9_999, 505_000, 999_999)]
    assert rates == pytest.approx([0.5e-4, 1, 0.5, 0], abs=1e-4)


@given(courses(), st.data())
def test_a_resumed_run_goes_on_with_the_same_values(course: Course, data: st.DataObject) -> None:
    """From any step on, out of nothing but the settings and how far it is."""
    marks = whole_run(course)
    again = Course(batch=course.batch, schedule=course.schedule, budget=course.budget)
    place = data.draw(st.integers(0, len(marks) - 2))
    assert again.rate(marks[place]) == course.rate(marks[place])
    assert again.ramp.after(place) == marks[place]
    assert again.packs_per_step(marks[place].packs) == marks[place + 1].packs - marks[place].packs


def test_what_goes_by_the_end_of_a_run_is_refused_where_time_alone_ends_it() -> None:
    batch, budget = Batch(), Budget(max_duration=60.0)
    endless = Course(batch=batch, schedule=Schedule(), budget=budget)
    assert endless.horizon is None
    assert not endless.is_over(Mark(steps=10**9, packs=10**9))
    with pytest.raises(RequestError, match=r"schedule\.kind=linear goes by the end of the run"):
        endless.rate(Mark())
    shorter = replace(endless, batch=replace(batch, shorter_first={"128": 0.9}))
    with pytest.raises(RequestError, match=r"batch\.shorter_first goes by the end of the run"):
        _ = shorter.phases
    counted = Schedule(kind=ScheduleKind.CONSTANT, warmup=10)
    constant = replace(endless, schedule=counted)
    rates = [constant.rate(Mark(steps=steps, packs=0)) for steps in (0, 5, 10, 10**9)]
    assert rates == [0.05, 0.55, 1, 1]
