"""What a sweep comes to: the winner by the validation split, measured once on test, and its model.

Folders of trials are cleared here too: models of the best stay, what nobody goes on from does not.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.tasks import run_tasks
from orchestrator.errors import RunFailed
from orchestrator.runs import layout
from orchestrator.runs.copying import copy_folder
from orchestrator.runs.find import open_run
from orchestrator.runs.picture import as_text
from orchestrator.runs.result import read_result, write_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.search import Beside
from orchestrator.settings.sweep import SweepJob
from orchestrator.settings.task import TEST
from orchestrator.tasks.metrics.metric import Metric
from orchestrator.tasks.prepared import open_prepared
from orchestrator.tuning.board import overrides_of, read_board
from orchestrator.tuning.front import cost_of, front, is_near, near_best
from orchestrator.tuning.picture import draw_board
from orchestrator.tuning.population import way_of
from orchestrator.tuning.trials import Book, Fate, Trial, ranked, searched

_SHOWN = 10  # trials, in the log


@dataclass(frozen=True, kw_only=True)
class Winner:
    trial: Trial  # the one whose model it is
    chosen: Trial  # the one whose settings won
    value: float  # by which it won: of several seeds their median
    values: tuple[float, ...]


def winner_of(job: SweepJob, trials: Sequence[Trial], *, is_loss: bool) -> Winner | None:
    """With finalists the best median of seeds, else the best trial; where costs matter, the
    cheapest that is near enough to it."""
    best = ranked(searched(trials), is_loss=is_loss)
    if not best:
        return None
    found = []
    tried = best[: max(1, job.search.finalists)]
    if not job.search.finalists:
        tried += [
            each for each in near_best(trials, job.search, is_loss=is_loss) if each not in tried
        ]
    for chosen in tried:
        again = [trial for trial in trials if trial.again_of == chosen.number]
        group = ranked([chosen, *again], is_loss=is_loss)
        values = tuple(each.value for each in group if each.value is not None)
        median = statistics.median(values)
        found.append(Winner(trial=group[0], chosen=chosen, value=median, values=values))
    sign = 1 if is_loss else -1
    first = min(found, key=lambda each: (sign * each.value, each.chosen.number))
    near = [
        (cost, sign * each.value, each.chosen.number, each)
        for each in found
        if is_near(each.value, first.value, job.search)
        and (cost := cost_of(each.chosen, job.search)) is not None
    ]
    return min(near)[-1] if near else first


def clear_folders(run: Storage, book: Book, *, is_loss: bool, is_over: bool) -> None:
    """While it goes on, one that was given up may still be at its last step."""
    search = book.job.search
    most = max(search.keep_models, search.finalists)
    kept = {trial.number for trial in ranked(book.all(), is_loss=is_loss)[:most]}
    kept |= {trial.number for trial in ranked(searched(book.all()), is_loss=is_loss)[:most]}
    kept |= {trial.number for trial in near_best(book.all(), search, is_loss=is_loss)}
    kept |= {trial.number for trial in book.all() if trial.again_of is not None and not is_over}
    for trial in book.all():
        if not trial.is_over or (trial.fate is Fate.STOPPED and not is_over):
            continue
        if trial.number in book.cleared:
            continue
        folder = run.child(trial.folder)
        folder.remove(layout.CHECKPOINTS)
        for number in range(book.job.num_seeds if book.job.num_seeds > 1 else 0):
            inside = folder.child(layout.trial(number))  # its best model is the trial's already
            inside.remove(layout.CHECKPOINTS)
            inside.remove(layout.EXPORT)
        if trial.number not in kept:
            folder.remove(layout.EXPORT)
            book.cleared.add(trial.number)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    run: str
    folder: str
    prepared: str


def conclude(attempt: Attempt, book: Book, prepared: str, chooser: Metric) -> None:
    job, run = book.job, attempt.run.storage
    winner = winner_of(job, book.all(), is_loss=chooser.is_loss)
    if winner is None:
        raise RunFailed(
            "No trial came to its end, so there is no winner.", hint="orchestrator sweep status RUN"
        )
    folder = run.child(winner.trial.folder)
    result = read_result(folder)
    assert result is not None
    metrics = dict(result["metrics"])
    if job.evaluation.test:
        asked = _Asked(run=attempt.run.uri, folder=winner.trial.folder, prepared=prepared)
        for _, scores in run_tasks(
            attempt,
            _on_test,
            [asked],
            stage="measuring the winner",
            sizes=[1],
            unit="models",
            has_model=True,
        ):
            metrics |= {TEST: scores} if scores else {}
    attempt.progress.show("keeping the winner's model")
    model = folder.child(layout.EXPORT)
    copy_folder(model, run.child(layout.EXPORT), last=layout.EXPORTED)
    overrides = overrides_of(winner.chosen.point)
    facts = {
        "winner": winner.trial.number,
        "point": winner.chosen.point,
        "overrides": overrides,
        "chosen_value": winner.value,
        "values_of_seeds": list(winner.values),
        "trials": {fate.value: _count(book, fate) for fate in Fate},
    }
    if job.search.beside is not Beside.NONE:
        found = front(book.all(), job.search, is_loss=chooser.is_loss)
        facts["front"] = [each.number for each in found]
    if job.search.kind.is_population:
        facts["way"] = [asdict(part) for part in way_of(book.trials, winner.chosen.number)]
    write_result(run, result | {"metrics": metrics} | facts)
    clear_folders(run, book, is_loss=chooser.is_loss, is_over=True)
    attempt.ledger.record("scored", best_step=result["best_step"], metrics=metrics, **facts)
    print(as_text(draw_board(read_board(attempt.run), most=_SHOWN)))
    print(f"trial {winner.trial.number:04d} is the best: {' '.join(overrides)}")
    for split, values in metrics.items():
        known = {name: value for name, value in values.items() if value is not None}
        told = ", ".join(f"{name} {value:.4f}" for name, value in known.items())
        print(f"{split}: {told}", flush=True)


def _count(book: Book, fate: Fate) -> int:
    return sum(trial.fate is fate for trial in book.all())


def _on_test(asked: _Asked, tell: Callable[[int], None]) -> dict[str, float | None]:
    """As a task, where the workers are. Empty where there is no test split."""
    from orchestrator.encoder.nearby import nearby
    from orchestrator.tasks.directory import open_task_directory
    from orchestrator.tasks.metrics.metric import measure, outcome_of
    from orchestrator.tasks.predict import predict
    from orchestrator.training.finetune import without_nan

    run = open_run(asked.run)
    task = open_prepared(run.parent, asked.prepared)
    if TEST not in task.splits:
        return {}
    portion = task.splits[TEST]
    with nearby(run.storage.child(asked.folder).uri_of(layout.EXPORT)) as folder:
        opened = open_task_directory(folder)
    opened.model.to(run.job().cluster.device)
    said = predict(opened.model, portion.features, portion.examples, task.labels, opened.task)
    return without_nan(measure(opened.task, outcome_of(portion.examples, said, task.labels)))
