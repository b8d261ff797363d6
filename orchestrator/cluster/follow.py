"""What the cluster's job table adds to what a run's folder says. Unreachable is not failed."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from orchestrator.cluster.http import JobFacts, RayHttp
from orchestrator.cluster.local import find_local
from orchestrator.cluster.place import Place
from orchestrator.errors import ClusterError
from orchestrator.runs.state import State, Status


@dataclass(frozen=True, kw_only=True)
class Ending:
    """An end that the cluster knows of and the folder does not."""

    state: str
    reason: str

    def said(self, run_id: str) -> dict[str, Any]:
        hint = f"orchestrator resume {run_id}"
        return {"reason": self.reason, "blame": "cluster", "hint": hint}


def http_for(address: str) -> RayHttp:
    """The local cluster's own token for its address, else the one of the environment."""
    local = find_local()
    if local is not None and address.rstrip("/").replace("localhost", "127.0.0.1") == local.address:
        return local.http()
    return RayHttp(address)


def end_of_submission(status: Status) -> Ending | None:
    """None while the run may live, when its end was told, or when nobody can be asked."""
    if (status.state.is_over and not status.is_lost) or status.place != Place.CLUSTER.value:
        return None
    if not status.address or not status.submission_id:
        return None
    try:
        http = http_for(status.address)
        job = http.job(status.submission_id)
        logs = http.job_logs(status.submission_id) if job and job.status == "FAILED" else ""
    except ClusterError:
        return None
    return judge(status, job, logs)


def judge(status: Status, job: JobFacts | None, logs: str) -> Ending | None:
    if job is None:
        if status.state is not State.QUEUED:
            return None  # the lease says whether its driver lives
        reason = f"The cluster at {status.address} does not know this submission (any more)."
        return Ending(state="failed", reason=reason)
    if not job.is_over:
        return None
    if job.status == "STOPPED":
        return Ending(state="stopped", reason="Stopped through Ray before its driver could say so.")
    if status.is_lost:
        return Ending(state="failed", reason=f"{status.reason} Ray saw it end{_how(job)}.")
    words = _last_words(logs or job.message)
    reason = f"Ray says that the driver ended{_how(job)} without telling its end.{words}"
    return Ending(state="failed", reason=reason)


def _how(job: JobFacts) -> str:
    if job.exit_code is None:
        return ""
    if job.exit_code < 0:
        return f" by {signal.Signals(-job.exit_code).name}"
    return f" with exit code {job.exit_code}"


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return f" Its last words: {' | '.join(lines[-3:])[:600]}" if lines else ""
