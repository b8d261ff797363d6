"""What a fork takes over from its parent: a checkpoint, and the records of all steps up to it.

After that it is complete by itself, whatever becomes of the parent: it is resumed, audited and
drawn as if it had made these steps, which its attempt 0 has. COMMIT comes last. Who was killed in
between does it all again, and writes the same files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchestrator.errors import NotFoundError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.copying import copy_file
from orchestrator.runs.segments import SegmentName
from orchestrator.runs.steps import read_steps
from orchestrator.runs.storage import Storage

Tell = Callable[[int, int], None]
Line = dict[str, Any]

_ATTEMPT = 0  # those that are the fork's own begin with 1
_LINES_A_FILE = 100_000


def take_over(
    parent: Storage, fork: Storage, step: int, metrics: list[Line], tell: Tell | None = None
) -> None:
    """`metrics` are the parent's, ordered by attempt and step."""
    committed = Checkpoints(parent).steps()
    if step not in committed:
        raise NotFoundError(
            f"{parent.uri} has no checkpoint of step {step} any more, with which the fork begins.",
            hint="Fork from another one: orchestrator checkpoints RUN has those that are there.",
        )
    steps = (line for line in read_steps(parent) if "damaged" not in line)
    _write(fork, layout.STEPS, "rank-000", _counting(list(steps), step))
    _write(fork, layout.METRICS, "rank-000", _counting(metrics, step))
    standing = Checkpoints(parent).read(step).facts.get("standing") or {}
    best = standing.get("best_step")  # to which it goes back in the end, if none is better
    for each in committed:
        if each in (step, best):
            copy_checkpoint(parent, fork, each, tell)


def copy_checkpoint(source: Storage, target: Storage, step: int, tell: Tell | None = None) -> None:
    """COMMIT comes last. What was derived from it is derived again where it is needed."""
    folder = layout.checkpoint(step)
    files = [entry for entry in source.list(folder) if not entry.is_dir]
    files.sort(key=lambda entry: entry.name == layout.COMMIT)
    done, total = 0, sum(entry.size_bytes for entry in files)

    def told(size: int) -> None:
        nonlocal done
        done += size
        if tell is not None:
            tell(done, total)

    for entry in files:
        copy_file(source, target, f"{folder}/{entry.name}", told)


def _counting(lines: list[Line], last: int) -> list[Line]:
    """Of each step up to the last the lines of the newest attempt that made it."""
    newest: dict[int, int] = {}
    for line in lines:
        newest[line["step"]] = max(newest.get(line["step"], 0), line["attempt"])
    return [
        line for line in lines if line["step"] <= last and line["attempt"] == newest[line["step"]]
    ]


def _write(run: Storage, folder: str, writer: str, lines: list[Line]) -> None:
    ordered = sorted(lines, key=lambda line: int(line["step"]))
    name = SegmentName(attempt=_ATTEMPT, writer=writer, segment=1)
    for number, at in enumerate(range(0, len(ordered), _LINES_A_FILE), 1):
        part = ordered[at : at + _LINES_A_FILE]
        text = "".join(f"{json.dumps(line | {'attempt': _ATTEMPT})}\n" for line in part)
        run.write(f"{folder}/{replace(name, segment=number)}", text.encode())
