import pickle

import pytest

from orchestrator.cluster.outcome import Cause, NeverSatisfiable, Outcome, WorkerDied, WorkersDiffer
from orchestrator.errors import ClusterError, RequestError, StorageError


@pytest.mark.parametrize(
    ("error", "cause", "blame"),
    [
        (NeverSatisfiable("9 CPU"), Cause.NEVER_SATISFIABLE, "user"),
        (WorkersDiffer("torch"), Cause.WORKERS_DIFFER, "cluster"),
        (WorkerDied("rank 1"), Cause.INFRASTRUCTURE, "cluster"),
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


def test_errors_cross_process_borders() -> None:
    error = WorkersDiffer("rank 1", hint="install")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
