"""Independent pieces of work as Ray tasks: one function over many items, some at a time.

For jobs whose pieces can be done again at no harm, such as the parts of a corpus. Ray repeats a
task whose worker died; anything else ends the attempt with one error, and what is done stays done.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import ray

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.desk import Tally
from orchestrator.cluster.failures import of_task, worker_resources
from orchestrator.cluster.place import Place
from orchestrator.cluster.same import own_fingerprint, refuse_differences
from orchestrator.errors import RunStopped
from orchestrator.runs.find import open_run
from orchestrator.settings.job import Job
from orchestrator.settings.units import format_bytes, format_count, format_duration

Tell = Callable[[int], None]  # how much of its item a task has done so far, in all
Item = TypeVar("Item")
Result = TypeVar("Result")

_RETRIES = 3  # of one task whose worker or node died
_LOOK_EVERY_S = 0.5
_TELL_EVERY_S = 0.5
_LINE_EVERY_S = 10.0


def run_tasks(
    attempt: Attempt,
    function: Callable[[Item, Tell], Result],
    items: Sequence[Item],
    *,
    stage: str,
    sizes: Sequence[int],
    unit: str = "bytes",
    done_before: int = 0,
    has_model: bool = False,
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, as they come. `cluster.num_workers` tasks run at once.

    `sizes` are the items' shares of the progress bar, in `unit`; `done_before` is what an earlier
    attempt did of it. Tasks that compute with a model have the job's GPUs, others hold none.
    """
    cluster = attempt.job.cluster
    tally: Any = ray.remote(num_cpus=0)(Tally).remote()
    asked = task_resources(attempt.job, has_model=has_model)
    remote: Any = ray.remote(_task_main).options(**asked, max_retries=_RETRIES, name=stage)
    config = {
        "uri": attempt.run.uri,
        "attempt": attempt.number,
        "tally": tally,
        "function": function,
        "code_dir": os.getcwd() if attempt.place is Place.HERE else None,
    }
    total = done_before + sum(sizes)
    lines = _Lines(stage, done_before, total, unit)
    waiting = deque(enumerate(items))
    running: dict[Any, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < cluster.num_workers:
                number, item = waiting.popleft()
                running[remote.remote(config, number, item)] = number
            ready, _ = ray.wait(list(running), timeout=_LOOK_EVERY_S)
            for reference in ready:
                number = running.pop(reference)
                yield items[number], _result(reference, stage)
                tally.tell.remote(number, sizes[number])
            if attempt.stop.is_asked:
                raise RunStopped(attempt.stop.reason)
            done = done_before + ray.get(tally.done.remote())
            attempt.progress.show(stage, done, total, unit)
            lines.tell(done)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def task_resources(job: Job, *, has_model: bool) -> dict[str, float | None]:
    """As options of a Ray task."""
    asked = worker_resources(job)
    return {
        "num_cpus": asked["CPU"],
        "num_gpus": asked.get("GPU") if has_model else None,
        "memory": asked.get("memory"),
    }


class _Lines:
    """Progress for logs, where no bar is drawn: now and then a line with speed and time left."""

    def __init__(self, stage: str, done_before: int, total: int, unit: str) -> None:
        self._stage, self._before, self._total, self._unit = stage, done_before, total, unit
        self._began = self._told = time.monotonic()

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now - self._told < _LINE_EVERY_S or done <= self._before:
            return
        self._told = now
        speed = (done - self._before) / (now - self._began)
        left = format_duration((self._total - done) / speed)
        said = format_bytes if self._unit == "bytes" else format_count
        far = f"{said(done)} of {said(self._total)}, {said(speed)}/s"
        print(f"{self._stage}: {far}, {left} left", flush=True)


def _result(reference: Any, stage: str) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as err:
        raise of_task(err, stage) from err


def _task_main(config: dict[str, Any], number: int, item: Any) -> Any:
    """A task's border: shows once per process what it runs, then does its piece."""
    if config["code_dir"] is not None:
        os.chdir(config["code_dir"])
    _check_same(config["uri"], config["attempt"])
    told = time.monotonic()

    def tell(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            config["tally"].tell.remote(number, done)

    return config["function"](item, tell)


@lru_cache(maxsize=1)
def _check_same(uri: str, attempt: int) -> None:
    """This process against the plan; as each rank of a worker group does."""
    run = open_run(uri)
    refuse_differences(run.expected(attempt), [(os.uname().nodename, own_fingerprint(run.job()))])
