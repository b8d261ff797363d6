"""Errors of a group's ranks, as Ray Train hands them over, in our words."""

from __future__ import annotations

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError
from ray.train.v2._internal.exceptions import WorkerHealthCheckTimeoutError
from ray.train.v2.api.exceptions import PreemptionError, WorkerGroupError
from ray.train.v2.api.preemption import PreemptionInfo

from orchestrator.cluster.desk import Beat
from orchestrator.cluster.failures import Scene, told_once
from orchestrator.cluster.outcome import Cause, Outcome
from orchestrator.errors import OrchestratorError, StorageError

SCENE = Scene(world=4, hang_timeout_s=600.0)
TIMED_OUT = RuntimeError(
    "[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 8000ms for "
    "recv operation to complete"
)
CLOSED = RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]")


def told(failures: dict[int, Exception], scene: Scene = SCENE) -> OrchestratorError:
    return told_once(WorkerGroupError("screens of text", failures), scene)


@pytest.mark.parametrize(
    ("failures", "cause"),
    [
        ({0: ActorDiedError()}, Cause.INFRASTRUCTURE),
        ({0: CLOSED, 1: ActorDiedError(), 2: ValueError("lost it")}, Cause.INFRASTRUCTURE),
        ({0: TIMED_OUT, 1: TIMED_OUT}, Cause.INFRASTRUCTURE),
        ({3: WorkerHealthCheckTimeoutError("hanging")}, Cause.INFRASTRUCTURE),
        ({0: ValueError("no such thing")}, Cause.USER_CODE),
        ({0: CLOSED, 1: ValueError("no such thing")}, Cause.USER_CODE),
        ({0: CLOSED, 1: StorageError("no space left")}, Cause.STORAGE),
        ({0: MemoryError(), 1: CLOSED}, Cause.OUT_OF_MEMORY),
        ({0: RuntimeError("DefaultCPUAllocator: can't allocate memory")}, Cause.OUT_OF_MEMORY),
        ({0: OutOfMemoryError("The node was running low on memory")}, Cause.OUT_OF_MEMORY),
    ],
)
def test_the_first_cause_is_found_among_what_it_did_to_the_other_ranks(
    failures: dict[int, Exception], cause: Cause
) -> None:
    assert Outcome.of_error(told(failures)).cause is cause


def test_ranks_that_waited_and_those_that_did_not_come_are_named() -> None:
    beats = {0: Beat(step=12, silent_s=600.0), 1: Beat(step=12, silent_s=600.0)}
    beats |= {2: Beat(step=11, silent_s=605.0), 3: Beat(step=12, silent_s=600.0)}
    error = told({0: TIMED_OUT}, Scene(world=4, hang_timeout_s=600.0, beats=beats))
    assert "rank 0 waited for others in vain (cluster.hang_timeout=10 m 00 s)" in error.message
    assert "rank 2 did not come" in error.message
    assert "rank 2: last seen at step 11, 10 m 05 s ago" in error.message
    assert "rank 1, 2, 3 did not come" in told({0: TIMED_OUT}).message  # nobody told their steps


def test_a_lost_connection_is_no_hang_and_names_nodes_that_are_gone() -> None:
    message = told({0: CLOSED}, Scene(world=2, hang_timeout_s=9.0, lost_nodes={1: "n7"})).message
    assert "rank 0 lost the connection" in message and "rank 1: its node n7 is gone" in message
    assert "hang_timeout" not in message


def test_the_same_error_on_many_ranks_is_told_once() -> None:
    message = told({0: ValueError("x"), 1: KeyError("y"), 2: ValueError("x")}).message
    assert "rank 0, 2: ValueError: x" in message and message.count("ValueError") == 1


def test_a_death_after_notice_of_it_is_a_preemption() -> None:
    noticed = Scene(world=4, hang_timeout_s=600.0, is_preempted=True)
    for failure in (ActorDiedError(), CLOSED):
        assert Outcome.of_error(told({1: failure}, noticed)).cause is Cause.PREEMPTION
    info = PreemptionInfo(deadline_ms=None, preempted_node_to_ranks={"a": [1]})
    assert Outcome.of_error(told_once(PreemptionError(info), SCENE)).cause is Cause.PREEMPTION
