"""The proof that a fine-tune trained on its examples in their order: of each of its seeds.

The order is keyed, so what a step was fed follows from the settings and from how many examples
there are; the records of steps, the checkpoints and the result must agree with that. `audit.py`
asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.corpus.arrays import Int64s
from orchestrator.corpus.packs.audit import Audit, audit_walk
from orchestrator.corpus.packs.stream import Cursor
from orchestrator.corpus.packs.window import Fed
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.planning.audited import (
    RunAudit,
    Tell,
    tokens_problems,
    witnesses_of,
    worlds_of,
)
from orchestrator.planning.records import Records, Witness
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.tasks.prepared import PREPARED, open_prepared
from orchestrator.tasks.read import fingerprint_of
from orchestrator.training.batches import Batches

_UNIT = "examples"


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What was trained by itself: a run, one of its seeds, a trial of a sweep."""

    name: str  # in what is wrong; empty: the run itself
    job: FinetuneJob
    folder: Storage
    events: Sequence[Event]  # that tell of its checkpoints


@dataclass(frozen=True, kw_only=True)
class _Audited:
    audit: Audit | None
    attempts: tuple[int, ...]
    witnesses: list[Witness]
    lost: int
    problems: list[str]


class ExampleWalk:
    """Through the keyed order of a task's examples."""

    unit = _UNIT

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def due(self, begin: Cursor) -> int:
        """Examples of the step that begins there: an epoch's last one has what is left."""
        left = self._batches.num_examples - begin.pack
        return max(0, min(self._batches.batch.examples, left))

    def take(self, begin: Cursor, count: int) -> tuple[Fed, Cursor]:
        batches = self._batches
        if begin.window or not 0 <= begin.pack < batches.num_examples:
            raise RequestError(f"There are {batches.num_examples:,} examples in an epoch.")
        packs, end = batches.step(begin)
        fed = Fed(
            num_samples=sum(len(pack) for pack in packs),
            num_tokens=sum(int(batches.tokens_E[pack].sum()) for pack in packs),
            hash=sum(batches.fed_hash(begin.epoch, pack) for pack in packs) % 2**64,
        )
        return fed, end


def audit_task(run: RunFolder, job: FinetuneJob, tell: Tell) -> RunAudit:
    events = run.events()
    audited = audit_lessons(run, events, list(_seeds(run, job, events)), tell)
    problems = list(audited.problems)
    if read_result(run.storage) is not None and audited.lessons < job.num_seeds:
        problems.append(f"{job.num_seeds} seeds are said to be done; {audited.lessons} have steps.")
    return replace(audited, problems=tuple(problems), lesson="seeds")


def audit_lessons(
    run: RunFolder, events: Sequence[Event], lessons: Sequence[Lesson], tell: Tell
) -> RunAudit:
    """Of all that have made a step, one after the other. `events` are of the run."""
    tokens_E, data, problems = _examples(run, events)
    found = []
    for lesson in lessons:
        batches = Batches(tokens_E=tokens_E, batch=lesson.job.batch, seed=lesson.job.seed)
        audited = _audit(lesson, batches, tell)
        if audited is None:
            continue
        found.append(audited)
        where = f"{lesson.name}: " if lesson.name else ""
        problems += [f"{where}{problem}" for problem in audited.problems]
    if not found:
        raise RequestError(f"{run.id} has trained no step yet: there is nothing to audit.")
    attempts = sorted({attempt for one in found for attempt in one.attempts})
    newest = [one.witnesses[-1].step for one in found if one.witnesses]
    return RunAudit(
        audit=_summed([one.audit for one in found if one.audit]),
        attempts=len(attempts),
        worlds=worlds_of(run, tuple(attempts)),
        lost_packs=sum(one.lost for one in found),
        checkpoint_step=newest[-1] if newest else None,
        data=data,
        problems=tuple(problems),
        unit=_UNIT,
        lessons=len(found),
    )


def _seeds(run: RunFolder, job: FinetuneJob, events: Sequence[Event]) -> Iterator[Lesson]:
    for number in range(job.num_seeds):
        is_one = job.num_seeds == 1
        name = None if is_one else layout.trial(number)
        yield Lesson(
            name="" if is_one else f"seed {job.seed + number}",
            job=replace(job, seed=job.seed + number),
            folder=run.storage if name is None else run.storage.child(name),
            events=[event for event in events if event.fields.get("inside") == name],
        )


def _examples(run: RunFolder, events: Sequence[Event]) -> tuple[Int64s, str, list[str]]:
    """Tokens of each; zeros where they are not those that the run says it read."""
    said = [event.fields for event in events if event.kind == PREPARED]
    if not said:
        raise RequestError(f"{run.id} has read no examples yet: there is nothing to audit.")
    file, fingerprint = str(said[-1]["file"]), str(said[-1]["fingerprint"])
    uri = run.parent.uri_of(file)
    problems = []
    if others := {str(fields["file"]) for fields in said} - {file}:
        problems.append(f"Attempts read other examples: {', '.join([*sorted(others), file])}.")
    try:
        training = open_prepared(run.parent, file).training
    except OrchestratorError as err:
        problems.append(err.message)
    else:
        found = fingerprint_of(training.examples)
        if found == fingerprint:
            return training.features.tokens_E, uri, problems
        problems.append(f"{uri} holds examples {found}; the run read {fingerprint}.")
    return np.zeros(int(said[-1]["examples"]), np.int64), uri, problems


def _audit(lesson: Lesson, batches: Batches, tell: Tell) -> _Audited | None:
    witnesses, problems = witnesses_of(lesson.folder, lesson.events)
    walk = ExampleWalk(batches)
    records = Records(lesson.folder, walk.due, unit=_UNIT)
    if not records.attempts and not witnesses:
        return None
    audit = audit_walk(
        walk, records.read, tell=lambda steps: tell("steps", steps, records.last_step)
    )
    problems += [*records.problems(), *audit.problems, *records.compare(witnesses)]
    newest = witnesses[-1] if witnesses else None
    is_known = bool(batches.tokens_E.any())
    if newest is not None and newest.step == audit.steps and is_known and not problems:
        problems += tokens_problems(audit, newest)
    result = read_result(lesson.folder)
    if result is not None and "best_seed" not in result and result["steps"] != audit.steps:
        problems.append(f"result.json tells of {result['steps']} steps; {audit.steps} count.")
    return _Audited(
        audit=audit,
        attempts=records.attempts,
        witnesses=witnesses,
        lost=records.lost_packs(witnesses),
        problems=problems,
    )


def _summed(audits: list[Audit]) -> Audit:
    return Audit(
        steps=sum(one.steps for one in audits),
        samples=sum(one.samples for one in audits),
        tokens=sum(one.tokens for one in audits),
        repeated_steps=sum(one.repeated_steps for one in audits),
        repeated_samples=sum(one.repeated_samples for one in audits),
        problems=tuple(problem for one in audits for problem in one.problems),
    )
