"""What a job asks for against what there is: a cluster asked over HTTP, or this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil

from orchestrator.cluster.http import RayHttp
from orchestrator.runs.plan import Resources
from orchestrator.settings.finding import Finding
from orchestrator.settings.job import Job
from orchestrator.settings.units import format_bytes

_KEY = {"CPU": "cpus_per_worker", "GPU": "gpus_per_worker", "memory": "memory_per_worker"}


def asked(job: Job) -> dict[str, float]:
    """All workers together."""
    cluster = job.cluster
    per_worker = {
        "CPU": cluster.cpus_per_worker,
        "GPU": cluster.gpus_per_worker,
        "memory": float(cluster.memory_per_worker or 0),
    }
    return {name: amount * cluster.num_workers for name, amount in per_worker.items() if amount}


def ask_cluster(job: Job, http: RayHttp) -> Resources:
    facts = http.facts()
    return Resources(
        asked=asked(job),
        place=http.address,
        has=facts.resources,
        nodes=facts.nodes,
        ray_version=facts.ray_version,
        is_this_machine=facts.is_this_machine,
        can_grow=facts.can_grow,
    )


def this_machine(job: Job) -> Resources:
    has = {
        "CPU": float(os.cpu_count() or 1),
        "GPU": float(_num_gpus()),
        "memory": float(psutil.virtual_memory().total),
    }
    ray_version = metadata.version("ray")
    return Resources(asked=asked(job), place="here", has=has, nodes=1, ray_version=ray_version)


def resource_findings(job: Job, resources: Resources) -> Iterator[Finding]:
    """Less than the least workers need, and no autoscaler that could bring it: Ray would wait for
    ever."""
    if resources.can_grow or resources.has is None:
        return
    cluster = job.cluster
    least = cluster.least_workers
    key = "num_workers" if least == cluster.num_workers else "min_workers"
    for name, amount in resources.asked.items():
        has, each = resources.has.get(name, 0.0), amount / cluster.num_workers
        if each * least <= has:
            continue
        fits = int(has // each)
        if fits >= 1:
            try_ = f"cluster.{key}={fits}."
        else:
            try_ = f"cluster.{_KEY[name]}={has:g}." if has else "a cluster that has some."
        yield Finding(
            key=f"cluster.{key}",
            found=f"={least}",
            rule=f"with cluster.{_KEY[name]}={each:g} needs {_said(name, each * least)}; "
            f"{_where(resources)} has {_said(name, has)} and cannot grow.",
            try_=try_,
        )


def resource_warnings(job: Job, resources: Resources) -> Iterator[str]:
    ours = metadata.version("ray")
    if resources.ray_version not in (None, ours):
        yield (
            f"The cluster runs Ray {resources.ray_version}, this environment has {ours}: "
            "every worker will refuse to start until they are the same."
        )
    fits = _fitting(job, resources)
    if fits is not None and job.cluster.least_workers <= fits < job.cluster.num_workers:
        yield (
            f"cluster.num_workers={job.cluster.num_workers}: {_where(resources)} has room for "
            f"{fits}. With cluster.min_workers={job.cluster.least_workers} it starts with those."
        )


def _fitting(job: Job, resources: Resources) -> int | None:
    """Workers for which there would be room, were nothing else there."""
    if resources.can_grow or resources.has is None or not resources.asked:
        return None
    shares = {name: amount / job.cluster.num_workers for name, amount in resources.asked.items()}
    return min(int(resources.has.get(name, 0.0) // each) for name, each in shares.items())


def _where(resources: Resources) -> str:
    return "this machine" if resources.place == "here" else f"the cluster at {resources.place}"


def _said(name: str, amount: float) -> str:
    return f"{format_bytes(amount)} of memory" if name == "memory" else f"{amount:g} {name}"


def _num_gpus() -> int:
    """Without importing torch: the NVIDIA driver lists its devices in /proc."""
    folder = Path("/proc/driver/nvidia/gpus")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = len(list(folder.iterdir())) if folder.is_dir() else 0
    if visible is None or not present:
        return present
    return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
