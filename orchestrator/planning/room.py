"""Whether workers fit into the memory that is known: a reserved one's, or this machine's.

Every world that the run may have is looked at; a smaller one may need more of each worker. What a
GPU has is not known before it is held, so of GPUs only the host's part is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from orchestrator.planning.footprint import Encoder, footprint, lighter
from orchestrator.runs.plan import Resources
from orchestrator.settings.finding import Finding
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.units import format_bytes

_NEAR = 0.9  # of the memory there is: estimates are not exact


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a worker may take, where that is known."""

    size_bytes: int
    said: str


def worlds_of(job: PretrainJob) -> range:
    return range(job.cluster.least_workers, job.cluster.num_workers + 1)


def room_for(job: PretrainJob, resources: Resources, world: int) -> Room | None:
    reserved = job.cluster.memory_per_worker
    if reserved is not None:
        return Room(size_bytes=reserved, said="cluster.memory_per_worker")
    if not resources.is_this_machine or (resources.nodes or 1) > 1:
        return None  # how a cluster's workers would be spread over its nodes is not known
    # What Ray offers for reservations is less than what workers without one can take.
    has = resources.has or {} if resources.place == "here" else {}
    there = int(has.get("memory", psutil.virtual_memory().total))
    said = f"this machine has {format_bytes(there)}"
    return Room(size_bytes=there // world, said=said if world == 1 else f"{said} for {world}")


def needs(job: PretrainJob, encoder: Encoder, world: int) -> int:
    """Of the host's memory, which is all that there is without GPUs."""
    of_worker = footprint(job, encoder, job.zero, world)
    return of_worker.host if of_worker.on_gpu else of_worker.whole


def room_findings(job: PretrainJob, encoder: Encoder, resources: Resources) -> Iterator[Finding]:
    small = [world for world in worlds_of(job) if _lacks(job, encoder, resources, world)]
    if not small:
        return
    cluster = job.cluster
    fitting = [world for world in worlds_of(job) if world > small[-1]]
    world = small[-1]
    room = room_for(job, resources, world)
    assert room is not None
    is_least = bool(fitting)  # only worlds that the run may shrink to
    key = "cluster.min_workers" if is_least else _key(job)
    found = {
        "cluster.min_workers": f"={cluster.least_workers}",
        "cluster.memory_per_worker": f"={format_bytes(room.size_bytes)}",
        "cluster.num_workers": f"={cluster.num_workers}",
    }[key]
    need = format_bytes(needs(job, encoder, world))
    workers = "1 worker needs" if world == 1 else f"each of {world} workers needs"
    yield Finding(
        key=key,
        found=found,
        rule=f"does not fit: {workers} about {need} of memory, and {room.said}"
        + ("." if cluster.memory_per_worker is None else f" is {format_bytes(room.size_bytes)}."),
        try_=_proposal(job, encoder, resources, fitting),
    )


def room_warnings(job: PretrainJob, encoder: Encoder, resources: Resources) -> Iterator[str]:
    world = job.cluster.num_workers
    room, need = room_for(job, resources, world), needs(job, encoder, world)
    if room is not None and _NEAR * room.size_bytes < need <= room.size_bytes:
        yield (
            f"A worker needs about {format_bytes(need)} of memory, nearly all of its "
            f"{format_bytes(room.size_bytes)} ({room.said})."
        )


def _key(job: PretrainJob) -> str:
    reserved = job.cluster.memory_per_worker is not None
    return "cluster.memory_per_worker" if reserved else "cluster.num_workers"


def _lacks(job: PretrainJob, encoder: Encoder, resources: Resources, world: int) -> bool:
    room = room_for(job, resources, world)
    return room is not None and needs(job, encoder, world) > room.size_bytes


def _proposal(job: PretrainJob, encoder: Encoder, resources: Resources, fitting: list[int]) -> str:
    """What was computed to fit, and nothing else."""
    if fitting:
        return f"cluster.min_workers={fitting[0]}."
    ways = [
        words
        for words, changed in lighter(job)
        if not any(_lacks(changed, encoder, resources, world) for world in worlds_of(changed))
    ]
    fewer = [
        f"cluster.num_workers={world}"
        for world in range(job.cluster.num_workers - 1, 0, -1)
        if job.cluster.min_workers is None and not _lacks(job, encoder, resources, world)
    ]
    if job.cluster.memory_per_worker is not None:
        most = max(needs(job, encoder, world) for world in worlds_of(job))
        ways = [*ways[:2], f"cluster.memory_per_worker={-(-most // 2**20)}MiB"]
    proposed = [*ways[:2], *ways[-1:], *fewer[:1]] if len(ways) > 2 else [*ways, *fewer[:1]]
    return (
        f"{' or '.join(dict.fromkeys(proposed))}."
        if proposed
        else "a smaller model, or more memory."
    )
