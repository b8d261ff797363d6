from __future__ import annotations

import itertools
import os
import time
from dataclasses import replace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs.lease import Holder
from orchestrator.runs.ledger import Event
from orchestrator.runs.state import State, Status, derive

ENDS = {"stopped", "finished", "failed"}
# How far an event brings its attempt.
STAGES = {
    **{"submitted": 0, "attempt_started": 1, "running": 2, "recovering": 2, "stopping": 3},
    **{end: 4 for end in ENDS},
}
DRIVEN = (State.STARTING, State.RUNNING, State.RECOVERING, State.STOPPING)


def _event(kind: str, attempt: int = 1, time: float = 0.0, **fields: object) -> Event:
    return Event(seq=1, attempt=attempt, writer="w", time=time, kind=kind, fields=fields)


def _state(*kinds: str) -> State:
    """Of events written `kind` or `kind attempt`."""
    parted = [kind.partition(" ") for kind in kinds]
    return derive([_event(kind, int(attempt or 1)) for kind, _, attempt in parted], None).state


def _expected(events: list[tuple[str, int]]) -> State:
    """Told in other words: the furthest stage of the newest attempt, the last of equals."""
    newest = max((attempt for _, attempt in events), default=0)
    kinds = [kind for kind, attempt in events if attempt == newest]
    furthest = max((STAGES[kind] for kind in kinds), default=0)
    last = [kind for kind in kinds if STAGES[kind] == furthest]
    names = {"submitted": "queued", "attempt_started": "starting"}
    return State(names.get(last[-1], last[-1])) if last else State.QUEUED


EVENTS = list(itertools.product(STAGES, (1, 2)))


def test_every_short_sequence_of_events_is_at_the_furthest_stage_of_its_newest_attempt() -> None:
    for length in range(4):
        for events in itertools.product(EVENTS, repeat=length):
            status = derive([_event(kind, attempt) for kind, attempt in events], None)
            assert status.state == _expected(list(events)), events


@given(st.lists(st.tuples(st.sampled_from(sorted(STAGES)), st.integers(1, 4)), max_size=12))
def test_so_is_every_long_one(events: list[tuple[str, int]]) -> None:
    status = derive([_event(kind, attempt) for kind, attempt in events], None)
    assert status.state == _expected(events)
    assert status.attempt == max((attempt for _, attempt in events), default=0)


@pytest.mark.parametrize(
    ("story", "state"),
    [
        ("", "queued"),
        ("created 0", "queued"),
        ("created 0, submitted", "queued"),
        ("created 0, submitted, attempt_started", "starting"),
        ("created 0, submitted, attempt_started, running", "running"),
        ("submitted, attempt_started, running, recovering", "recovering"),
        ("submitted, attempt_started, running, recovering, running", "running"),
        ("submitted, attempt_started, running, stopping", "stopping"),
        ("submitted, attempt_started, running, stopping, stopped", "stopped"),
        ("submitted, attempt_started, running, finished", "finished"),
        ("submitted, attempt_started, failed", "failed"),
        ("submitted, failed", "failed"),
        ("submitted, attempt_started, failed, submitted 2", "queued"),
        ("submitted, attempt_started, failed, submitted 2, attempt_started 2", "starting"),
        ("submitted, attempt_started, running, attempt_started 2, failed 1", "starting"),
        ("attempt_started, running, finished, probed, notified, checkpoint, noted", "finished"),
    ],
)
def test_a_story_ends_in_its_state(story: str, state: str) -> None:
    assert _state(*[kind for kind in story.split(", ") if kind]) == state


@pytest.mark.parametrize(
    "story",
    [
        # The submitting laptop's clock is ahead of the driver's.
        "attempt_started, running, finished, created 0, submitted",
        # The driver's clock was set back between two events of two writers.
        "created 0, submitted, attempt_started, finished, running, stopping",
        "created 0, submitted, finished, attempt_started, running",
    ],
)
def test_differing_clocks_do_not_bring_an_ended_run_back_to_life(story: str) -> None:
    assert _state(*story.split(", ")) == State.FINISHED


@given(st.permutations(["created", "submitted", "attempt_started", "running", "failed"]))
def test_in_whatever_order_they_arrive_the_facts_are_the_same(kinds: list[str]) -> None:
    fields: dict[str, dict[str, object]] = {
        "created": {"tags": ["a"]},
        "submitted": {"place": "cluster", "address": "http://head", "submission_id": "x-1"},
        "failed": {"reason": "because", "blame": "user", "hint": "look"},
    }
    moments = {"created": 1.0, "submitted": 2.0, "attempt_started": 3.0, "failed": 9.0}
    events = [
        _event(kind, int(kind != "created"), moments.get(kind, 0.0), **fields.get(kind, {}))
        for kind in kinds
    ]
    assert derive(events, None) == Status(
        state=State.FAILED,
        attempt=1,
        reason="because",
        blame="user",
        hint="look",
        created=1.0,
        started=3.0,
        ended=9.0,
        place="cluster",
        address="http://head",
        submission_id="x-1",
        tags=("a",),
    )


