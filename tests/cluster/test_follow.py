"""What the cluster's word about a submission means for a run: pure judgements."""

from orchestrator.cluster.follow import judge
from orchestrator.cluster.http import JobFacts
from orchestrator.runs.state import State, Status

QUEUED = Status(state=State.QUEUED, place="cluster", address="http://head:8265", attempt=1)
RUNNING = Status(state=State.RUNNING, place="cluster", address="http://head:8265", attempt=1)
LOST = Status(state=State.FAILED, is_lost=True, reason="The driver is gone.", place="cluster")


def facts(status: str, exit_code: int | None = None) -> JobFacts:
    return JobFacts(status=status, message="", exit_code=exit_code)


def test_a_job_that_lives_ends_nothing() -> None:
    for status in ("PENDING", "RUNNING"):
        assert judge(QUEUED, facts(status), "") is None
        assert judge(RUNNING, facts(status), "") is None


def test_a_queued_run_that_the_cluster_forgot_has_failed() -> None:
    ending = judge(QUEUED, None, "")
    assert ending is not None and ending.state == "failed"


def test_a_running_run_that_the_cluster_forgot_is_its_leases_to_judge() -> None:
    assert judge(RUNNING, None, "") is None


def test_a_driver_that_never_spoke_is_told_with_its_last_words() -> None:
    ending = judge(QUEUED, facts("FAILED", 1), "Traceback\nModuleNotFoundError: orchestrator\n")
    assert ending is not None and "ModuleNotFoundError: orchestrator" in ending.reason
    assert "exit code 1" in ending.reason


def test_a_lost_driver_is_told_with_the_signal_that_ray_saw() -> None:
    ending = judge(LOST, facts("FAILED", -9), "")
    assert ending is not None and "SIGKILL" in ending.reason and LOST.reason in ending.reason
