"""Where starting weights come from: what `encoder=` names, a run or a directory of Hugging Face's.

`planning` finds it and freezes it as a full id with a step, so that every attempt and every node
means the same; the bodies of jobs find it again by that. RUN@best, RUN@last and RUN@STEP choose a
checkpoint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs import ids, layout
from orchestrator.runs.archive import Archive
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.checkpoints.commit import ForeignSchema, Torn
from orchestrator.runs.find import open_run
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.storage import Storage, open_storage

LAST, BEST = "last", "best"
CHOICE = rf"{LAST}|{BEST}|\d+"
_LEAVE_A_DIRECTORY = ("export", "finetune", "sweep")  # kinds of runs
_CHOSEN = re.compile(rf"(.+)@({CHOICE})")


def has_choice(text: str) -> bool:
    """Whether it says which checkpoint."""
    return _CHOSEN.fullmatch(text) is not None


class Kind(StrEnum):
    DIRECTORY = "directory"
    EXPORT = "export"  # a run that has a directory
    CHECKPOINT = "checkpoint"  # of a run, from which a directory is made


@dataclass(frozen=True, kw_only=True)
class Origin:
    kind: Kind
    frozen: str  # how job.yaml says it
    uri: str  # of the directory, where there is one, else of the run
    run: RunFolder | None = None
    step: int | None = None

    def facts(self) -> dict[str, Any]:
        """For lineage.json."""
        plain: dict[str, Any] = {"kind": self.kind.value, "uri": self.uri}
        if self.run is not None:
            plain |= {"run": self.run.id}
        return plain | ({} if self.step is None else {"checkpoint_step": self.step})


def find_origin(text: str, runs: Storage) -> Origin:
    """`runs` is the storage in which runs are looked for by parts of their ids."""
    is_folder = "://" not in text and Path(text).is_dir()
    chosen = None if is_folder else _CHOSEN.fullmatch(text)
    place, choice = (chosen[1], chosen[2]) if chosen else (text, None)
    if "/" not in place:
        return _of_run(text, _find_run(place, runs), choice, runs)
    storage = open_storage(place)
    if storage.exists(layout.JOB):
        return _of_run(text, open_run(place), choice, runs)
    if not storage.list():
        raise NotFoundError(
            f"encoder={text}: there is no such directory.",
            hint="Name a directory as transformers' save_pretrained writes it, or a run by any "
            "part of its id.",
        )
    if choice is not None:
        raise RequestError(f"encoder={text}: {place} is a directory and has no checkpoints.")
    return Origin(kind=Kind.DIRECTORY, frozen=text, uri=storage.uri)


def _find_run(part: str, runs: Storage) -> RunFolder:
    run = RunFolder(runs, part)
    return run if ids.is_id(part) and run.exists() else Archive(runs).find(part)


def _of_run(text: str, run: RunFolder, choice: str | None, runs: Storage) -> Origin:
    name = run.id if run.parent.uri == runs.uri else run.uri
    kind = run.job().kind
    if kind in _LEAVE_A_DIRECTORY:
        if choice is not None:
            raise RequestError(
                f"encoder={text}: what is taken of {run.id}, of kind {kind}, is its directory; "
                "its checkpoints are no encoders."
            )
        if not run.storage.exists(f"{layout.EXPORT}/{layout.EXPORTED}"):
            raise NotFoundError(
                f"encoder={text}: {run.id} has left no model yet.",
                hint=f"orchestrator status {run.id}",
            )
        uri = run.storage.uri_of(layout.EXPORT)
        return Origin(kind=Kind.EXPORT, frozen=name, uri=uri, run=run)
    if kind != "pretrain":
        raise RequestError(
            f"encoder={text}: {run.id} is of kind {kind}, which makes no encoder; weights come "
            f"from a run of kind pretrain, {', '.join(_LEAVE_A_DIRECTORY)}.",
            hint="orchestrator list shows the kinds.",
        )
    step = choose_step(run, choice)
    return Origin(kind=Kind.CHECKPOINT, frozen=f"{name}@{step}", uri=run.uri, run=run, step=step)


def choose_step(run: RunFolder, choice: str | None) -> int:
    """The newest unless another is asked for; what cannot be read is passed over by `best` only."""
    checkpoints = Checkpoints(run.storage)
    steps = checkpoints.steps()
    if not steps:
        raise NotFoundError(
            f"{run.id} has no checkpoint, and so no weights yet.",
            hint=f"One is made when it stops or ends: orchestrator status {run.id}",
        )
    if choice == BEST:
        return _best(run, checkpoints, steps)
    step = steps[-1] if choice in (None, LAST) else int(str(choice))
    if step not in steps:
        known = ", ".join(map(str, steps))
        raise NotFoundError(
            f"{run.id} has no checkpoint of step {step}; it has {known}.",
            hint=f"encoder={run.id}@{min(steps, key=lambda there: abs(there - step))}",
        )
    read_whole(run, step)
    return step


def read_whole(run: RunFolder, step: int, problems: list[str] | None = None) -> Commit:
    """RequestError where it is torn, with what else is there to start from."""
    checkpoints = Checkpoints(run.storage)
    found = problems or []
    try:
        commit = checkpoints.read(step)
    except (Torn, ForeignSchema) as err:
        found = [f"{layout.COMMIT} {err.message}"]
    if not found:
        return commit
    others = [other for other in checkpoints.steps() if other != step]
    hint = f"Take another: encoder={run.id}@{others[-1]}" if others else "It has no other one."
    raise RequestError(
        f"{layout.checkpoint(step)} of {run.id} is torn ({'; '.join(found[:3])}).", hint=hint
    )


def _best(run: RunFolder, checkpoints: Checkpoints, steps: list[int]) -> int:
    losses = []
    for step in steps:
        try:
            loss = checkpoints.read(step).validation_loss
        except (Torn, ForeignSchema):
            continue
        if loss is not None:
            losses.append((loss, step))
    if not losses:
        raise NotFoundError(
            f"No checkpoint of {run.id} knows its validation loss, so none is the best.",
            hint=f"encoder={run.id}@{steps[-1]} is the newest.",
        )
    return min(losses)[1]
