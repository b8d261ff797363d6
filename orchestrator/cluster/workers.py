"""A group of workers through Ray Train: every rank runs one function and gives one value back.

Ray Train places the ranks, sets the process group up and tells of failures. Before the function
runs, each rank shows that it has what was planned; a rank that differs ends the attempt.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.config import FailureConfig  # ray.train has two of that name

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.desk import Desk, Stage
from orchestrator.cluster.failures import check_satisfiable, told_once, worker_resources
from orchestrator.cluster.place import Place
from orchestrator.cluster.same import own_fingerprint, refuse_differences
from orchestrator.cluster.scratch import scratch_folder
from orchestrator.errors import RunStopped, StorageError
from orchestrator.runs.find import open_run
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.plan import Fingerprint
from orchestrator.settings.build import to_plain
from orchestrator.settings.extensions import import_extensions
from orchestrator.settings.job import Job


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


def run_workers(attempt: Attempt, function: Callable[[Worker], Any]) -> list[Any]:
    """`function` on every rank; its values by rank. Raises one error for all ranks that failed."""
    check_satisfiable(attempt.job)
    cluster = attempt.job.cluster
    desk: Any = ray.remote(num_cpus=0)(Desk).remote()  # an actor's handle: ask with .remote()
    config = {
        "uri": attempt.run.uri,
        "attempt": attempt.number,
        "desk": desk,
        "function": function,
        # On a cluster Ray puts workers into the submitted code by itself.
        "code_dir": os.getcwd() if attempt.place is Place.HERE else None,
    }
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(cluster.start_timeout)
    # Train insists on a folder of its own. Every rank tells us what it has through our storage, so
    # this one holds nothing worth keeping.
    with (
        scratch_folder() as scratch,
        _Watched(attempt, desk),
    ):
        trainer = TorchTrainer(
            _worker_main,
            train_loop_config=config,
            torch_config=TorchConfig(backend="nccl" if cluster.gpus_per_worker else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=cluster.num_workers,
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
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as err:
            raise told_once(err, attempt.job) from err
    if attempt.stop.is_asked:
        raise RunStopped(attempt.stop.reason)
    by_rank: dict[int, Any] = ray.get(desk.values.remote())
    return [by_rank[rank] for rank in range(cluster.num_workers)]


class _Watched:
    """Passes a stop on to the ranks, and their progress to the run's folder."""

    def __init__(self, attempt: Attempt, desk: Any) -> None:
        self._attempt = attempt
        self._desk = desk
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="group-watch")

    def __enter__(self) -> None:
        self._attempt.progress.show("starting workers")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        passed_on, running = False, False
        world = self._attempt.job.cluster.num_workers
        while not self._over.wait(0.2):
            try:
                if self._attempt.stop.is_asked and not passed_on:
                    ray.get(self._desk.ask_stop.remote(self._attempt.stop.reason))
                    passed_on = True
                arrived, stage = ray.get(self._desk.look.remote())
                if not running and arrived == world:
                    running = True
                    self._attempt.ledger.record("running", workers=world)
                if stage is not None:
                    self._attempt.progress.show(stage.name, stage.done, stage.total, stage.unit)
            except StorageError:
                continue  # the storage may be back in a moment; stops must still get through
            except ray.exceptions.RayError:
                return  # Ray itself is going away; the attempt's end says why


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
        control=distributed.new_group(backend="gloo"),
    )
    ray.get(worker.desk.arrive.remote(rank))
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
