"""A trial of several workers, or with ZeRO: a group of ranks of its own, through Ray Train.

It is started as the group of a fine-tune is, with the trial's folder in the place of the run's.
After each measurement the ranks wait until the sweep has said whether they go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.desk import Measurement
from orchestrator.cluster.finetune import course_of, finetune_rank, seeds_of
from orchestrator.cluster.outcome import Cause, Outcome
from orchestrator.cluster.place import Place
from orchestrator.cluster.workers import Worker, run_workers
from orchestrator.errors import RunStopped
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Ledger
from orchestrator.tracking.progress import ProgressWriter
from orchestrator.training.loop import TrainingDiverged
from orchestrator.tuning.lines import named_lines
from orchestrator.tuning.port import Live, Said
from orchestrator.tuning.work import AtHand, Work

# What is no fault of the trial's: it stays open, and goes on from its checkpoint.
_ENDS = {
    Cause.WORKERS_DIFFER: "refused",
    Cause.NOT_PLACED: "unplaced",
    Cause.NEVER_SATISFIABLE: "unplaced",
    Cause.INFRASTRUCTURE: "lost",
    Cause.PREEMPTION: "lost",
}


@dataclass(frozen=True, kw_only=True)
class GroupAtHand(AtHand):
    of: RunFolder  # the sweep
    place: Place
    encoder: str
    prepared: str


class GroupWork(Work):
    def __init__(self, at_hand: GroupAtHand, config: Mapping[str, Any]) -> None:
        super().__init__(at_hand, config)
        self._at_hand = at_hand

    def _train(self, live: Live) -> Said | None:
        """All seeds in one group."""
        at_hand, folder = self._at_hand, self._folder
        ledger = Ledger(folder, attempt=at_hand.attempt, writer="attempt")
        attempt = Attempt(
            run=at_hand.of,  # workers show that they have what was planned for the sweep
            job=at_hand.sweep,
            number=at_hand.attempt,
            place=at_hand.place,
            ledger=ledger,
            progress=ProgressWriter(folder),
            stop=live.stop_signal,
        )
        with closing(ledger), named_lines(self._name):
            try:
                self._run_group(attempt, live)
            except RunStopped as err:
                if seeds_of(self._job, folder):  # else it came too late
                    return Said(end="interrupted", reason=err.message)
            except Exception as err:  # told by how it ended, as that of an attempt is
                outcome = Outcome.of_error(err)
                if (end := _ENDS.get(outcome.cause)) is None:
                    raise
                print(outcome.reason, flush=True)
                return Said(end=end, reason=outcome.reason)
        return None

    def _run_group(self, attempt: Attempt, live: Live) -> None:
        at_hand, job = self._at_hand, self._job
        course = course_of(
            attempt, job, self._folder, encoder=at_hand.encoder, prepared=at_hand.prepared
        )
        if not course.folders:
            return
        is_heard = job.num_seeds == 1  # of several, none is the trial's
        rank = partial(finetune_rank, course=replace(course, is_heard=is_heard, ends_saved=False))

        def hear(told: Measurement) -> None:
            live.measured(told.step, told.values)

        named = partial(_named_rank, name=self._name, rank=rank)
        ending = run_workers(attempt, named, hear=hear if is_heard else None)[0]
        if isinstance(ending, TrainingDiverged):
            raise ending


def _named_rank(worker: Worker, *, name: str, rank: Callable[[Worker], Any]) -> Any:
    """What all ranks see at the same step is no failure of the group: trials do that."""
    with named_lines(name):
        try:
            return rank(worker)
        except TrainingDiverged as err:
            return err
