"""What a group asks of Ray, and what its failures mean: Ray's errors in our words, told once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import ray

from orchestrator.cluster.outcome import NeverSatisfiable, OutOfMemory, WorkerDied
from orchestrator.errors import ClusterError, OrchestratorError, RunFailed
from orchestrator.settings.job import Job

if TYPE_CHECKING:
    import ray.train  # costs every task's process a second


def worker_resources(job: Job) -> dict[str, float]:
    """What one worker takes, in Ray's words."""
    cluster = job.cluster
    asked: dict[str, float] = {"CPU": cluster.cpus_per_worker}
    if cluster.gpus_per_worker:
        asked["GPU"] = cluster.gpus_per_worker
    if cluster.memory_per_worker:
        asked["memory"] = float(cluster.memory_per_worker)
    return asked


def check_satisfiable(job: Job) -> None:
    """Ray Train would wait for ever for what no node has."""
    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, amount in worker_resources(job).items():
        wanted = amount * job.cluster.num_workers
        if wanted > has.get(name, 0.0):
            raise NeverSatisfiable(
                f"{job.cluster.num_workers} workers with {amount:g} {name} each need {wanted:g} "
                f"{name}; the cluster has {has.get(name, 0.0):g}.",
                hint="Lower cluster.num_workers or what a worker takes, or add nodes.",
            )


def told_once(err: ray.train.TrainingFailedError, job: Job) -> OrchestratorError:
    """The same error on many ranks, told once with the ranks; ours are passed on as they are."""
    failures: Mapping[int, Exception] = getattr(err, "worker_failures", {})
    if not failures:
        return _of_controller(getattr(err, "controller_failure", err), job)
    originals = {rank: _original(failure) for rank, failure in failures.items()}
    own = [one for one in originals.values() if isinstance(one, OrchestratorError)]
    if own:
        return own[0]
    # Where a rank died, the others' errors only say that they lost it.
    dead = {rank: one for rank, one in originals.items() if _is_death(one)}
    ranks: dict[str, list[int]] = {}
    for rank, one in (dead or originals).items():
        ranks.setdefault(_described(one), []).append(rank)
    lines = [f"rank {', '.join(map(str, those))}: {text}" for text, those in ranks.items()]
    if dead:
        told = "A worker process died, or its node did.\n  "
        return WorkerDied(told + "\n  ".join(lines), hint="orchestrator resume RUN")
    if any("OutOfMemory" in line or "MemoryError" in line for line in lines):
        told = "Workers ran out of memory.\n  "
        return OutOfMemory(told + "\n  ".join(lines), hint="Smaller batches, or more memory.")
    return RunFailed("Workers failed.\n  " + "\n  ".join(lines), hint="orchestrator logs RUN")


def of_task(err: ray.exceptions.RayError, stage: str) -> OrchestratorError:
    """Of one task among many; ours are passed on as they are."""
    original = _original(err)
    if isinstance(original, OrchestratorError):
        return original
    told = f"A task of `{stage}` failed.\n  {_described(original)}"
    if isinstance(original, MemoryError | ray.exceptions.OutOfMemoryError):
        return OutOfMemory(told, hint="Lower cluster.num_workers, or give a worker more memory.")
    if _is_death(original):
        return WorkerDied(told, hint="orchestrator resume RUN")
    return RunFailed(told, hint="orchestrator logs RUN")


def _of_controller(failure: Exception, job: Job) -> OrchestratorError:
    if "StartupTimeout" not in type(failure).__name__:
        return ClusterError(f"Ray Train's controller failed: {_described(failure)}.")
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    cluster = job.cluster
    each = ", ".join(f"{amount:g} {name}" for name, amount in worker_resources(job).items())
    return ClusterError(
        f"{cluster.num_workers} workers with {each} each could not be placed within "
        f"cluster.start_timeout={cluster.start_timeout:g} s; free are "
        f"{free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU.",
        hint="Wait for other runs to end (orchestrator list), ask for less, or wait longer.",
    )


def _original(failure: Exception) -> BaseException:
    """The exception that the rank's code raised, below Ray's wrappers."""
    inner: BaseException = failure
    while True:
        below = (
            getattr(inner, "cause", None) or getattr(inner, "_base_exc", None) or inner.__cause__
        )
        if not isinstance(below, BaseException) or below is inner:
            return inner
        inner = below


def _is_death(failure: BaseException) -> bool:
    return (
        isinstance(failure, ray.exceptions.RayError)
        or "WorkerHealthCheck" in type(failure).__name__
    )


def _described(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {_first_line(failure)}"


def _first_line(err: BaseException) -> str:
    lines = [line for line in str(err).strip().splitlines() if line.strip()]
    return (lines or ["no message"])[0][:300]
