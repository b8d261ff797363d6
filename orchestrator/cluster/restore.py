"""Where an attempt goes on: the newest whole checkpoint of a run, or of a run inside of it."""

from __future__ import annotations

from typing import Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.steps import last_step
from orchestrator.runs.storage import Storage


def restore_point(attempt: Attempt, run: Storage) -> Commit | None:
    """The newest whole checkpoint; never a silent start from step 0 (law 9)."""

    def note(kind: str, **fields: Any) -> None:
        attempt.ledger.record(kind, **fields)
        if "message" in fields:
            print(fields["message"], flush=True)

    def tell(done: int, total: int) -> None:
        attempt.progress.show("looking at checkpoints", done, total, "bytes")

    commit = Checkpoints(run).restore_point(note, tell)
    if commit is not None:
        lost = max(0, last_step(run) - commit.step)
        note("resumed", step=commit.step, from_attempt=commit.attempt, steps_lost=lost)
        again = f"; {lost} steps are made again" if lost else ""
        print(f"Going on from step {commit.step} of attempt {commit.attempt}{again}.", flush=True)
    elif lost := last_step(run):
        told = f"No attempt before committed a checkpoint: {lost} steps are made again from step 0."
        note("begun_again", steps_lost=lost, message=told)
    return commit
