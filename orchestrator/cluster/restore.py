"""Where an attempt goes on: the newest whole checkpoint of a run, or of a run inside of it. The
first attempt of a fork takes over its parent's.
"""

from __future__ import annotations

from typing import Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.fork import take_over
from orchestrator.runs.steps import last_step
from orchestrator.runs.storage import Storage, open_storage
from orchestrator.tracking.metrics import read_metrics

_FORKED = "forked"


def restore_point(attempt: Attempt, run: Storage) -> Commit | None:
    """The newest whole checkpoint; never a silent start from step 0 (law 9)."""

    def note(kind: str, **fields: Any) -> None:
        attempt.ledger.record(kind, **fields)
        if "message" in fields:
            print(fields["message"], flush=True)

    def tell(done: int, total: int) -> None:
        attempt.progress.show("looking at checkpoints", done, total, "bytes")

    parent = None
    if run.uri == attempt.run.uri:
        parent = _taken_over(attempt)
    commit = Checkpoints(run).restore_point(note, tell)
    if commit is not None:
        lost = max(0, last_step(run) - commit.step)
        note("resumed", step=commit.step, from_attempt=commit.attempt, steps_lost=lost)
        again = f"; {lost} steps are made again" if lost else ""
        whose = parent or f"attempt {commit.attempt}"
        print(f"Going on from step {commit.step} of {whose}{again}.", flush=True)
    elif lost := last_step(run):
        told = f"No attempt before committed a checkpoint: {lost} steps are made again from step 0."
        note("begun_again", steps_lost=lost, message=told)
    return commit


def _taken_over(attempt: Attempt) -> str | None:
    """The parent, where this attempt is the one that takes over."""
    run = attempt.run
    parent = run.lineage().get("parent") or {}
    step = parent.get("forked_at")
    if not step or any(event.kind == _FORKED for event in run.events()):
        return None

    def tell(done: int, total: int) -> None:
        attempt.progress.show(f"copying the checkpoint of {parent['run']}", done, total, "bytes")

    if step not in Checkpoints(run.storage).steps():
        source = open_storage(parent["uri"])
        take_over(source, run.storage, step, read_metrics(source), tell)
    attempt.ledger.record(_FORKED, parent=parent["run"], step=step)
    return str(parent["run"])
