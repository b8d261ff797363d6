"""The proof that a sweep has each trial once, that each trained on its examples in their order, and
that the ledger, the results and the winner's model tell the same. `audit.py` asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.errors import RequestError
from orchestrator.planning.audit_task import Lesson, audit_lessons
from orchestrator.planning.audited import RunAudit, Tell
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event, read_events
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import thaw
from orchestrator.settings.sweep import SweepJob
from orchestrator.settings.task import VALIDATION
from orchestrator.tuning.trials import ENDED, PROPOSED, Fate, Trial, num_wanted, searched, trials_of


def audit_sweep(run: RunFolder, job: SweepJob, tell: Tell) -> RunAudit:
    if job.search.kind.is_population:
        raise RequestError(
            f"{run.id} is a sweep by {job.search.kind}, whose trials go on from one another's "
            "checkpoints: their steps are not those of one stream.",
            hint=f"orchestrator sweep status {run.id} tells who took over from whom.",
        )
    events = run.events()
    trials = list(trials_of(events).values())
    lessons = [lesson for trial in trials for lesson in _lessons(run.storage, trial)]
    audited = audit_lessons(run, events, lessons, tell)
    problems = [
        *audited.problems,
        *_of_ledger(job, events, trials),
        *(problem for trial in trials for problem in _of_result(run.storage, trial)),
        *_of_winner(run.storage, trials),
    ]
    return replace(audited, problems=tuple(problems), lesson="trials")


def _lessons(run: Storage, trial: Trial) -> Iterator[Lesson]:
    """One, or one for each of its seeds."""
    folder = run.child(trial.folder)
    if not folder.exists(layout.JOB):
        return
    job = thaw(folder.read(layout.JOB).decode())
    assert isinstance(job, FinetuneJob)
    for number in range(job.num_seeds):
        own = folder if job.num_seeds == 1 else folder.child(layout.trial(number))
        # What a trial leaves behind when it is over has no checkpoints any more.
        yield Lesson(
            name=f"trial {trial.number}",
            job=replace(job, seed=job.seed + number),
            folder=own,
            events=() if trial.is_over else read_events(own),
        )


def _of_ledger(job: SweepJob, events: Sequence[Event], trials: Sequence[Trial]) -> Iterator[str]:
    for kind, done in ((PROPOSED, "proposed"), (ENDED, "ended")):
        times = Counter(event.fields["trial"] for event in events if event.kind == kind)
        for number, count in times.items():
            if count > 1:
                yield f"trial {number}: the ledger has it {done} {count} times."
    found, wanted = len(searched(trials)), num_wanted(job, events)
    if found > wanted:
        yield f"{wanted} configurations were asked for; the ledger has {found}."


def _of_result(run: Storage, trial: Trial) -> Iterator[str]:
    result = read_result(run.child(trial.folder))
    if trial.fate is not Fate.FINISHED:
        return
    if result is None:
        yield f"trial {trial.number}: it is said to have finished, and has no result.json."
        return
    value = result["metrics"][VALIDATION][result["chosen_by"]]
    if value != trial.value:
        yield f"trial {trial.number}: the ledger has {trial.value}, result.json {value}."


def _of_winner(run: Storage, trials: Sequence[Trial]) -> Iterator[str]:
    """Once the sweep is done."""
    result = read_result(run)
    if result is None:
        return
    if left := [trial.number for trial in trials if not trial.is_over]:
        yield f"result.json is there, and trials are open: {', '.join(map(str, left))}."
    if not any(trial.number == result["winner"] for trial in trials):
        yield f"The winner, trial {result['winner']}, is not in the ledger."
    if not run.exists(f"{layout.EXPORT}/{layout.EXPORTED}"):
        yield "The winner's model is not whole: there is no lineage in its directory."
