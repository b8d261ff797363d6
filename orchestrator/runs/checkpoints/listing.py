"""What `checkpoints RUN` shows: every checkpoint of a run, whatever became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.errors import NotFoundError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints.commit import Commit, ForeignSchema, Torn
from orchestrator.runs.checkpoints.restore import folders
from orchestrator.runs.checkpoints.verify import Tell, find_problems, read_commit
from orchestrator.runs.storage import Storage


class State(StrEnum):
    UNCOMMITTED = "uncommitted"  # being written, or left by an attempt that died
    COMMITTED = "committed"  # whole as far as COMMIT says
    WHOLE = "whole"  # every byte was looked at
    TORN = "torn"
    QUARANTINED = "quarantined"  # torn, passed over and put aside


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    step: int
    state: State
    path: str  # below the run
    size_bytes: int
    time: float  # when it was committed, else last written to; seconds since the epoch
    commit: Commit | None = None
    problems: tuple[str, ...] = ()


def describe(run: Storage, step: int, *, verify: bool, tell: Tell) -> Checkpoint:
    path = layout.checkpoint(step)
    try:
        commit = read_commit(run, step)
    except NotFoundError:
        return _without_commit(run, step, path, State.UNCOMMITTED)
    except (Torn, ForeignSchema) as err:
        problem = f"{layout.COMMIT} {err.message}"
        return _without_commit(run, step, path, State.TORN, problem)
    problems = find_problems(run, commit, tell) if verify else []
    verified = State.TORN if problems else State.WHOLE
    return Checkpoint(
        step=step,
        state=verified if verify else State.COMMITTED,
        path=path,
        size_bytes=commit.size_bytes,
        time=commit.time,
        commit=commit,
        problems=tuple(problems),
    )


def describe_all(run: Storage, *, verify: bool, tell: Tell) -> list[Checkpoint]:
    there = [describe(run, step, verify=verify, tell=tell) for step in folders(run)]
    return there + [
        _without_commit(run, step, f"{layout.QUARANTINE}/{entry.name}", State.QUARANTINED)
        for entry in run.list(layout.QUARANTINE)
        if (step := layout.quarantined_step(entry.name)) is not None
    ]


def _without_commit(run: Storage, step: int, path: str, state: State, *problems: str) -> Checkpoint:
    files = run.list(path)
    return Checkpoint(
        step=step,
        state=state,
        path=path,
        size_bytes=sum(entry.size_bytes for entry in files if not entry.is_dir),
        time=max((entry.modified for entry in files), default=0.0),
        problems=problems,
    )
