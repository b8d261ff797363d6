import pickle
from dataclasses import replace

import pytest

from orchestrator.cluster.outcome import (
    Cause,
    GroupHung,
    Moved,
    NeverSatisfiable,
    NotPlaced,
    Outcome,
    OutOfMemory,
    Preempted,
    WorkerDied,
    WorkersDiffer,
)
from orchestrator.errors import ClusterError, RequestError, StorageError


class RaysOwn(Exception):
    """As one of Ray's, known by its module: a driver has no Ray."""

    __module__ = "ray.exceptions"


@pytest.mark.parametrize(
    ("error", "cause", "blame"),
    [
        (NeverSatisfiable("9 CPU"), Cause.NEVER_SATISFIABLE, "user"),
        (WorkersDiffer("torch"), Cause.WORKERS_DIFFER, "cluster"),
        (WorkerDied("rank 1"), Cause.INFRASTRUCTURE, "cluster"),
        (GroupHung("rank 1"), Cause.INFRASTRUCTURE, "cluster"),
        (Preempted("rank 1"), Cause.PREEMPTION, "cluster"),
        (NotPlaced("no room"), Cause.NOT_PLACED, "cluster"),
        (ConnectionResetError("head"), Cause.INFRASTRUCTURE, "cluster"),
        (RaysOwn("actor"), Cause.INFRASTRUCTURE, "cluster"),
        (OutOfMemory("rank 1"), Cause.OUT_OF_MEMORY, "cluster"),
        (StorageError("full"), Cause.STORAGE, "storage"),
        (RequestError("no"), Cause.SETTINGS, "user"),
        (ClusterError("gone"), Cause.INFRASTRUCTURE, "cluster"),
        (MemoryError(), Cause.OUT_OF_MEMORY, "cluster"),
        (KeyError("x"), Cause.USER_CODE, "user"),
    ],
)
def test_every_error_has_a_cause_and_somebody_whose_move_it_is(
    error: Exception, cause: Cause, blame: str
) -> None:
    outcome = Outcome.of_error(error)
    assert (outcome.state, outcome.cause, outcome.cause.blame) == ("failed", cause, blame)
    assert Outcome.from_plain(outcome.to_plain()) == outcome


def test_a_strangers_error_is_told_by_its_first_line() -> None:
    reason = Outcome.of_error(ValueError("first\nsecond\nthird")).reason
    assert reason == "ValueError: first"


def test_a_process_that_a_stop_ended_is_stopped_not_failed() -> None:
    assert Outcome.of_exit(-9, stop_reason="asked", was_ended=True).state == "stopped"
    assert Outcome.of_exit(-9, stop_reason=None, was_ended=False).state == "failed"


def test_a_group_that_ended_to_go_on_with_others_did_not_fail() -> None:
    outcome = Outcome.of_error(Moved("3 fit", Cause.MORE_WORKERS))
    assert (outcome.state, outcome.cause, outcome.cause.blame) == (
        *("resized", Cause.MORE_WORKERS),
        "nobody",
    )
    assert Outcome.from_plain(outcome.to_plain()) == outcome


def test_a_crash_below_python_may_be_the_machines() -> None:
    assert Outcome.of_exit(-11, stop_reason=None, was_ended=False).cause is Cause.INFRASTRUCTURE
    assert Outcome.of_exit(1, stop_reason=None, was_ended=False).cause is Cause.USER_CODE


def test_how_a_run_ended_is_its_exit_code() -> None:
    failed = Outcome(state="failed")
    assert [Outcome.finished().exit_code, failed.exit_code] == [0, 1]
    assert [Outcome.stopped("").exit_code, replace(failed, is_spent=True).exit_code] == [4, 5]


def test_errors_cross_process_borders() -> None:
    error = WorkersDiffer("rank 1", hint="install")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
