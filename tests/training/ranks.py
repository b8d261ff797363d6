"""Ranks as plain processes: the training loop without Ray, for matrices that would take hours with.

A run is a folder with job.yaml and corpus.json. `launch` starts a world of ranks that meet through
a file in it. They are forked off a process that has imported everything, so one costs a second.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from orchestrator.settings.kinds import freeze
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.training import TrainingJob

PRELOADED = [
    "deepspeed",
    "transformers.models.bert.modeling_bert",
    "orchestrator.training.pretrain",
    "orchestrator.training.finetune",
]
_PATIENCE_S = 240


class PlainPort:
    def __init__(self, folder: Path, rank: int, world: int, attempt: int) -> None:
        import torch
        from torch import distributed

        from orchestrator.runs.ledger import Ledger
        from orchestrator.runs.storage import open_storage

        self.rank, self.world, self.attempt = rank, world, attempt
        self.device = torch.device("cpu")
        self.run = open_storage(storage_of(folder))
        self.control = distributed.new_group(backend="gloo")
        self._folder = folder
        self._ledger = Ledger(self.run, attempt=attempt, writer="rank-000") if rank == 0 else None

    def stop_reason(self) -> str | None:
        return "asked to" if (self._folder / "stop").exists() else None

    def show(self, *_: Any, **__: Any) -> None: ...

    def beat(self, step: int) -> None: ...
    def measured(self, *_: Any) -> None: ...

    def note(self, kind: str, **fields: Any) -> None:
        if self._ledger is not None:
            self._ledger.record(kind, **fields)


def storage_of(folder: Path) -> str:
    """Where a run writes to: its folder, or what `elsewhere` in it names."""
    elsewhere = folder / "elsewhere"
    return elsewhere.read_text() if elsewhere.exists() else str(folder)


def write_run(folder: Path, job: TrainingJob, corpus: Any, environment: Any = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "environment.json").write_text(json.dumps(environment or {}))
    (folder / "job.yaml").write_text(freeze(job))
    (folder / "corpus.json").write_text(json.dumps(corpus))
    return folder


def rank_main(folder: Path, rank: int, world: int, attempt: int) -> None:
    warnings.simplefilter("ignore")
    redirect(folder / "output" / f"{attempt}-{rank}")
    os.environ |= json.loads((folder / "environment.json").read_text())
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    import torch
    from torch import distributed

    from orchestrator.runs.checkpoints import Checkpoints
    from orchestrator.settings.kinds import thaw
    from orchestrator.training.pretrain import pretrain
    from orchestrator.training.setup import Start

    torch.set_num_threads(1)
    meeting = folder / "meetings" / f"{attempt}"
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world
    )
    job: Any = thaw((folder / "job.yaml").read_text())
    port = PlainPort(folder, rank, world, attempt)
    words: list[Any] = [None]
    if rank == 0:
        words = [Checkpoints(port.run).restore_point(port.note)]
    distributed.broadcast_object_list(words, src=0)
    given = json.loads((folder / "corpus.json").read_text())
    if isinstance(job, PretrainJob):
        ending = pretrain(port, job, Start(corpus=given, commit=words[0]))
    else:
        ending = _finetune(port, job, given, words[0])
    if rank == 0:
        (folder / f"ending-{attempt}").write_text(f"{ending.end.value} {ending.step}")
    distributed.barrier()
    distributed.destroy_process_group()


def _finetune(port: Any, job: Any, given: dict[str, str], commit: Any) -> Any:
    from orchestrator.runs.storage import open_storage
    from orchestrator.tasks.prepared import open_prepared
    from orchestrator.training.finetune import TaskStart, finetune

    prepared = open_prepared(open_storage(given["storage"]), given["prepared"])
    start = TaskStart(encoder=Path(given["encoder"]), prepared=prepared, commit=commit)
    return finetune(port, job, start)


def fork(target: Callable[..., None], *args: Any) -> BaseProcess:
    """A process that has imported everything already."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=target, args=args)
    process.start()
    return process


def redirect(output: Path) -> None:
    """All that this process says from now on, C++ included."""
    with open(output, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def join(processes: list[BaseProcess], outputs: list[Path]) -> None:
    """Ends with the processes; where one fails, with what it said."""
    deadline = time.monotonic() + _PATIENCE_S
    try:
        for process in processes:
            process.join(timeout=max(deadline - time.monotonic(), 0))
        said = "\n".join(path.read_text()[-3000:] for path in outputs if path.exists())
        assert [process.exitcode for process in processes] == [0] * len(processes), said
    finally:
        _end(processes)


def launch(folder: Path, *, world: int, attempt: int) -> list[BaseProcess]:
    for name in ("output", "meetings"):
        (folder / name).mkdir(exist_ok=True)
    return [fork(rank_main, folder, rank, world, attempt) for rank in range(world)]


def run(folder: Path, *, world: int, attempt: int = 1) -> None:
    """To its end; the first rank that fails takes the others with it, and the test."""
    processes = launch(folder, world=world, attempt=attempt)
    deadline = time.monotonic() + _PATIENCE_S
    while any(process.is_alive() for process in processes):
        time.sleep(0.02)
        _check(processes, folder, attempt, is_late=time.monotonic() > deadline)
    _check(processes, folder, attempt, is_late=False)


def run_until(
    folder: Path, reached: Callable[[], bool], *, world: int, attempt: int, victim: int = 0
) -> None:
    """One rank is killed there; the others, which wait for it, as a worker group would be."""
    processes = launch(folder, world=world, attempt=attempt)
    deadline = time.monotonic() + _PATIENCE_S
    while not reached():
        time.sleep(0.01)
        _check(processes, folder, attempt, is_late=time.monotonic() > deadline)
    processes[victim].kill()
    processes[victim].join()
    _end(processes)


def _check(processes: list[BaseProcess], folder: Path, attempt: int, *, is_late: bool) -> None:
    for rank, process in enumerate(processes):
        if process.exitcode or is_late:
            _end(processes)
            said = (folder / "output" / f"{attempt}-{rank}").read_text()[-3000:]
            raise AssertionError(f"rank {rank} ended with {process.exitcode}:\n{said}")


def _end(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.kill()
        process.join()


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Of `metrics` or `steps`, in the order of attempts."""
    files = sorted((folder / kind).glob("*.jsonl")) if (folder / kind).is_dir() else []
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


if __name__ == "__main__":
    print(__doc__)
    sys.exit(2)
