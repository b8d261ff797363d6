"""A trial's work: a fine-tune in the trial's folder, and what is said of it to the sweep.

`alone.py` trains it in this process, `group.py` with a group of workers; `actor.py` has either.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.cluster.finetune import summarize
from orchestrator.errors import RequestError
from orchestrator.runs import layout
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import thaw
from orchestrator.settings.sweep import SweepJob
from orchestrator.settings.task import VALIDATION
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tuning.judge import NUMBER
from orchestrator.tuning.lines import named_lines
from orchestrator.tuning.port import Live, Said
from orchestrator.tuning.queue import POINT

_GIVEN_UP = "given up"
NO_NUMBER = "its measure is not a number"


@dataclass(frozen=True, kw_only=True)
class AtHand:
    """What stays from one trial to the next."""

    run: Storage  # the sweep's
    sweep: SweepJob
    attempt: int
    num_examples: int  # to train on


class Work(ABC):
    def __init__(self, at_hand: AtHand, config: Mapping[str, Any]) -> None:
        """`config` is what the queue gave to Tune."""
        self._name = f"trial {config[NUMBER]:04d}"
        self._folder: Storage = at_hand.run.child(layout.trial(config[NUMBER]))
        self._job = job = self._job_of(at_hand.sweep, config)
        self._per_epoch = -(-at_hand.num_examples // job.batch.examples)
        self._last = max(1, round(job.budget.epochs * self._per_epoch))
        self.live = Live(self._work, self._read)

    @abstractmethod
    def _train(self, live: Live) -> Said | None:
        """From its last checkpoint where there is one; None when it has come to its end."""

    def close(self) -> None:
        """Of a trial that the scheduler gave up, nothing is gone on from."""
        live = self.live
        is_given_up = live.has_begun and not live.is_over and live.stop_reason is None
        live.close(_GIVEN_UP)
        if is_given_up:
            self._folder.remove(layout.CHECKPOINTS)

    def _job_of(self, sweep: SweepJob, config: Mapping[str, Any]) -> FinetuneJob:
        """As it was frozen; of a population with the settings that it has by now."""
        job = thaw(self._folder.read(layout.JOB).decode())
        assert isinstance(job, FinetuneJob)
        if POINT not in config:
            return job
        changed, findings = sweep.trial(json.loads(config[POINT]), seed=job.seed)
        if changed is None or findings:
            raise RequestError(" ".join(map(str, findings)))
        return changed

    def _work(self, live: Live) -> Said:
        """In a thread of its own."""
        if (said := self._train(live)) is not None:
            return said
        if self._job.num_seeds > 1:
            with named_lines(self._name):
                summarize(self._job, self._folder)
        return self._scored()

    def _scored(self) -> Said:
        result = read_result(self._folder)
        assert result is not None
        value = result["metrics"][VALIDATION][result["chosen_by"]]
        return Said(
            end="finished",
            value=value,
            epochs=result["steps"] / self._per_epoch,
            reason="" if value is not None else NO_NUMBER,
        )

    def _read(self, step: int, values: Mapping[str, float]) -> Said | None:
        """None of the last one, after which there is nothing to decide."""
        value = values[f"eval/{metrics_of(self._job.task)[0].name}"]
        is_decided = math.isfinite(value) and step < self._last
        return Said(epochs=step / self._per_epoch, value=value) if is_decided else None
