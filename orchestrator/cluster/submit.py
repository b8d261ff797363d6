"""Submitting: the code goes to the cluster's package store, the driver becomes a Ray job."""

from __future__ import annotations

import hashlib
import shlex
from typing import Any

from orchestrator.cluster.embedded import WAITING
from orchestrator.cluster.http import AlreadySubmitted, NotAccepted, RayHttp
from orchestrator.errors import ClusterError
from orchestrator.runs.folder import RunFolder


def submission_id(run_id: str, attempt: int) -> str:
    """The same run and attempt always get the same one, so that Ray refuses a second copy."""
    return f"{run_id}-{attempt:04d}"


def submit_driver(http: RayHttp, run: RunFolder, attempt: int, stop_grace_s: float) -> str:
    """Returns when the cluster has accepted the job.

    Raises NotAccepted when it surely did not, another ClusterError when that cannot be known.
    """
    code = run.code(attempt)
    submission = submission_id(run.id, attempt)
    # A name of its own for every submission, though the bytes may be there already: Ray removes a
    # package when its last job ends, and one that starts at that moment finds it half gone.
    package = f"_ray_pkg_{hashlib.sha1(submission.encode() + code).hexdigest()}.zip"
    try:
        http.upload(package, code)
    except ClusterError as err:
        raise NotAccepted(err.message, hint=err.hint) from err
    drive = "orchestrator drive"
    request: dict[str, Any] = {
        "submission_id": submission,
        # `exec`: the signals of a stop reach the driver, not a shell around it.
        "entrypoint": f"exec python -m {drive} {shlex.quote(run.uri)} --attempt {attempt}",
        "runtime_env": {
            "working_dir": f"gcs://{package}",
            "env_vars": {
                "RAY_JOB_STOP_SIGNAL": "SIGTERM",
                "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",  # read by Train's controller
                "RAY_JOB_STOP_WAIT_TIME_S": str(int(stop_grace_s) + 15),
                **WAITING,
            },
        },
        "metadata": {"orchestrator_run": run.id, "orchestrator_attempt": str(attempt)},
    }
    try:
        http.submit(request)
    except (NotAccepted, AlreadySubmitted):
        raise
    except ClusterError as err:
        # The answer was lost, not necessarily the request. Who cannot say which raises again.
        if http.job(submission) is None:
            raise NotAccepted(err.message, hint=err.hint) from err
    return submission
