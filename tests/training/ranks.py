"""Ranks as plain processes: the training loop without Ray, for matrices that would take hours with.

`python ranks.py FOLDER RANK WORLD ATTEMPT` is one rank; `launch` starts a world of them. The folder
is a run's storage with a job.yaml; ranks meet through a file in it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class PlainPort:
    def __init__(self, folder: Path, rank: int, world: int, attempt: int) -> None:
        import torch
        from torch import distributed

        from orchestrator.runs.ledger import Ledger
        from orchestrator.runs.storage import open_storage

        self.rank, self.world, self.attempt = rank, world, attempt
        self.device = torch.device("cpu")
        self.run = open_storage(folder)
        self.control = distributed.new_group(backend="gloo")
        self._folder = folder
        self._ledger = Ledger(self.run, attempt=attempt, writer="rank-000") if rank == 0 else None

    def stop_reason(self) -> str | None:
        return "asked to" if (self._folder / "stop").exists() else None

    def show(self, *_: Any, **__: Any) -> None: ...

    def note(self, kind: str, **fields: Any) -> None:
        if self._ledger is not None:
            self._ledger.record(kind, **fields)


def main(folder: Path, rank: int, world: int, attempt: int) -> None:
    warnings.simplefilter("ignore")
    meeting = folder / "meetings" / f"{attempt}"
    meeting.parent.mkdir(exist_ok=True)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    from torch import distributed

    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world
    )
    from orchestrator.runs.checkpoints import Checkpoints
    from orchestrator.settings.kinds import thaw
    from orchestrator.training.loop import pretrain
    from orchestrator.training.setup import Start

    job: Any = thaw((folder / "job.yaml").read_text())
    port = PlainPort(folder, rank, world, attempt)
    words: list[Any] = [None]
    if rank == 0:
        words = [Checkpoints(port.run).restore_point(port.note)]
    distributed.broadcast_object_list(words, src=0)
    corpus = json.loads((folder / "corpus.json").read_text())
    ending = pretrain(port, job, Start(corpus=corpus, commit=words[0]))
    if rank == 0:
        (folder / f"ending-{attempt}").write_text(f"{ending.end.value} {ending.step}")
    distributed.destroy_process_group()


def launch(folder: Path, *, world: int, attempt: int) -> list[subprocess.Popen[bytes]]:
    (folder / "output").mkdir(exist_ok=True)
    processes = []
    for rank in range(world):
        with open(folder / "output" / f"{attempt}-{rank}", "wb") as output:
            command = [sys.executable, __file__, str(folder), str(rank), str(world), str(attempt)]
            environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            processes.append(
                subprocess.Popen(command, stdout=output, stderr=output, env=environment)
            )
    return processes


def finish(processes: list[subprocess.Popen[bytes]], folder: Path, attempt: int) -> None:
    """Waits for all; the first that fails takes the others with it."""
    for rank, process in enumerate(processes):
        try:
            code = process.wait(timeout=240)
        except subprocess.TimeoutExpired:
            code = -1
        if code:
            for other in processes:
                other.kill()
                other.wait()
            said = (folder / "output" / f"{attempt}-{rank}").read_text()[-3000:]
            raise AssertionError(f"rank {rank} ended with {code}:\n{said}")


def kill(processes: list[subprocess.Popen[bytes]], number: int) -> None:
    """One rank by SIGKILL; the others, which wait for it, as a worker group would be ended."""
    processes[number].send_signal(signal.SIGKILL)
    for process in processes:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
