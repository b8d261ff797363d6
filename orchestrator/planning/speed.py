"""How fast a job would train: as its settings say, or as the newest run alike did.

`pretrain.py` makes hours and dollars of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.archive import Archive
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.segments import SegmentName
from orchestrator.runs.storage import Storage
from orchestrator.settings.kinds import thaw
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.tracking.system import is_system

SPEED = "train/tokens_per_s"  # of all workers
_NEWEST = 40  # runs that are looked at
_TAIL_BYTES = 2**16  # of metrics: the last steps, which no start slows down
_LEAST = 3  # steps that say anything


@dataclass(frozen=True, kw_only=True)
class Measured:
    tokens_per_s: float  # of one worker
    said: str  # where that is from


def speed_of(job: PretrainJob, storage: Storage) -> Measured | None:
    given = job.compute.tokens_per_s
    if given is not None:
        return Measured(tokens_per_s=given, said="compute.tokens_per_s")
    return next(_measured(job, storage), None)


def _measured(job: PretrainJob, storage: Storage) -> Iterator[Measured]:
    """Newest first."""
    archive = Archive(storage)
    for run_id in reversed(archive.ids()[-_NEWEST:]):
        run = RunFolder(storage, run_id)
        try:
            other = _pretrain_job(run)
            if other is None or _pace(other) != _pace(job):
                continue
            found = _newest_speed(run)
        except OrchestratorError:
            continue  # a run that cannot be read says nothing
        if found is not None:
            speed, workers = found
            said = f"{run_id}, on {workers} worker{'s' * (workers > 1)}"
            yield Measured(tokens_per_s=speed / workers, said=said)


def _pretrain_job(run: RunFolder) -> PretrainJob | None:
    text = run.storage.read(layout.JOB).decode()
    if f"\nkind: {PretrainJob.kind}\n" not in text:  # to read all YAML would take seconds
        return None
    job = thaw(text)
    return job if isinstance(job, PretrainJob) else None


def _pace(job: PretrainJob) -> tuple[Any, ...]:
    """What a worker's speed depends on most: two jobs with the same train about as fast."""
    cluster = job.cluster
    return (
        *(job.model, job.precision, job.corpus.tokenizer, job.objective.pairs, job.batch.seq_len),
        *(cluster.cpus_per_worker, cluster.gpus_per_worker),
        replace(job.compute, peak_tflops=None, tokens_per_s=None),
    )


def _newest_speed(run: RunFolder) -> tuple[float, int] | None:
    """Tokens a second of the last attempt that trained, and how many workers it had."""
    entries = {
        name: entry
        for entry in run.storage.list(layout.METRICS)
        if (name := SegmentName.parse(entry.name)) is not None
        and name.suffix == "jsonl"
        and not is_system(name.writer)
    }
    workers = {
        event.attempt: event.fields.get("workers")
        for event in run.events()
        if event.kind == "running"
    }
    for name in sorted(entries, reverse=True):
        entry, world = entries[name], workers.get(name.attempt)
        start = max(0, entry.size_bytes - _TAIL_BYTES)
        data = run.storage.read(f"{layout.METRICS}/{entry.name}", start=start)
        speeds = list(_speeds(data))
        if isinstance(world, int) and len(speeds) >= _LEAST:
            return median(speeds), world
    return None


def _speeds(data: bytes) -> Iterator[float]:
    """The first line may be the end of one; each costs itself only."""
    for line in data.splitlines():
        try:
            speed = json.loads(line)["values"].get(SPEED)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if isinstance(speed, int | float) and speed > 0:
            yield float(speed)
