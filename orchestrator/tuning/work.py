"""A trial's work: a fine-tune in the trial's folder, from its last checkpoint where there is one.

A population's trial rests at a measurement until the others have come as far, with its checkpoint
committed. Knows nothing of Ray; `actor.py` does it in a worker.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from orchestrator.cluster.finetune import seeds_of, summarize
from orchestrator.errors import RequestError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import thaw
from orchestrator.settings.sweep import SweepJob
from orchestrator.settings.task import VALIDATION
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tasks.prepared import PreparedTask
from orchestrator.training.finetune import TaskStart, finetune
from orchestrator.training.loop import End
from orchestrator.training.standing import Standing
from orchestrator.tuning.judge import NUMBER
from orchestrator.tuning.lines import named_lines
from orchestrator.tuning.port import Live, Said, TrialPort
from orchestrator.tuning.queue import POINT, UNTIL

_GIVEN_UP = "given up"
_NO_NUMBER = Said(end="failed", reason="its measure is not a number")


@dataclass(frozen=True, kw_only=True)
class AtHand:
    """What stays from one trial to the next."""

    run: Storage  # the sweep's
    sweep: SweepJob
    attempt: int
    encoder: Path
    prepared: PreparedTask
    device: torch.device


class Work:
    def __init__(self, at_hand: AtHand, config: Mapping[str, Any]) -> None:
        """`config` is what the queue gave to Tune."""
        self._at_hand = at_hand
        self._name = f"trial {config[NUMBER]:04d}"
        self._folder: Storage = at_hand.run.child(layout.trial(config[NUMBER]))
        self._job = job = self._job_of(config)
        self._per_epoch = -(-len(at_hand.prepared.training.features) // job.batch.examples)
        self._last = max(1, round(job.budget.epochs * self._per_epoch))
        every = max(1, round(job.evaluation.every_epochs * self._per_epoch))  # as the loop has it
        rest = config.get(UNTIL, math.inf) * every
        self._rest = rest if rest < self._last else None
        self._rested: Said | None = None
        self.live = Live(self._train, self._read)

    def _job_of(self, config: Mapping[str, Any]) -> FinetuneJob:
        """As it was frozen; of a population with the settings that it has by now."""
        job = thaw(self._folder.read(layout.JOB).decode())
        assert isinstance(job, FinetuneJob)
        if POINT not in config:
            return job
        changed, findings = self._at_hand.sweep.trial(json.loads(config[POINT]), seed=job.seed)
        if changed is None or findings:
            raise RequestError(" ".join(map(str, findings)))
        return changed

    def close(self) -> None:
        """Of a trial that the scheduler gave up, nothing is gone on from."""
        live = self.live
        is_given_up = live.has_begun and not live.is_over and live.stop_reason is None
        live.close(_GIVEN_UP)
        if is_given_up:
            self._folder.remove(layout.CHECKPOINTS)

    def _train(self, live: Live) -> Said:
        """In a thread of its own: once, or once for each seed."""
        job, inside, at_hand = self._job, self._folder, self._at_hand
        for one, folder in seeds_of(job, inside):
            port = TrialPort(
                folder,
                attempt=at_hand.attempt,
                device=at_hand.device,
                live=live,
                is_mute=job.num_seeds > 1,
            )
            try:
                commit = Checkpoints(folder).restore_point(port.note)
                if commit is not None and commit.step == self._rest:
                    return self._said_at_rest(commit)
                start = TaskStart(encoder=at_hand.encoder, prepared=at_hand.prepared, commit=commit)
                with named_lines(self._name):
                    ending = finetune(port, one, start)
            finally:
                port.close()
            if self._rested is not None and ending.end is End.STOPPED:
                return self._rested
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
        value = values[f"eval/{metrics_of(self._job.task)[0].name}"]
        is_number = math.isfinite(value)
        said = Said(epochs=step / self._per_epoch, value=value)
        if step == self._rest:
            self._rested = replace(said, end="rested") if is_number else _NO_NUMBER
            self.live.stop("the others come to this place too")
        return said if is_number and step < self._last and step != self._rest else None

    def _said_at_rest(self, commit: Commit) -> Said:
        """It had come so far before a kill, and nobody had heard of it."""
        loss = Standing.from_plain(commit.facts["standing"]).validation_loss
        if loss is None:
            return _NO_NUMBER
        value = loss if metrics_of(self._job.task)[0].is_loss else -loss
        return Said(end="rested", epochs=commit.step / self._per_epoch, value=value)
