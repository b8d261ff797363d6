"""A group of workers through Ray Train: every rank runs one function and gives one value back.

Ray Train places the ranks, sets the process group up and tells of failures. Before the function
runs, each rank shows that it has what was planned; a rank that differs ends the attempt.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.config import FailureConfig  # ray.train has two of that name
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.desk import Desk, Measurement, Seat, Stage
from orchestrator.cluster.failures import Scene, is_start_timeout, told_once, worker_resources
from orchestrator.cluster.outcome import Cause
from orchestrator.cluster.place import Place
from orchestrator.cluster.same import own_fingerprint, refuse_differences
from orchestrator.cluster.scratch import scratch_folder
from orchestrator.cluster.watch import GroupWatch
from orchestrator.cluster.world import Room, refuse_hopeless
from orchestrator.errors import RunStopped
from orchestrator.runs.find import open_run
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.plan import Fingerprint
from orchestrator.settings.build import to_plain
from orchestrator.settings.extensions import import_extensions
from orchestrator.settings.job import Job

_PLACED_WITHIN_S = 60.0  # there was room a moment before
Hear = Callable[[Measurement], None]


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A rank, as the function that it runs sees it."""

    rank: int
    world: int
    node: str
    attempt: int
    run: RunFolder
    job: Job
    desk: Any
    control: Any  # a gloo process group for small words between ranks, whatever the device

    def show(
        self, name: str, done: float = 0.0, total: float | None = None, unit: str = ""
    ) -> None:
        """Progress for whoever watches the run; costs nothing on ranks other than 0."""
        if self.rank == 0:
            self.desk.show.remote(Stage(name=name, done=done, total=total, unit=unit))

    def beat(self, step: int) -> None:
        """Every rank at every step: should one hang, its last step is known. Costs no waiting."""
        self.desk.beat.remote(self.rank, step)

    def should_stop(self) -> bool:
        """The same answer on every rank: rank 0 asks, all hear. A collective."""
        from torch import distributed

        answer = [None]
        if self.rank == 0:
            answer = [ray.get(self.desk.stop_reason.remote())]
        distributed.broadcast_object_list(answer, src=0, group=self.control)
        return answer[0] is not None

    def gather(self, value: Any) -> list[Any]:
        """Everybody's value, by rank, on every rank. A collective."""
        from torch import distributed

        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value, group=self.control)
        return values


def run_workers(
    attempt: Attempt,
    function: Callable[[Worker], Any],
    *,
    can_resize: bool = False,
    hear: Hear | None = None,
) -> list[Any]:
    """`function` on every rank; its values by rank. Raises one error for all ranks that failed.

    The world is what fits, from min_workers to num_workers. With `can_resize`, a stop that the
    ranks see may also mean that another group is to go on from where they end: raises Moved. With
    `hear` they wait after each measurement until that comes back.
    """
    cluster = attempt.job.cluster
    per_worker = worker_resources(attempt.job)
    refuse_hopeless(attempt)
    room = Room(
        cluster=cluster,
        per_worker=per_worker,
        deadline=time.monotonic() + cluster.start_timeout,
        stop_reason=lambda: attempt.stop.reason if attempt.stop.is_asked else None,
    )
    attempt.progress.show("waiting for room")
    while True:
        world = room.find()
        try:
            return _fit(attempt, function, world, can_resize=can_resize, hear=hear)
        except _RoomTaken as err:
            if time.monotonic() > room.deadline:
                raise room.not_found() from err


class _RoomTaken(Exception):
    """Somebody else was faster."""


