"""A trial of one worker: it trains in this process, with what the trial before left in memory.

A population's trial rests at a measurement until the others have come as far, with its checkpoint
committed. Knows nothing of Ray.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from orchestrator.cluster.finetune import seeds_of
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tasks.prepared import PreparedTask
from orchestrator.training.finetune import TaskStart, finetune
from orchestrator.training.loop import End
from orchestrator.training.standing import Standing
from orchestrator.tuning.lines import named_lines
from orchestrator.tuning.port import Live, Said, TrialPort
from orchestrator.tuning.queue import UNTIL
from orchestrator.tuning.work import NO_NUMBER, AtHand, Work


@dataclass(frozen=True, kw_only=True)
class AloneAtHand(AtHand):
    encoder: Path
    prepared: PreparedTask
    device: torch.device


class AloneWork(Work):
    def __init__(self, at_hand: AloneAtHand, config: Mapping[str, Any]) -> None:
        super().__init__(at_hand, config)
        self._at_hand = at_hand
        job = self._job
        every = max(1, round(job.evaluation.every_epochs * self._per_epoch))  # as the loop has it
        rest = config.get(UNTIL, math.inf) * every
        self._rest = rest if rest < self._last else None
        self._rested: Said | None = None

    def _train(self, live: Live) -> Said | None:
        """Once, or once for each seed."""
        job, at_hand = self._job, self._at_hand
        for one, folder in seeds_of(job, self._folder):
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
                start = TaskStart(
                    encoder=at_hand.encoder,
                    prepared=at_hand.prepared,
                    commit=commit,
                    ends_saved=False,
                )
                with named_lines(self._name):
                    ending = finetune(port, one, start)
            finally:
                port.close()
            if self._rested is not None and ending.end is End.STOPPED:
                return self._rested
            if ending.end is not End.FINISHED:
                return Said(end="interrupted", reason=live.stop_reason or "")
        return None

    def _read(self, step: int, values: Mapping[str, float]) -> Said | None:
        said = super()._read(step, values)
        if step != self._rest:
            return said
        self._rested = _NO_NUMBER if said is None else replace(said, end="rested")
        self.live.stop("the others come to this place too")
        return None

    def _said_at_rest(self, commit: Commit) -> Said:
        """It had come so far before a kill, and nobody had heard of it."""
        loss = Standing.from_plain(commit.facts["standing"]).validation_loss
        if loss is None:
            return _NO_NUMBER
        value = loss if metrics_of(self._job.task)[0].is_loss else -loss
        return Said(end="rested", epochs=commit.step / self._per_epoch, value=value)


_NO_NUMBER = Said(end="failed", reason=NO_NUMBER)
