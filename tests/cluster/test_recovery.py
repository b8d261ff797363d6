"""The policy of trying again: laws over stories of attempts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.outcome import Cause
from orchestrator.cluster.recovery import Try, decide, try_of
from orchestrator.runs.ledger import Event
from orchestrator.settings.recovery import Recovery

BUDGETED = {
    Cause.INFRASTRUCTURE: "infrastructure",
    Cause.OUT_OF_MEMORY: "out_of_memory",
    Cause.STORAGE: "storage",
    Cause.PREEMPTION: "preemption",
}
budgets = st.builds(
    Recovery,
    infrastructure=st.integers(0, 4),
    out_of_memory=st.integers(0, 4),
    storage=st.integers(0, 4),
    preemption=st.integers(0, 4),
    backoff=st.floats(0, 100),
    longest_backoff=st.floats(0, 1000),
)
budgeted = st.sampled_from(sorted(BUDGETED, key=lambda cause: cause.value))


def again_until_refused(cause: Cause, recovery: Recovery, most: int = 200) -> int:
    """How often an attempt that always fails so is tried again."""
    tries: list[Try] = []
    while len(tries) < most:
        tries.append(Try(cause=cause))
        if not decide(tries, recovery).again:
            break
    return len(tries) - 1


@given(budgets, budgeted)
def test_without_progress_a_cause_is_tried_again_as_often_as_its_budget_says(
    recovery: Recovery, cause: Cause
) -> None:
    assert again_until_refused(cause, recovery) == getattr(recovery, BUDGETED[cause])


@given(budgets, budgeted, st.integers(1, 300))
def test_a_run_that_gets_further_each_time_never_runs_out(
    recovery: Recovery, cause: Cause, deaths: int
) -> None:
    tries = [Try(cause=cause, committed=step, is_progress=True) for step in range(deaths)]
    assert decide(tries, recovery).again is (getattr(recovery, BUDGETED[cause]) > 0)
    assert not decide(tries, recovery).is_spent


@given(budgets, st.lists(budgeted, max_size=12))
def test_causes_do_not_spend_each_others_budgets(recovery: Recovery, causes: list[Cause]) -> None:
    tries = [Try(cause=cause) for cause in [*causes, Cause.STORAGE]]
    own = causes.count(Cause.STORAGE) + 1
    assert decide(tries, recovery).again is (own <= recovery.storage)


@given(budgets, st.lists(budgeted, max_size=6))
def test_a_change_of_the_world_costs_nothing_and_waits_for_nothing(
    recovery: Recovery, causes: list[Cause]
) -> None:
    decision = decide([Try(cause=cause) for cause in [*causes, Cause.MORE_WORKERS]], recovery)
    assert (decision.again, decision.wait_s) == (True, 0.0)


@pytest.mark.parametrize("cause", sorted(set(Cause) - set(BUDGETED), key=str))
def test_what_would_fail_again_is_never_tried_again(cause: Cause) -> None:
    if cause is not Cause.MORE_WORKERS:
        decision = decide([Try(cause=cause)], Recovery())
        assert not decision.again and not decision.is_spent


@given(st.floats(0.1, 60), st.floats(0.1, 1000), st.integers(1, 80))
def test_waits_double_up_to_the_longest(first: float, longest: float, count: int) -> None:
    recovery = Recovery(infrastructure=100, backoff=first, longest_backoff=longest)
    tries = [Try(cause=Cause.INFRASTRUCTURE)] * count
    waits = [decide(tries[: n + 1], recovery).wait_s for n in range(count)]
    assert waits[0] == min(first, longest)
    for before, after in itertools.pairwise(waits):
        assert after == min(2 * before, longest)


def test_a_budget_of_none_is_not_a_budget_spent() -> None:
    decision = decide([Try(cause=Cause.STORAGE)], Recovery(storage=0))
    assert not decision.again and not decision.is_spent
    assert "recovery.storage=0" in decision.reason


def test_dying_in_the_same_place_is_told_with_the_place() -> None:
    tries = [
        Try(cause=Cause.INFRASTRUCTURE, committed=400, is_progress=True, reached=407),
        Try(cause=Cause.INFRASTRUCTURE, committed=400, reached=412),
        Try(cause=Cause.INFRASTRUCTURE, committed=400, reached=None),
    ]
    decision = decide(tries, Recovery(infrastructure=2))
    assert decision.is_spent and not decision.again
    assert "died 3 times between step 400 and 412" in decision.reason
    assert "recovery.infrastructure=2" in decision.reason


def _committed(attempt: int, step: int) -> Event:
    kind, fields = "checkpoint_committed", {"step": step}
    return Event(seq=1, attempt=attempt, writer="w", time=0.0, kind=kind, fields=fields)


@pytest.mark.parametrize(
    ("story", "newest", "is_progress"),
    [
        ([], None, False),
        ([(1, 10)], 10, False),  # an earlier attempt's, of this driver or another
        ([(2, 10)], 10, True),
        ([(2, 0)], 0, True),
        ([(1, 10), (2, 10)], 10, False),  # it only repeated what was lost
        ([(1, 10), (2, 5)], 10, False),
        ([(1, 10), (2, 5), (2, 15)], 15, True),
        ([(1, 10), (3, 20)], 10, False),  # not its own
    ],
)
def test_progress_is_a_checkpoint_beyond_all_before(
    story: list[tuple[int, int]], newest: int | None, is_progress: bool
) -> None:
    events = [_committed(attempt, step) for attempt, step in story]
    one = try_of(events, 2, Cause.INFRASTRUCTURE, None)
    assert (one.committed, one.is_progress) == (newest, is_progress)
