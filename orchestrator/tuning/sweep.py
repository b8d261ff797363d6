"""The `sweep` job's body: prepare the task once, run trials through Ray Tune, keep the best model.

An attempt after a kill reads the ledger: trials that ended are not run again, those that were open
go on from their checkpoints, and the next ones are what they would have been.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager

import ray
from ray import tune

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.desk import Desk
from orchestrator.cluster.embedded import group_environment
from orchestrator.cluster.export import start_directory
from orchestrator.cluster.failures import worker_resources
from orchestrator.cluster.finetune import prepared_task
from orchestrator.cluster.outcome import NotPlaced, WorkersDiffer
from orchestrator.cluster.place import Place
from orchestrator.cluster.scratch import scratch_folder
from orchestrator.cluster.world import alive_nodes, placeable, refuse_hopeless
from orchestrator.errors import RunFailed, RunStopped
from orchestrator.runs.ledger import Event
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.sweep import SweepJob
from orchestrator.settings.task import VALIDATION
from orchestrator.settings.units import format_duration
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tuning.actor import Ground, TrialActor
from orchestrator.tuning.board import read_board
from orchestrator.tuning.generations import Generations
from orchestrator.tuning.judge import VALUE, Judge
from orchestrator.tuning.queue import Queue, Scribe
from orchestrator.tuning.supply import Configurations, Supply
from orchestrator.tuning.tables import Progression, write_tables
from orchestrator.tuning.trials import Book, Fate, Trial, ranked, searched
from orchestrator.tuning.winner import clear_folders, conclude

_LOOK_EVERY_S = 0.3
_FEW = 2  # failures that never end a sweep
_HEAD = "node:__internal_head__"
_A_BIT = 0.001  # of the one that each node has of its own address
_NO_ROOM = "Wait for other runs to end (orchestrator list), ask for less, or wait longer."
# Tune's own files and signals: nothing of it is read, and stops come by the desk.
_TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # workers start side by side; we say how many
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def sweep(attempt: Attempt) -> None:
    job = attempt.job
    assert isinstance(job, SweepJob)
    refuse_hopeless(attempt)
    chooser = metrics_of(job.task)[0]
    encoder = start_directory(attempt, job.encoder)
    prepared = prepared_task(attempt, job, encoder)
    book = Book(attempt.run.storage, attempt.ledger, job, attempt.run.events())
    adopt(book, attempt.run.storage)
    _tell_start(book)
    attempt.ledger.record("running", workers=job.cluster.num_workers)
    ground = Ground(
        uri=attempt.run.uri,
        attempt=attempt.number,
        desk=ray.remote(num_cpus=0)(Desk).remote(),
        encoder=encoder,
        prepared=prepared,
        code_dir=os.getcwd() if attempt.place is Place.HERE else None,
        environment=group_environment(),
    )
    try:
        _Sweep(attempt, book, ground, is_loss=chooser.is_loss).run()
        conclude(attempt, book, prepared, chooser)
    finally:
        write_tables(attempt.run.storage, read_board(attempt.run))


def adopt(book: Book, run: Storage) -> None:
    """What a trial had left whole before the ledger heard of it."""
    for trial in book.all():
        if trial.is_over:
            continue
        result = read_result(run.child(trial.folder))
        if result is not None:
            value = result["metrics"][VALIDATION][result["chosen_by"]]
            book.ended(trial.number, Fate.FINISHED, value=value)


def _tell_start(book: Book) -> None:
    done = [trial for trial in book.all() if trial.is_over]
    left = [trial for trial in book.all() if not trial.is_over]
    print(f"{book.num_wanted} configurations, searched by {book.job.search.kind}", flush=True)
    if book.trials:
        print(f"{len(done)} trials are done already, {len(left)} go on", flush=True)


class _Sweep:
    """One attempt at the trials that are left."""

    def __init__(self, attempt: Attempt, book: Book, ground: Ground, *, is_loss: bool) -> None:
        self._attempt, self._book, self._ground = attempt, book, ground
        self._is_loss = is_loss
        self._asked = worker_resources(attempt.job)
        self._progression = Progression(
            attempt.run.storage, attempt=attempt.number, is_loss=is_loss
        )
        self._stop = ""  # why no further trial begins
        self._failure: RunFailed | None = None

    def run(self) -> None:
        book = self._book
        judge = Judge(book, is_loss=self._is_loss)
        scribe = Scribe(book, judge, self._told)
        queue = Queue(
            self._supply(),
            has_room=self._has_room,
            is_over=lambda: bool(self._stop or scribe.unplaced),
        )
        os.environ.update(_TUNE)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # we tell what happened
        with scratch_folder() as scratch, self._watch(), closing(self._progression):
            self._progression.tell(book.all())
            chosen = tune.TuneConfig(
                metric=VALUE,
                mode="min" if self._is_loss else "max",
                search_alg=queue,
                scheduler=judge,
                num_samples=-1,
                reuse_actors=True,
            )
            self._tuner(chosen, scribe, str(scratch)).fit()
        if scribe.refused:
            raise WorkersDiffer(scribe.refused)
        if self._failure is not None:
            raise self._failure
        if self._stop:
            raise RunStopped(self._stop)
        if scribe.unplaced:
            raise NotPlaced(scribe.unplaced, hint=_NO_ROOM)

    def _supply(self) -> Supply:
        if self._book.job.search.kind.is_population:
            return Generations(self._book, self._attempt.run.storage, is_loss=self._is_loss)
        return Configurations(self._book, is_loss=self._is_loss)

    def _tuner(self, chosen: tune.TuneConfig, scribe: Scribe, scratch: str) -> tune.Tuner:
        trainable = tune.with_resources(
            tune.with_parameters(TrialActor, ground=self._ground),
            tune.PlacementGroupFactory([self._taken()]),
        )
        return tune.Tuner(
            trainable,
            tune_config=chosen,
            run_config=tune.RunConfig(
                name=self._attempt.run.id,
                storage_path=scratch,
                failure_config=tune.FailureConfig(
                    max_failures=self._book.job.recovery.infrastructure
                ),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[scribe],
                verbose=0,
            ),
        )

    def _taken(self) -> dict[str, float]:
        """By a trial's actor itself. One that starts a group takes nothing of worth, and is on our
        own node, so that none of theirs takes it along when it goes."""
        if not self._book.job.trains_in_groups:
            return self._asked
        here = alive_nodes()[ray.get_runtime_context().get_node_id()]
        address = next(name for name in here if name.startswith("node:") and name != _HEAD)
        return {address: _A_BIT}

    def _has_room(self, running: int) -> bool:
        job = self._book.job
        most = job.search.max_concurrent
        if most is not None and running >= most:
            return False
        fit = placeable(alive_nodes().values(), self._asked)
        return running < fit // job.cluster.num_workers

    def _told(self, trial: Trial) -> None:
        """After each end: a line, the bar, and room on the disk."""
        book, run = self._book, self._attempt.run.storage
        best = ranked(book.all(), is_loss=self._is_loss)[:1]
        over = sum(each.is_over for each in searched(book.all()))
        said = f"{trial.value:.4f}" if trial.value is not None else trial.reason
        lead = f", best {best[0].value:.4f} of {best[0].number:04d}" if best else ""
        print(f"trial {trial.number:04d} {trial.fate}: {said}{lead}", flush=True)
        self._progression.tell(book.all())
        self._attempt.progress.show("trials", over, book.num_wanted, "trials")
        clear_folders(run, book, is_loss=self._is_loss, is_over=False)
        if (failure := failure_of(book)) is not None:
            self._failure = failure
            self._end("too many trials failed")

    def _end(self, reason: str) -> None:
        """No further trial; those that run end at their next step."""
        if not self._stop:
            self._stop = reason
            self._ground.desk.ask_stop.remote(reason)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Passes on a stop, and ends the sweep when its time is used up."""
        over = threading.Event()
        thread = threading.Thread(target=self._look, args=(over.is_set,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look(self, is_over: Callable[[], bool]) -> None:
        limit_s, began = self._book.job.budget.max_duration, time.monotonic()
        spent_s = 0.0
        if limit_s is not None:
            events = self._attempt.run.events()
            spent_s = spent_before(events, self._attempt.number, limit_s)
        while not is_over() and not self._stop:
            if self._attempt.stop.is_asked:
                self._end(self._attempt.stop.reason)
            elif limit_s is not None and time.monotonic() - began + spent_s > limit_s:
                self._end(f"budget.max_duration={format_duration(limit_s)} is used up")
            time.sleep(_LOOK_EVERY_S)


def failure_of(book: Book) -> RunFailed | None:
    """Once so many trials failed that it is no matter of single points any more."""
    ended = [each for each in book.all() if each.is_over]
    failed = [each for each in ended if each.fate is Fate.FAILED]
    share = book.job.search.max_failed_share
    if len(failed) <= _FEW or len(failed) <= share * len(ended):
        return None
    return RunFailed(
        f"{len(failed)} of {len(ended)} trials failed, which is more than "
        f"search.max_failed_share={share:g}. The last one: {failed[-1].reason}",
        hint="orchestrator sweep status RUN",
    )


def spent_before(events: Iterable[Event], attempt: int, limit_s: float) -> float:
    """Of earlier attempts, from their first word to their last. Who resumes a sweep that stopped
    at the end of its time gives it as much again."""
    spans: dict[int, list[float]] = {}
    for event in events:
        if 0 < event.attempt < attempt:
            spans.setdefault(event.attempt, []).append(event.time)
    spent_s = sum(max(times) - min(times) for times in spans.values())
    return 0.0 if spent_s >= limit_s else spent_s
