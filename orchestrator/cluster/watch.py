"""The attempt's eye on a running group: stops go to the ranks, their progress to the run's folder.

It also sees when the world should change (more workers fit, a node is about to go) and then asks
the ranks to end at a safe point; `run_workers` tells the driver why they did.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import ray

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.desk import Beat, Measurement, Seat
from orchestrator.cluster.outcome import Cause, Moved
from orchestrator.cluster.place import Place
from orchestrator.cluster.world import (
    Growth,
    alive_nodes,
    demand,
    draining_nodes,
    free_nodes,
    placeable,
)
from orchestrator.errors import StorageError

_LOOK_EVERY_S = 0.5
_LOOK_AT_NODES_EVERY_S = 2.0
_LISTEN_EVERY_S = 0.1  # for a measurement, with which a group waits


class GroupWatch:
    """Open while a group is starting and running."""

    def __init__(
        self, attempt: Attempt, desk: Any, per_worker: Mapping[str, float], world: int
    ) -> None:
        self._attempt = attempt
        self._desk = desk
        self._per_worker = per_worker
        self._world = world
        self._seats: dict[int, Seat] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._watch, daemon=True, name="group-watch")]
        self._wish: Moved | None = None
        self.moved: Moved | None = None  # why the ranks were asked to end, where that was ours

    def __enter__(self) -> GroupWatch:
        self._attempt.progress.show("starting workers")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def may_move(self) -> None:
        """The ranks can end at a safe point and go on from it in another group. Before entering."""
        cluster = self._attempt.job.cluster
        if self._world < cluster.num_workers:
            self._also(self._watch_for_room, "room-watch")
        if self._attempt.place is Place.CLUSTER:
            self._also(self._watch_for_drains, "drain-watch")

    def hear(self, measured: Callable[[Measurement], None]) -> None:
        """Each measurement goes there; the group waits until it comes back. Before entering."""

        def listen() -> None:
            with suppress(ray.exceptions.RayError):
                while not self._over.wait(_LISTEN_EVERY_S):
                    if (told := ray.get(self._desk.measurement.remote())) is None:
                        continue
                    measured(told)
                    if reason := self._stop_reason():  # before the answer, so that none goes on
                        ray.get(self._desk.ask_stop.remote(reason))
                    ray.get(self._desk.answer.remote(told.step))

        self._also(listen, "measurement-watch")

    def beats(self) -> dict[int, Beat]:
        """What was last heard of each rank."""
        with suppress(ray.exceptions.RayError):  # the group's error says more than the desk's
            heard: dict[int, Beat] = ray.get(self._desk.beats.remote(), timeout=10)
            return heard
        return {}

    def lost_nodes(self) -> dict[int, str]:
        """Rank → host, of those whose node Ray no longer has."""
        alive = alive_nodes()
        return {rank: seat.host for rank, seat in self._seats.items() if seat.node_id not in alive}

    def _also(self, look: Any, name: str) -> None:
        self._threads.append(threading.Thread(target=look, daemon=True, name=name))

    def _watch(self) -> None:
        passed_on, running = "", False
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                reason = self._stop_reason()
                if reason and reason != passed_on:
                    self._pass_on(reason)
                    passed_on = reason
                arrived, stage = ray.get(self._desk.look.remote())
                if not running and arrived == self._world:
                    running = True
                    self._seats = ray.get(self._desk.seats.remote())
                    self._attempt.ledger.record("running", workers=self._world)
                if stage is not None:
                    self._attempt.progress.show(stage.name, stage.done, stage.total, stage.unit)
            except StorageError:
                continue  # the storage may be back in a moment; stops must still get through
            except ray.exceptions.RayError:
                return  # Ray itself is going away; the attempt's end says why

    def _stop_reason(self) -> str:
        if self._attempt.stop.is_asked:
            return self._attempt.stop.reason
        return self._wish.message if self._wish is not None else ""

    def _pass_on(self, reason: str) -> None:
        """Room that ranks leave as they end by themselves is nobody's to grow into: then it is too
        late to ask."""
        is_in_time = ray.get(self._desk.ask_stop.remote(reason))
        if is_in_time and self._wish is not None and self._wish.message == reason:
            self.moved = self._wish
            print(f"Ending at the next safe point: {reason}", flush=True)

    def _watch_for_room(self) -> None:
        while len(self._seats) < self._world:  # until then it would take the group's own room
            if self._over.wait(_LOOK_AT_NODES_EVERY_S):
                return
        cluster = self._attempt.job.cluster
        missing = cluster.num_workers - self._world
        growth = Growth(cluster.settle)
        with suppress(ray.exceptions.RayError), demand(self._per_worker, missing) as asked:
            while not self._over.wait(_LOOK_AT_NODES_EVERY_S):
                # What Ray has set aside for the demand is no longer free, and fits for sure.
                fits = missing if asked.wait(0) else placeable(free_nodes(), self._per_worker)
                if more := growth.look(min(fits, missing), time.monotonic()):
                    world = self._world + more
                    self._move(
                        f"{world} of cluster.num_workers={cluster.num_workers} workers fit now; "
                        f"it ran with {self._world}.",
                        Cause.MORE_WORKERS,
                    )
                    return

    def _watch_for_drains(self) -> None:
        with suppress(ray.exceptions.RayError):
            while not self._over.wait(_LOOK_AT_NODES_EVERY_S):
                going = draining_nodes()
                ranks = [rank for rank, seat in self._seats.items() if seat.node_id in going]
                if ranks:
                    hosts = sorted({self._seats[rank].host for rank in ranks})
                    self._move(
                        f"The nodes of rank {', '.join(map(str, ranks))} ({', '.join(hosts)}) "
                        "are about to be taken away.",
                        Cause.PREEMPTION,
                    )
                    return

    def _move(self, reason: str, cause: Cause) -> None:
        """The other thread passes it on."""
        if self._wish is None or cause is Cause.PREEMPTION:
            self._wish = Moved(reason, cause)
