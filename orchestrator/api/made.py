"""What the steps of a pipeline came to: a table of them, and the commands to try next.

The pipeline's body prints it at its end; `orchestrator status` shows the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.api.steps import steps_of
from orchestrator.corpus.shards.manifest import read_manifest
from orchestrator.errors import OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import open_storage
from orchestrator.settings.pipeline import PipelineJob
from orchestrator.settings.units import format_count, format_duration

HEAD = ("step", "run", "state", "took", "figure", "made")
_ENDS = ("finished", "failed", "stopped", "recovering")


@dataclass(frozen=True, kw_only=True)
class Row:
    step: str
    run: str
    state: str
    took_s: float | None = None
    figure: str = ""
    made: str = ""  # where what it made lies


def rows_of(pipeline: RunFolder, job: PipelineJob, ends: Mapping[str, str] = {}) -> list[Row]:
    """`ends` is what the pipeline itself knows: a step that was skipped is no run."""
    rows = []
    for name, folder in steps_of(pipeline, job).items():
        if not folder.exists():
            rows.append(Row(step=name, run="", state=ends.get(name, "not started")))
            continue
        state = folder.status().state
        figure, made = _came_to(folder) if state == "finished" else ("", folder.uri)
        row = Row(
            step=name,
            run=folder.id,
            state=ends.get(name, str(state)),
            took_s=took_of(folder),
            figure=figure,
            made=made,
        )
        rows.append(row)
    return rows


def picture(pipeline: RunFolder, job: PipelineJob, ends: Mapping[str, str] = {}) -> str:
    """The table as text."""
    return aligned([HEAD, *(cells(row) for row in rows_of(pipeline, job, ends))])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def next_commands(pipeline: RunFolder, job: PipelineJob) -> list[str]:
    """Three to try with what was made: the last things first."""
    is_suite = any(member.values for member in job.members.values())
    commands = [f"orchestrator status {pipeline.id.rpartition('-')[2]}"] if is_suite else []
    for row in reversed(rows_of(pipeline, job)):
        part = row.run.rpartition("-")[2]
        command = {
            "prepare": f"orchestrator corpus show {row.made}",
            "pretrain": f"orchestrator audit {part}",
            "finetune": f"orchestrator ask {part} 'a text of yours'",
            "sweep": f"orchestrator sweep status {part}",
            "export": f"orchestrator run finetune encoder={part} task=factbook_sections",
        }.get(job.members[row.step].step.job)
        if command and row.state == "finished":
            commands.append(command)
    return [*commands[:2], "orchestrator dashboard"]


def took_of(folder: RunFolder) -> float | None:
    """All its attempts together, without what lay between them."""
    begins: dict[int, float] = {}
    ends: dict[int, float] = {}
    for event in folder.events():
        if event.kind == "attempt_started":
            begins[event.attempt] = event.time
        elif event.kind in _ENDS:
            ends[event.attempt] = event.time
    if not begins:
        return None
    status = folder.status()  # the newest may go on, or have ended without a word
    ends.setdefault(max(begins), (status.ended if status.state.is_over else None) or time.time())
    return sum(ends.get(number, begin) - begin for number, begin in begins.items())


def cells(row: Row) -> tuple[str, ...]:
    took = "" if row.took_s is None else format_duration(row.took_s)
    return (row.step, row.run, row.state, took, row.figure, row.made)


def _came_to(folder: RunFolder) -> tuple[str, str]:
    """A finished run's main figure, and where what it made lies; what cannot be read is empty."""
    said = {event.kind: event for event in folder.events()}
    try:
        if "prepared" in said:
            uri = str(said["prepared"].fields["corpus"])
            return _tokens(uri), uri
        if (result := read_result(folder.storage)) is not None:
            is_model = folder.storage.exists(f"{layout.EXPORT}/{layout.EXPORTED}")
            return _score(result), folder.storage.uri_of(layout.EXPORT) if is_model else folder.uri
        if "exported" in said:
            return _exported(said["exported"]), str(said["exported"].fields["directory"])
        return _loss(folder), folder.uri
    except (OrchestratorError, KeyError, ValueError):
        return "", folder.uri


def _tokens(uri: str) -> str:
    splits = read_manifest(open_storage(uri)).splits
    return f"{format_count(sum(split.statistics.tokens for split in splits.values()))} tokens"


def _score(result: dict[str, Any]) -> str:
    name = result["chosen_by"]
    split, values = list(result["metrics"].items())[-1]
    return f"{split} {name} {values[name]:.4f}"


def _exported(event: Event) -> str:
    return f"step {event.fields['step']}"


def _loss(folder: RunFolder) -> str:
    checkpoints = Checkpoints(folder.storage)
    steps = checkpoints.steps()
    loss = checkpoints.read(steps[-1]).validation_loss if steps else None
    return "" if loss is None else f"validation loss {loss:.3f}"
