"""How many workers a group gets: as many as fit now, within what the job allows.

Fitting is counted node by node, since a worker cannot be divided. `run_workers` asks at the start
of each attempt; the group's watch asks again while it runs with fewer than wanted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray._private import state as ray_state  # the public interface knows sums over nodes only
from ray.util import placement_group, remove_placement_group

from orchestrator.cluster.failures import worker_resources
from orchestrator.cluster.orphans import let_go_of_orphans
from orchestrator.cluster.outcome import NeverSatisfiable, NotPlaced
from orchestrator.errors import RunStopped
from orchestrator.settings.cluster import Cluster

if TYPE_CHECKING:
    from orchestrator.cluster.attempt import Attempt

_LOOK_EVERY_S = 1  # in whole seconds: of less, Ray takes nothing
_ROUNDING = 1e-6  # Ray counts in parts of 10,000


def placeable(nodes: Iterable[Mapping[str, float]], per_worker: Mapping[str, float]) -> int:
    """How many workers fit into what these nodes have."""
    return sum(
        min(
            math.floor(max(0.0, node.get(name, 0.0)) / amount + _ROUNDING)
            for name, amount in per_worker.items()
        )
        for node in nodes
    )


def free_nodes() -> list[dict[str, float]]:
    """What each node that stays has left."""
    leaving = draining_nodes()
    free: dict[str, dict[str, float]]
    free = ray_state.state.available_resources_per_node()  # type: ignore[no-untyped-call]
    return [resources for node, resources in free.items() if node not in leaving]


def alive_nodes() -> dict[str, dict[str, float]]:
    """What each has when nobody uses it, by the node's id."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {node["NodeID"]: dict(node["Resources"]) for node in nodes if node["Alive"]}


def draining_nodes() -> set[str]:
    """Those that are about to be taken away, as their provider has told Ray."""
    return set(ray_state.state.get_draining_nodes())


def may_grow() -> bool:
    """Whether an autoscaler could bring nodes: then what is there now says little."""
    return ray_state.state.get_max_resources_from_cluster_config() is not None


def refuse_hopeless(attempt: Attempt) -> None:
    """Unless it had its workers before: then they can be there, and will be again."""
    if not _had_room_once(attempt):
        refuse_unsatisfiable(attempt.job.cluster, worker_resources(attempt.job))


def _had_room_once(attempt: Attempt) -> bool:
    """Nodes come back."""
    least = attempt.job.cluster.least_workers
    return any(
        event.kind == "running" and int(event.fields.get("workers", 0)) >= least
        for event in attempt.run.events()
    )


def refuse_unsatisfiable(cluster: Cluster, per_worker: Mapping[str, float]) -> None:
    """Ray would wait for ever for what no node has."""
    nodes = list(alive_nodes().values())
    fit = placeable(nodes, per_worker)
    if fit >= cluster.least_workers or may_grow():
        return
    each = ", ".join(
        f"{amount:g} {name} (of {sum(node.get(name, 0.0) for node in nodes):g})"
        for name, amount in per_worker.items()
    )
    raise NeverSatisfiable(
        f"{cluster.least_workers} workers with {each} each are asked for; on the cluster's "
        f"{len(nodes)} nodes {fit} fit, were they empty.",
        hint="Lower cluster.num_workers, cluster.min_workers or what a worker takes, or add nodes.",
    )


@dataclass(frozen=True, kw_only=True)
class Room:
    """Waits until a group can be placed."""

    cluster: Cluster
    per_worker: Mapping[str, float]
    deadline: float  # by the monotonic clock
    stop_reason: Callable[[], str | None]

    def find(self) -> int:
        """The world to start with."""
        cluster = self.cluster
        settled = time.monotonic() + cluster.settle
        with demand(self.per_worker, cluster.num_workers) as wanted:
            while not wanted.wait(_LOOK_EVERY_S):
                let_go_of_orphans()
                if reason := self.stop_reason():
                    raise RunStopped(reason)
                now = time.monotonic()
                fits = min(placeable(free_nodes(), self.per_worker), cluster.num_workers)
                if fits >= cluster.least_workers and now >= min(settled, self.deadline):
                    return fits
                if now >= self.deadline:
                    raise self.not_found()
        return cluster.num_workers

    def not_found(self) -> NotPlaced:
        cluster = self.cluster
        free = free_nodes()
        each = ", ".join(f"{amount:g} {name}" for name, amount in self.per_worker.items())
        return NotPlaced(
            f"{cluster.least_workers} workers with {each} each could not be placed within "
            f"cluster.start_timeout={cluster.start_timeout:g} s; free are "
            f"{sum(node.get('CPU', 0) for node in free):g} CPU and "
            f"{sum(node.get('GPU', 0) for node in free):g} GPU on {len(free)} nodes.",
            hint="Wait for other runs to end (orchestrator list), ask for less, or wait longer.",
        )


@contextmanager
def demand(per_worker: Mapping[str, float], count: int) -> Iterator[Any]:
    """Room asked of Ray for a while: an autoscaler brings nodes only for what somebody asks."""
    group = placement_group([dict(per_worker)] * count)
    try:
        yield group
    finally:
        remove_placement_group(group)


class Growth:
    """Tells when more workers have fitted for long enough to be worth a new start."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._since: float | None = None
        self._least = 0

    def look(self, fits: int, now: float) -> int:
        """`fits` more do at this moment; how many did at every look for a while."""
        if fits <= 0:
            self._since = None
            return 0
        if self._since is None:
            self._since, self._least = now, fits
        self._least = min(self._least, fits)
        return self._least if now - self._since >= self._settle_s else 0
