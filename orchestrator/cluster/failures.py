"""What a group asks of Ray, and what its failures mean: Ray's errors in our words, told once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ray

from orchestrator.cluster.desk import Beat
from orchestrator.cluster.outcome import GroupHung, OutOfMemory, Preempted, WorkerDied
from orchestrator.errors import ClusterError, OrchestratorError, RunFailed
from orchestrator.settings.job import Job
from orchestrator.settings.units import format_duration

if TYPE_CHECKING:
    import ray.train  # costs every task's process a second

_RESUME = "orchestrator resume RUN"
_LOGS = "orchestrator logs RUN"
_NO_MEMORY = re.compile(
    r"OutOfMemory|OUT_OF_MEMORY|MemoryError|low on memory|[Cc]an'?t allocate memory"
)
# What gloo and NCCL say when another rank does not come, and when it went away.
_WAITED = re.compile(r"Timed out waiting|Watchdog caught collective|wait timeout")
_NO_PEER = re.compile(
    r"gloo/|Connection (closed|reset) by peer|Broken pipe|ncclRemoteError|ncclSystemError"
    r"|DistBackendError|DistNetworkError"
)
_SILENT_S = 5.0  # ranks beat at every step; a step that takes longer is not silence of one rank
_TAKEN_AWAY = "A node was taken away before its workers had reached a safe point."
_KILLS = "A kill from outside and one by the kernel for want of memory look the same from here."


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is known of a group beside its errors."""

    world: int
    hang_timeout_s: float
    beats: Mapping[int, Beat] = field(default_factory=dict)
    lost_nodes: Mapping[int, str] = field(default_factory=dict)  # rank → host that is gone
    is_preempted: bool = False


def worker_resources(job: Job) -> dict[str, float]:
    """What one worker takes, in Ray's words."""
    cluster = job.cluster
    asked: dict[str, float] = {"CPU": cluster.cpus_per_worker}
    if cluster.gpus_per_worker:
        asked["GPU"] = cluster.gpus_per_worker
    if cluster.memory_per_worker:
        asked["memory"] = float(cluster.memory_per_worker)
    return asked


def is_start_timeout(err: ray.train.TrainingFailedError) -> bool:
    """Ray Train found no room: others were faster."""
    return "StartupTimeout" in type(getattr(err, "controller_failure", err)).__name__


def told_once(err: ray.train.TrainingFailedError, scene: Scene) -> OrchestratorError:
    """The same error on many ranks, told once with the ranks; ours are passed on as they are."""
    failures: Mapping[int, Exception] = getattr(err, "worker_failures", {})
    if type(err).__name__ == "PreemptionError":
        return Preempted(f"Nodes were taken away before a safe point: {_first_line(err)}")
    if not failures:
        failure = getattr(err, "controller_failure", err)
        return ClusterError(f"Ray Train's controller failed: {_described(failure)}.")
    originals = {rank: _original(failure) for rank, failure in failures.items()}
    own = [one for one in originals.values() if isinstance(one, OrchestratorError)]
    if own:
        return own[0]
    # Where a rank died, the others' errors only say that they lost it.
    dead = {rank: one for rank, one in originals.items() if _is_death(one)}
    if dead:
        return _of_dead(dead, scene)
    real = {rank: one for rank, one in originals.items() if not _is_lost_peer(one)}
    if not real:
        return _of_survivors(originals, scene)
    lines = _by_ranks(real)
    if any(_NO_MEMORY.search(_described(one)) for one in real.values()):
        return OutOfMemory(
            f"Workers ran out of memory.\n{lines}", hint="Smaller batches, or more memory."
        )
    return RunFailed(f"Workers failed.\n{lines}", hint=_LOGS)


def of_task(err: ray.exceptions.RayError, stage: str) -> OrchestratorError:
    """Of one task among many; ours are passed on as they are."""
    original = _original(err)
    if isinstance(original, OrchestratorError):
        return original
    told = f"A task of `{stage}` failed.\n  {_described(original)}"
    if isinstance(original, MemoryError | ray.exceptions.OutOfMemoryError):
        return OutOfMemory(told, hint="Lower cluster.num_workers, or give a worker more memory.")
    if _is_death(original):
        return WorkerDied(told, hint=_RESUME)
    return RunFailed(told, hint=_LOGS)


