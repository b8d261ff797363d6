"""Where Tune has a trial: a class that is given one after another, and stays warm between them.

It trains a trial of one worker itself (`alone.py`): imports, the task's examples and the encoder's
files stay. For one of several it starts their group (`group.py`), and takes next to nothing itself.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from orchestrator.cluster.place import Place
from orchestrator.cluster.same import own_fingerprint, refuse_differences
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import OrchestratorError
from orchestrator.runs.find import open_run
from orchestrator.runs.folder import RunFolder
from orchestrator.settings.extensions import import_extensions
from orchestrator.settings.sweep import SweepJob
from orchestrator.tasks.prepared import open_prepared
from orchestrator.tuning.judge import EPOCHS, VALUE
from orchestrator.tuning.port import Said

if TYPE_CHECKING:
    from orchestrator.tuning.work import Work

_LOOK_EVERY_S = 0.5
Begin = Callable[[dict[str, Any]], "Work"]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all trials have in common."""

    uri: str  # of the sweep's run
    attempt: int
    desk: Any  # an actor's handle: who asks for a stop says it there
    encoder: str
    prepared: str  # the task's file in the storage
    code_dir: str | None  # on a cluster Ray puts workers into the submitted code by itself
    environment: dict[str, str]  # of who starts a group


class TrialActor(tune.Trainable):
    def setup(self, config: dict[str, Any], ground: Ground) -> None:  # type: ignore[override]
        self._ground, self._refused = ground, ""
        os.environ.update(ground.environment)
        self._work: Work | None = None
        self._code_dir = ground.code_dir or os.environ.get("TUNE_ORIG_WORKING_DIR", os.getcwd())
        os.chdir(self._code_dir)  # Tune has put us elsewhere
        run = open_run(ground.uri)
        job = run.job()
        import_extensions(job.extensions, Path.cwd())
        try:
            found = [(os.uname().nodename, own_fingerprint(job))]
            refuse_differences(run.expected(ground.attempt), found)
        except OrchestratorError as err:
            self._refused = str(err)
            return
        assert isinstance(job, SweepJob)
        self._stack = ExitStack()
        self._begin = self._in_group(run, job) if job.trains_in_groups else self._alone(run, job)
        self._over = threading.Event()
        threading.Thread(target=self._listen, daemon=True, name="stop-listener").start()
        gc.freeze()  # half a million objects that stay: after each trial they took 0.2 s to look at
        self._work = self._begin(config)

    def _alone(self, run: RunFolder, job: SweepJob) -> Begin:
        import torch

        from orchestrator.tuning.alone import AloneAtHand, AloneWork  # transformers

        ground = self._ground
        prepared = open_prepared(run.parent, ground.prepared)
        at_hand = AloneAtHand(
            run=run.storage,
            sweep=job,
            attempt=ground.attempt,
            num_examples=len(prepared.training.features),
            encoder=self._stack.enter_context(nearby(ground.encoder)),
            prepared=prepared,
            device=torch.device("cuda" if job.cluster.gpus_per_worker > 0 else "cpu"),
        )
        return partial(AloneWork, at_hand)

    def _in_group(self, run: RunFolder, job: SweepJob) -> Begin:
        from orchestrator.tuning.group import GroupAtHand, GroupWork

        ground = self._ground
        at_hand = GroupAtHand(
            run=run.storage,
            sweep=job,
            attempt=ground.attempt,
            num_examples=len(open_prepared(run.parent, ground.prepared).training.features),
            of=run,
            place=Place.CLUSTER if ground.code_dir is None else Place.HERE,
            encoder=ground.encoder,
            prepared=ground.prepared,
        )
        return partial(GroupWork, at_hand)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        os.chdir(self._code_dir)
        if not self._refused:
            self._end()
            self._work = self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._refused:
            return {"done": True, "end": "refused", "reason": self._refused}
        assert self._work is not None
        live = self._work.live
        if reason := ray.get(self._ground.desk.stop_reason.remote()):
            live.stop(reason)
        is_idle = reason and not live.has_begun
        said = Said(end="interrupted") if is_idle else live.next()
        told: dict[str, Any] = {"done": bool(said.end), "end": said.end, "reason": said.reason}
        if said.value is not None:
            told[VALUE] = said.value
        return told if said.epochs is None else told | {EPOCHS: said.epochs}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The trial's own folder has what it goes on from."""

    def cleanup(self) -> None:
        if not self._refused:
            self._over.set()
            self._end()
            self._stack.close()

    def _end(self) -> None:
        if self._work is not None:
            self._work.close()
            self._work = None

    def _listen(self) -> None:
        """Asks the desk now and then, so that no step has to."""
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                reason = ray.get(self._ground.desk.stop_reason.remote())
            except ray.exceptions.RayError:
                return  # the sweep is going away
            work = self._work
            if reason and work is not None:
                work.live.stop(reason)
