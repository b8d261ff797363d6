"""The `finetune` job's body: prepare the task where the driver runs, train once for each seed.

Of several seeds each is a run inside of the run, `trials/0000` …, with its own metrics, checkpoints
and result; who resumes goes on with the one that was not done. The model of the seed that is best
on the validation split becomes the run's own.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.export import start_directory
from orchestrator.cluster.restore import restore_point
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import RequestError, RunStopped
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Commit
from orchestrator.runs.copying import copy_folder
from orchestrator.runs.result import Spread, read_result, write_result
from orchestrator.runs.storage import Storage, open_storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import freeze, thaw
from orchestrator.settings.task import METRICS, VALIDATION
from orchestrator.settings.units import format_duration
from orchestrator.tasks.prepared import PREPARED, open_prepared, prepare_task
from orchestrator.tasks.tokens import open_task_tokenizer

if TYPE_CHECKING:
    from orchestrator.cluster.workers import Worker

_OVER = "out of time"


def finetune(attempt: Attempt) -> None:
    from orchestrator.cluster.workers import run_workers  # torch

    job = attempt.job
    assert isinstance(job, FinetuneJob)
    run = attempt.run.storage
    encoder = start_directory(attempt, job.encoder)
    prepared = prepared_task(attempt, job, encoder)
    course = course_of(attempt, job, run, encoder=encoder, prepared=prepared)
    if course.folders:
        rank = partial(finetune_rank, course=course)
        ending = run_workers(attempt, rank, can_resize=True)[0]
        if ending["end"] == _OVER:
            limit = format_duration(job.budget.max_duration or 0)
            raise RunStopped(f"budget.max_duration={limit} is used up at step {ending['step']}")
    if job.num_seeds > 1:
        summarize(job, run)


def prepared_task(attempt: Attempt, job: FinetuneJob, encoder: str) -> str:
    """Its file in the storage; read, checked and made into tokens if it is not there.

    A run goes on with the examples that it began with, whatever their sources hold by now.
    """

    def tell(what: str) -> None:
        attempt.progress.show(what)
        print(what, flush=True)

    storage = attempt.run.parent
    said = [event.fields for event in attempt.run.events() if event.kind == PREPARED]
    if said and storage.exists(str(said[0]["file"])):
        return str(said[0]["file"])
    with nearby(encoder, has_weights=False) as folder:
        tokenizer = open_task_tokenizer(folder)
        kept = prepare_task(job.task, tokenizer, storage, tell)
    if said and kept.file != said[0]["file"]:
        raise RequestError(
            f"The examples of {job.task.name} are not those that this run began with: {kept.file}, "
            f"{kept.examples:,} to train on, and {said[0]['file']}, {said[0]['examples']:,} then.",
            hint="Put its data back as it was, or start a new run, which reads it as it is now.",
        )
    attempt.ledger.record(PREPARED, **asdict(kept))
    return kept.file


def seeds_of(job: FinetuneJob, run: Storage) -> list[tuple[FinetuneJob, Storage]]:
    """Those that are not done, each with its folder; one alone has the run's own."""
    if job.num_seeds == 1:
        return [(job, run)] if read_result(run) is None else []
    pairs = []
    for number in range(job.num_seeds):
        folder = run.child(layout.trial(number))
        one = replace(job, seed=job.seed + number, num_seeds=1)
        if read_result(folder) is None:
            if not folder.exists(layout.JOB):
                folder.write(layout.JOB, freeze(one).encode())
            pairs.append((one, folder))
    return pairs


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a group of ranks trains, one after the other."""

    run: str  # the folder of the whole: a run's, or a trial's
    encoder: str
    prepared: str
    folders: tuple[str, ...]  # one for each seed that is not done
    commits: tuple[Commit | None, ...]  # where each goes on
    is_heard: bool = False  # each measurement is answered before it goes on
    ends_saved: bool = True  # the last step too gets a checkpoint


def course_of(
    attempt: Attempt, job: FinetuneJob, run: Storage, *, encoder: str, prepared: str
) -> Course:
    seeds = seeds_of(job, run)
    return Course(
        run=run.uri,
        encoder=encoder,
        prepared=prepared,
        folders=tuple(folder.uri for _, folder in seeds),
        commits=tuple(restore_point(attempt, folder) for _, folder in seeds),
    )


def finetune_rank(worker: Worker, *, course: Course) -> dict[str, Any]:
    from orchestrator.cluster.port import rank_port
    from orchestrator.training.finetune import TaskStart  # torch, transformers
    from orchestrator.training.finetune import finetune as train
    from orchestrator.training.loop import End

    task = open_prepared(worker.run.parent, course.prepared)
    told: dict[str, Any] = {"end": End.FINISHED.value, "step": 0}
    opened = rank_port(worker, open_storage(course.run), is_heard=course.is_heard)
    with opened as port, nearby(course.encoder) as folder:
        for uri, commit in zip(course.folders, course.commits, strict=True):
            inside = open_storage(uri)
            job = thaw(inside.read(layout.JOB).decode())
            assert isinstance(job, FinetuneJob)
            start = TaskStart(
                encoder=folder, prepared=task, commit=commit, ends_saved=course.ends_saved
            )
            ending = train(port.inside(inside), job, start)
            told = {"end": ending.end.value, "step": ending.step}
            if ending.end is not End.FINISHED:
                break
    return told


def summarize(job: FinetuneJob, run: Storage) -> None:
    """The median over seeds, how far they lie apart, and the best one's model as the run's."""
    folders = [run.child(layout.trial(number)) for number in range(job.num_seeds)]
    results = [read_result(folder) for folder in folders]
    assert all(results)
    found: list[dict[str, Any]] = [result for result in results if result is not None]
    metrics = {
        split: {
            name: Spread.of([each["metrics"][split][name] for each in found]) for name in values
        }
        for split, values in found[0]["metrics"].items()
    }
    chooser = found[0]["chosen_by"]
    sign = -1 if METRICS[chooser].is_loss else 1
    values = [each["metrics"][VALIDATION][chooser] for each in found]
    scores = [-math.inf if value is None else sign * value for value in values]
    best = scores.index(max(scores))
    best_model = folders[best].child(layout.EXPORT)
    copy_folder(best_model, run.child(layout.EXPORT), last=layout.EXPORTED)
    write_result(
        run,
        found[best]
        | {
            "metrics": {
                split: {name: spread.median for name, spread in values.items()}
                for split, values in metrics.items()
            },
            "spread": {
                split: {name: asdict(spread) for name, spread in values.items()}
                for split, values in metrics.items()
            },
            "seeds": [each["seed"] for each in found],
            "best_seed": found[best]["seed"],
        },
    )
    for split, spreads in metrics.items():
        for name, spread in spreads.items():
            middle = "–" if spread.median is None else f"{spread.median:.4f}"
            print(f"{split} {name}: median {middle}, from {spread}", flush=True)
