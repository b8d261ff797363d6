"""A warm worker for trials of one worker: a Tune class that is given one trial after another.

Imports, the task's examples and the encoder's files stay between trials. What it does for a trial
is a fine-tune in the trial's own folder, from its last checkpoint where there is one.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from orchestrator.cluster.finetune import seeds_of, summarize
from orchestrator.cluster.same import own_fingerprint, refuse_differences
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.find import open_run
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.extensions import import_extensions
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import thaw
from orchestrator.settings.task import VALIDATION
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tasks.prepared import open_prepared
from orchestrator.training.finetune import TaskStart, finetune
from orchestrator.training.loop import End
from orchestrator.tuning.judge import EPOCHS, NUMBER, VALUE
from orchestrator.tuning.port import Live, Said, TrialPort

_LOOK_EVERY_S = 0.5
_GIVEN_UP = "given up"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all trials have in common."""

    uri: str  # of the sweep's run
    attempt: int
    desk: Any  # an actor's handle: who asks for a stop says it there
    encoder: str
    prepared: str  # the task's file in the storage
    code_dir: str | None  # on a cluster Ray puts workers into the submitted code by itself


class TrialActor(tune.Trainable):
    def setup(self, config: dict[str, Any], ground: Ground) -> None:  # type: ignore[override]
        self._ground, self._refused = ground, ""
        self._live: Live | None = None
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
        self._run = run.storage
        self._stack = ExitStack()
        self._encoder = self._stack.enter_context(nearby(ground.encoder))
        self._prepared = open_prepared(run.parent, ground.prepared)
        is_gpu = job.cluster.gpus_per_worker > 0
        self._device = torch.device("cuda" if is_gpu else "cpu")
        self._over = threading.Event()
        threading.Thread(target=self._listen, daemon=True, name="stop-listener").start()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        os.chdir(self._code_dir)
        if not self._refused:
            self._end()
            self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._refused:
            return {"done": True, "end": "refused", "reason": self._refused}
        assert self._live is not None
        if reason := ray.get(self._ground.desk.stop_reason.remote()):
            self._live.stop(reason)
        is_idle = reason and not self._live.has_begun
        said = Said(end="interrupted") if is_idle else self._live.next()
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

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._folder: Storage = self._run.child(layout.trial(config[NUMBER]))
        job = thaw(self._folder.read(layout.JOB).decode())
        assert isinstance(job, FinetuneJob)
        self._job = job
        self._per_epoch = -(-len(self._prepared.training.features) // job.batch.examples)
        self._live = Live(self._train, self._read)

    def _end(self) -> None:
        """Of a trial that the scheduler gave up, nothing is gone on from."""
        live, self._live = self._live, None
        if live is None:
            return
        is_given_up = live.has_begun and not live.is_over and live.stop_reason is None
        live.close(_GIVEN_UP)
        if is_given_up:
            self._folder.remove(layout.CHECKPOINTS)

    def _train(self, live: Live) -> Said:
        """In a thread of its own: once, or once for each seed."""
        job, inside = self._job, self._folder
        for one, folder in seeds_of(job, inside):
            port = TrialPort(
                folder,
                attempt=self._ground.attempt,
                device=self._device,
                live=live,
                is_mute=job.num_seeds > 1,
            )
            start = TaskStart(
                encoder=self._encoder,
                prepared=self._prepared,
                commit=Checkpoints(folder).restore_point(port.note),
            )
            try:
                ending = finetune(port, one, start)
            finally:
                port.close()
            if ending.end is not End.FINISHED:
                return Said(end="interrupted", reason=live.stop_reason or "")
        if job.num_seeds > 1:
            summarize(job, inside)
        return self._scored()

    def _scored(self) -> Said:
        result = read_result(self._folder)
        assert result is not None
        value = result["metrics"][VALIDATION][result["chosen_by"]]
        return Said(
            end="finished",
            value=value,
            epochs=result["steps"] / self._per_epoch,
            reason="" if value is not None else "its measure is not a number",
        )

    def _read(self, step: int, values: Mapping[str, float]) -> Said | None:
        """None of the last one, after which there is nothing to decide."""
        last = max(1, round(self._job.budget.epochs * self._per_epoch))
        value = values[f"eval/{metrics_of(self._job.task)[0].name}"]
        if step >= last or not math.isfinite(value):
            return None
        return Said(epochs=step / self._per_epoch, value=value)

    def _listen(self) -> None:
        """Asks the desk now and then, so that no step has to."""
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                reason = ray.get(self._ground.desk.stop_reason.remote())
            except ray.exceptions.RayError:
                return  # the sweep is going away
            if reason and self._live is not None:
                self._live.stop(reason)
