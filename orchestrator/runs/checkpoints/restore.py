"""The checkpoint to go on from: the newest whole one. What is torn or gone is said, not skipped.

First everything is looked at, then decided, then moved: where none is whole, nothing is touched, so
that it can still be mended. The ledger knows of checkpoints whose folders are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints.commit import Commit, ForeignSchema, Torn
from orchestrator.runs.checkpoints.verify import Tell, find_problems, read_commit, silent
from orchestrator.runs.ledger import Event, read_events
from orchestrator.runs.storage import Storage

COMMITTED = "checkpoint_committed"
QUARANTINED = "checkpoint_quarantined"
MISSING = "checkpoint_missing"
REMOVED = "checkpoint_leftovers_removed"
_SHOWN = 3


class Note(Protocol):
    def __call__(self, kind: str, **fields: Any) -> object: ...


@dataclass(kw_only=True)
class Found:
    """What was seen, from the newest step down to the first whole one."""

    whole: Commit | None = None
    torn: dict[int, list[str]] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)  # the ledger says that they were committed
    leftover: list[int] = field(default_factory=list)  # never committed, or half removed


def restore_point(run: Storage, note: Note, tell: Tell = silent) -> Commit | None:
    """None only when the run never committed any."""
    found = look(run, tell)
    if found.whole is None and (found.torn or found.missing):
        raise RequestError(
            "\n".join([f"{run.uri} has no whole checkpoint to go on from:", *_reasons(found)]),
            hint="Put back what is named, from a copy, and resume; or begin again with a new run. "
            "Nothing was moved or removed.",
        )
    if found.whole is not None:
        for step in sorted(found.missing, reverse=True):
            note(MISSING, **_said(step, found.whole, "is missing, which the ledger says was made"))
        for step, problems in found.torn.items():
            went_to = quarantine(run, step)
            said = _said(step, found.whole, f"is torn ({_listed(problems)})")
            note(QUARANTINED, **said, problems=problems, went_to=went_to)
    for step in found.leftover:
        run.remove(layout.checkpoint(step))
    if found.leftover:
        steps = ", ".join(map(str, sorted(found.leftover)))
        message = f"What was left of uncommitted checkpoints is removed: step {steps}."
        note(REMOVED, steps=sorted(found.leftover), message=message)
    return found.whole


def look(run: Storage, tell: Tell = silent) -> Found:
    """Verifies committed ones, newest first, until one is whole."""
    found, named, there = Found(), committed_steps(read_events(run)), folders(run)
    for step in reversed(there):
        is_committed = run.exists(f"{layout.checkpoint(step)}/{layout.COMMIT}")
        if not is_committed and (found.whole is not None or step not in named):
            found.leftover.append(step)
        elif found.whole is None:
            commit, problems = _verified(run, step, tell)
            if problems:
                found.torn[step] = problems
            else:
                found.whole = commit
    newest = found.whole.step if found.whole else -1
    found.missing = [step for step in sorted(named) if step not in there and step > newest]
    return found


def _verified(run: Storage, step: int, tell: Tell) -> tuple[Commit | None, list[str]]:
    try:
        commit = read_commit(run, step)
        return commit, find_problems(run, commit, tell)
    except NotFoundError:
        return None, [f"{layout.COMMIT} is missing"]
    except Torn as err:
        return None, [f"{layout.COMMIT} {err.message}"]
    except ForeignSchema as err:  # not damaged: to pass it over would throw work away
        where = f"{layout.checkpoint(step)}/{layout.COMMIT} of {run.uri}"
        raise RequestError(f"{where} {err.message}.", hint=err.hint) from err


def committed_steps(events: Iterable[Event]) -> set[int]:
    """What the ledger says was made, and not found torn or missing since.

    By attempts, not by time: they may have run on machines with different clocks. An attempt looks
    for its checkpoint before it makes others.
    """
    steps: set[int] = set()
    for event in sorted(events, key=lambda event: (event.attempt, event.kind == COMMITTED)):
        step = event.fields.get("step")
        if not isinstance(step, int):
            continue
        if event.kind == COMMITTED:
            steps.add(step)
        elif event.kind in (QUARANTINED, MISSING):
            steps.discard(step)
    return steps


def folders(run: Storage) -> list[int]:
    """Steps that have a folder, committed or not, oldest first."""
    names = [entry.name for entry in run.list(layout.CHECKPOINTS) if entry.is_dir]
    steps = [layout.checkpoint_step(name) for name in names]
    return sorted(step for step in steps if step is not None)


def quarantine(run: Storage, step: int) -> str:
    """Where it is now. Where this ends halfway, the rest is as torn as it was and follows later."""
    source = layout.checkpoint(step)
    number = 1
    while run.list(target := layout.quarantined(step, number)):
        number += 1
    for entry in run.list(source):
        run.move(f"{source}/{entry.name}", f"{target}/{entry.name}")
    run.remove(source)
    return target


def _said(step: int, whole: Commit, what: str) -> dict[str, Any]:
    back = step - whole.step
    return {
        "step": step,
        "goes_on_from": whole.step,
        "steps_repeated": back,
        "message": f"{layout.checkpoint(step)} {what}. Resuming from step {whole.step} instead; "
        f"{back:,} steps will be repeated.",
    }


def _reasons(found: Found) -> list[str]:
    reasons = {step: f"is torn ({_listed(each)})" for step, each in found.torn.items()}
    reasons |= {step: "is missing, which the ledger says was made" for step in found.missing}
    return [f"  {layout.checkpoint(step)} {reasons[step]}" for step in sorted(reasons)]


def _listed(problems: list[str]) -> str:
    more = len(problems) - _SHOWN
    return "; ".join(problems[:_SHOWN] + ([f"and {more} more"] if more > 0 else []))