def test_a_further_attempt_forgets_how_the_last_one_ended() -> None:
    events = [
        _event("submitted", place="here"),
        _event("attempt_started", time=5.0),
        _event("failed", time=7.0, reason="because", blame="user", hint="look"),
    ]
    failed = derive(events, None)
    assert (failed.reason, failed.ended) == ("because", 7.0)
    again = derive([*events, _event("submitted", 2, place="cluster")], None)
    assert (again.state, again.place) == (State.QUEUED, "cluster")
    assert (again.reason, again.blame, again.hint, again.ended) == ("", "", "", None)
    assert again.started is None
    started = derive([*events, _event("attempt_started", 2, time=9.0)], None)
    assert (started.started, started.ended, started.attempt) == (9.0, None, 2)


def test_while_it_waits_for_its_next_attempt_a_run_says_why() -> None:
    waits = [_event("submitted", place="here"), _event("attempt_started"), _event("running")]
    waits += [_event("recovering", reason="rank 1 died")]
    assert derive(waits, None).state is State.RECOVERING
    assert derive(waits, None).reason == "rank 1 died"
    again = derive([*waits, _event("attempt_started", 2)], None)
    assert (again.state, again.attempt, again.reason) == (State.STARTING, 2, "")
    assert (again.place, derive([*waits, _event("running")], None).reason) == ("here", "")


def test_a_spent_budget_is_an_exit_code_of_its_own_until_somebody_resumes() -> None:
    spent = [_event("attempt_started"), _event("failed", reason="died 4 times", is_spent=True)]
    assert (derive(spent, None).exit_code, derive(spent, None).is_spent) == (5, True)
    assert not derive([*spent, _event("submitted", 2)], None).is_spent
    assert derive([*spent, _event("submitted", 2), _event("failed", 2)], None).exit_code == 1
    assert derive([_event("stopped")], None).exit_code == 4
    assert derive([_event("finished")], None).exit_code == 0


def test_tags_come_and_go_and_notes_stay() -> None:
    events = [
        _event("created", 0, tags=["a", "b"]),
        _event("tagged", 0, add=["c", "a"], remove=[]),
        _event("noted", 0, text="first"),
        _event("tagged", 0, add=[], remove=["b", "nope"]),
        _event("attempt_started", 1),
        _event("noted", 0, text="second"),
    ]
    status = derive(events, None)
    assert status.tags == ("a", "c")
    assert status.notes == ("first", "second")
    assert status.state == State.STARTING


# ----- the driver that does not say goodbye


def _holder(*, is_alive: bool) -> Holder:
    now = time.time()
    return Holder(
        owner="x",
        host="node-7",
        boot="b",
        pid=os.getpid(),
        pid_started=psutil.Process().create_time(),
        acquired=now - 500,
        renewed=now - (0 if is_alive else 300),
        generation=1,
    )


@pytest.mark.parametrize("kind", sorted(STAGES))
@pytest.mark.parametrize("is_alive", [True, False])
def test_a_driven_run_whose_driver_is_gone_has_failed_and_no_other(
    kind: str, is_alive: bool
) -> None:
    events = [_event(kind)]
    told = derive(events, None)
    judged = derive(events, _holder(is_alive=is_alive))
    assert judged.driver is not None
    if told.state in DRIVEN and not is_alive:
        assert judged.state == State.FAILED
        assert judged.is_lost
        assert judged.blame == "cluster"
        assert judged.hint == "orchestrator resume RUN"
        assert "has not been heard of" in judged.reason
    else:
        assert replace(judged, driver=None) == told


def test_a_driver_that_let_go_without_a_word_has_failed_too() -> None:
    holder = replace(_holder(is_alive=True), released=True)
    assert derive([_event("running")], holder).is_lost
    assert derive([_event("running")], replace(holder, released=False)).state == State.RUNNING


def test_how_an_earlier_attempt_was_killed_is_not_told_of_a_later_one() -> None:
    holder = _holder(is_alive=False)
    killed = _event("attempt_killed", 1, signal="SIGKILL")
    assert "(SIGKILL)" in derive([_event("running"), killed], holder).reason
    later = [_event("running"), killed, _event("failed"), _event("attempt_started", 2)]
    assert "SIGKILL" not in derive(later, holder).reason


def test_only_the_three_ends_are_ends() -> None:
    assert {state.value for state in State if state.is_over} == ENDS