def _of_dead(dead: Mapping[int, BaseException], scene: Scene) -> OrchestratorError:
    if all(_is_silence(one) for one in dead.values()):
        limit = f"cluster.hang_timeout={format_duration(scene.hang_timeout_s)}"
        told = f"{_ranks(dead)} did not answer for {limit}."
        return GroupHung("\n".join([told, *_last_seen(dead, scene)]), hint=_RESUME)
    lines = "\n".join([*_lost_nodes(scene), _by_ranks(dead)])
    if any(_NO_MEMORY.search(str(one)) for one in dead.values()):
        return OutOfMemory(
            f"Ray ended a worker because its node was short of memory.\n{lines}",
            hint="Smaller batches, cluster.memory_per_worker=…, or more memory.",
        )
    told = f"A worker process died, or its node did.\n{lines}"
    if scene.is_preempted:
        return Preempted(f"{_TAKEN_AWAY}\n{lines}", hint=_RESUME)
    return WorkerDied(f"{told}\n{_KILLS}", hint=_RESUME)


def _of_survivors(errors: Mapping[int, BaseException], scene: Scene) -> OrchestratorError:
    """All that is known comes from ranks that waited for others, or lost them."""
    lines = _by_ranks(errors)
    if scene.is_preempted:
        return Preempted(f"{_TAKEN_AWAY}\n{lines}", hint=_RESUME)
    if any(_WAITED.search(str(one)) for one in errors.values()):
        absent = _absent(errors, scene)
        limit = f"cluster.hang_timeout={format_duration(scene.hang_timeout_s)}"
        missing = f"; {_ranks(absent)} did not come" if absent else ""
        told = f"{_ranks(errors)} waited for others in vain ({limit}){missing}."
        return GroupHung("\n".join([told, *_last_seen(absent, scene), lines]), hint=_RESUME)
    told = (
        f"{_ranks(errors)} lost the connection to others: a process died, its node or the network."
    )
    return WorkerDied("\n".join([told, *_lost_nodes(scene), lines]), hint=_RESUME)


def _absent(waited: Iterable[int], scene: Scene) -> list[int]:
    """Those who fell behind, where the ranks told their steps; else all who did not complain."""
    latest = max((beat.step for beat in scene.beats.values()), default=0)
    behind = [
        rank
        for rank, beat in scene.beats.items()
        if beat.step < latest and beat.silent_s > _SILENT_S
    ]
    return sorted(behind or set(range(scene.world)) - set(waited))


def _lost_nodes(scene: Scene) -> list[str]:
    return [f"  rank {rank}: its node {host} is gone" for rank, host in scene.lost_nodes.items()]


def _last_seen(ranks: Iterable[int], scene: Scene) -> list[str]:
    return [
        f"  rank {rank}: last seen at step {scene.beats[rank].step}, "
        f"{format_duration(scene.beats[rank].silent_s)} ago"
        for rank in sorted(ranks)
        if rank in scene.beats
    ]


def _by_ranks(errors: Mapping[int, BaseException]) -> str:
    ranks: dict[str, list[int]] = {}
    for rank, one in errors.items():
        ranks.setdefault(_described(one), []).append(rank)
    return "\n".join(f"  {_ranks(those)}: {text}" for text, those in ranks.items())


def _ranks(ranks: Iterable[int]) -> str:
    return f"rank {', '.join(map(str, sorted(ranks)))}"


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


def _is_silence(failure: BaseException) -> bool:
    return "WorkerHealthCheckTimeout" in type(failure).__name__


def _is_lost_peer(failure: BaseException) -> bool:
    said = f"{type(failure).__name__}: {failure}"
    return bool(_WAITED.search(said) or _NO_PEER.search(said))


def _described(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {_first_line(failure)}"


def _first_line(err: BaseException) -> str:
    lines = [line for line in str(err).strip().splitlines() if line.strip()]
    return (lines or ["no message"])[0][:300]