def _fit(
    attempt: Attempt,
    function: Callable[[Worker], Any],
    world: int,
    *,
    can_resize: bool,
    hear: Hear | None,
) -> list[Any]:
    cluster = attempt.job.cluster
    desk = _desk()
    config = {
        "uri": attempt.run.uri,
        "attempt": attempt.number,
        "desk": desk,
        "function": function,
        # On a cluster Ray puts workers into the submitted code by itself.
        "code_dir": os.getcwd() if attempt.place is Place.HERE else None,
    }
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(_PLACED_WITHIN_S)
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(cluster.hang_timeout)
    watch = GroupWatch(attempt, desk, worker_resources(attempt.job), world)
    if can_resize:
        watch.may_move()
    if hear is not None:
        watch.hear(hear)
    # Train insists on a folder of its own. Every rank tells us what it has through our storage, so
    # this one holds nothing worth keeping.
    with scratch_folder() as scratch, watch:
        try:
            _trainer(attempt, config, world, scratch).fit()
        except ray.train.TrainingFailedError as err:
            if is_start_timeout(err):
                raise _RoomTaken from err
            scene = Scene(
                world=world,
                hang_timeout_s=cluster.hang_timeout,
                beats=watch.beats(),
                lost_nodes=watch.lost_nodes(),
                is_preempted=watch.moved is not None and watch.moved.cause is Cause.PREEMPTION,
            )
            raise told_once(err, scene) from err
    if attempt.stop.is_asked:
        raise RunStopped(attempt.stop.reason)
    if watch.moved is not None:
        raise watch.moved
    by_rank: dict[int, Any] = ray.get(desk.values.remote())
    return [by_rank[rank] for rank in range(world)]


def _desk() -> Any:
    """An actor's handle: ask with .remote(). On our own node, so that none of theirs takes it along
    when it goes."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Desk).options(scheduling_strategy=here).remote()


class _Trainer(TorchTrainer):
    """Without a process for data sets, which there are none of, and one that would let go of the
    group's room if Train's controller died: an embedded Ray dies with it, or orphans.py does so.
    Each idle process wakes a hundred times a second, and takes a hundredth of a core from those
    that train.
    """

    is_embedded = False

    def _create_default_callbacks(self) -> list[Any]:
        unused: tuple[type, ...] = (DatasetsCallback,)
        if self.is_embedded:
            unused += (PlacementGroupCleanerCallback,)
        made: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [each for each in made if not isinstance(each, unused)]


def _trainer(attempt: Attempt, config: dict[str, Any], world: int, scratch: Path) -> TorchTrainer:
    cluster = attempt.job.cluster
    trainer = _Trainer(
        _worker_main,
        train_loop_config=config,
        torch_config=TorchConfig(
            backend="nccl" if cluster.gpus_per_worker else "gloo",
            timeout_s=math.ceil(cluster.hang_timeout),
        ),
        scaling_config=ray.train.ScalingConfig(
            num_workers=world,
            use_gpu=cluster.gpus_per_worker > 0,
            resources_per_worker=worker_resources(attempt.job),
        ),
        run_config=ray.train.RunConfig(
            name=attempt.run.id,
            storage_path=str(scratch),
            # One attempt is one fit: whether to try again is the driver's to say.
            failure_config=FailureConfig(
                max_failures=0, controller_failure_limit=0, max_preemption_failures=0
            ),
        ),
    )
    trainer.is_embedded = attempt.place is Place.HERE
    return trainer


def _worker_main(config: Mapping[str, Any]) -> None:
    """A rank's border: joins the group, shows what it has, runs the function."""
    from torch import distributed

    if config["code_dir"] is not None:
        os.chdir(config["code_dir"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    run = open_run(config["uri"])
    job = run.job()
    import_extensions(job.extensions, Path.cwd())
    worker = Worker(
        rank=rank,
        world=world,
        node=socket.gethostname(),
        attempt=config["attempt"],
        run=run,
        job=job,
        desk=config["desk"],
        control=distributed.new_group(
            backend="gloo", timeout=timedelta(seconds=job.cluster.hang_timeout)
        ),
    )
    node_id = ray.get_runtime_context().get_node_id()
    seat = Seat(node_id=node_id, host=worker.node, pid=os.getpid())
    ray.get(worker.desk.arrive.remote(rank, seat))
    check_same(worker)
    value = config["function"](worker)
    ray.get(worker.desk.put.remote(rank, value))


def check_same(worker: Worker) -> None:
    """Every rank against the plan; the same error on every rank."""
    found = worker.gather((worker.node, to_plain(own_fingerprint(worker.job))))
    refuse_differences(
        worker.run.expected(worker.attempt),
        [(node, Fingerprint.from_plain(plain)) for node, plain in found],
    )


def wait_until(worker: Worker, seconds: float, *, poll_s: float = 0.5) -> bool:
    """Stay that long or until a stop is asked for; whether it was. A collective."""
    end = time.monotonic() + seconds
    while True:
        left = max(worker.gather(end - time.monotonic()))
        if worker.should_stop():
            return True
        if left <= 0:
            return False
        time.sleep(min(poll_s, left))
