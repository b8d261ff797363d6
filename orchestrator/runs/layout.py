"""The name of every file in a run's folder. Nobody else spells one."""

from __future__ import annotations

import re

JOB = "job.yaml"  # written last: a folder without it is not a run
LINEAGE = "lineage.json"
CODE = "code.zip"
PROGRESS = "progress.json"
EVENTS = "events"
METRICS = "metrics"
STEPS = "steps"
LOGS = "logs"
LEASES = "leases"
CHECKPOINTS = "checkpoints"
COMMIT = "COMMIT"
UNIVERSAL = "universal"
QUARANTINE = f"{CHECKPOINTS}/quarantined"
EXPORT = "export"  # a Hugging Face directory: what an `export` run makes
START = "start"  # another, of the run's starting weights, where those are another run's checkpoint
RESULT = "result.json"  # what a fine-tune scored; written last
SAMPLES = "samples.json"  # what the model made of some validation samples, newest measurement
TRIALS = "trials"  # runs inside of a run: the seeds of a fine-tune, the trials of a sweep
CHILDREN = "children"  # of a pipeline: the frozen jobs of its steps
EXPORTED = "orchestrator.json"  # in both, written last: where the weights are from

_CHECKPOINT = re.compile(r"step-(\d{6,})")
_QUARANTINED = re.compile(r"step-(\d{6,})-\d+")
_RANK = re.compile(r"rank-\d{3,}\.json")


def code_of_attempt(attempt: int) -> str:
    """Where `resume --code here` keeps the newer code."""
    return f"code-{attempt:04d}.zip"


def child(name: str) -> str:
    """Where a pipeline keeps the job of a step until that is a run of its own."""
    return f"{CHILDREN}/{name}.yaml"


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


def rank_manifest(rank: int) -> str:
    """Below a checkpoint."""
    return f"rank-{rank:03d}.json"


def is_of_catalogue(name: str) -> bool:
    """Below a checkpoint, a name that no rank's own file may have."""
    return name in (COMMIT, UNIVERSAL) or _RANK.fullmatch(name) is not None


def quarantined(step: int, number: int) -> str:
    """Where a torn checkpoint lies for whoever wants to know why."""
    return f"{QUARANTINE}/step-{step:06d}-{number}"


def quarantined_step(name: str) -> int | None:
    match = _QUARANTINED.fullmatch(name)
    return int(match[1]) if match else None


def trial(number: int) -> str:
    return f"{TRIALS}/{number:04d}"


def trace(first: int, last: int, attempt: int) -> str:
    """For chrome://tracing or Perfetto."""
    return f"traces/{attempt:04d}-steps-{first:06d}-{last:06d}.json.gz"


def universal(step: int) -> str:
    """A checkpoint in the form for any number of workers, made when it is wanted."""
    return f"{checkpoint(step)}/{UNIVERSAL}"
