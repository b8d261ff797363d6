"""The name of every file in a run's folder. Nobody else spells one."""

from __future__ import annotations

import re

JOB = "job.yaml"  # written last: a folder without it is not a run
LINEAGE = "lineage.json"
CODE = "code.zip"
PROGRESS = "progress.json"
EVENTS = "events"
METRICS = "metrics"
LOGS = "logs"
LEASES = "leases"
CHECKPOINTS = "checkpoints"
COMMIT = "COMMIT"

_CHECKPOINT = re.compile(r"step-(\d{6,})")


def code_of_attempt(attempt: int) -> str:
    """Where `resume --code here` keeps the newer code."""
    return f"code-{attempt:04d}.zip"


def ray_logs(attempt: int) -> str:
    """What an embedded Ray said, kept when its attempt failed."""
    return f"{LOGS}/{attempt:04d}-ray.zip"


def lease(generation: int) -> str:
    return f"{LEASES}/{generation:06d}.json"


def checkpoint(step: int) -> str:
    return f"{CHECKPOINTS}/step-{step:06d}"


def checkpoint_step(name: str) -> int | None:
    match = _CHECKPOINT.fullmatch(name)
    return int(match[1]) if match else None
