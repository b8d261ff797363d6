"""The files of a checkpoint where a rank can read them, in a form that fits the world.

Without ZeRO, and for the world that wrote it, a checkpoint is loaded as it is. For another world
DeepSpeed's universal form is made of it, once, and kept beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import distributed

from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.settings.training import TrainingJob
from orchestrator.training.port import WorkerPort
from orchestrator.training.standing import Standing
from orchestrator.training.universal import Universal


@dataclass(frozen=True, kw_only=True)
class Restored:
    folder: Path
    is_universal: bool
    standing: Standing


@contextmanager
def restorable(
    port: WorkerPort, job: TrainingJob, commit: Commit | None
) -> Iterator[Restored | None]:
    """Whole until the end of the `with` statement, on every rank's node."""
    if commit is None:
        yield None
        return
    standing = Standing.from_plain(commit.facts["standing"])
    needs_universal = job.zero.stage > 0 and commit.world != port.world
    checkpoints = Checkpoints(port.run)
    with tempfile.TemporaryDirectory(prefix="orchestrator-restore-") as scratch:
        if needs_universal:
            port.show(f"converting the checkpoint of {commit.world} workers to {port.world}")
            universal = Universal(port.run, commit.step)
            if port.rank == 0:
                universal.make(lambda: checkpoints.fetch(commit.step, Path(scratch) / "source"))
            distributed.barrier(group=port.control)
            folder = universal.fetch(Path(scratch) / "universal")
        else:
            folder = checkpoints.fetch(commit.step, Path(scratch))
        yield Restored(folder=folder, is_universal=needs_universal, standing=standing)
