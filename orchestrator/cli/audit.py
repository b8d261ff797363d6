"""audit: was all that a run trains on fed once, over all attempts and numbers of workers?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from orchestrator.api import Run
from orchestrator.cli.given import Json, RunName, Storage, find
from orchestrator.cli.screen import console, footer, show_json, table
from orchestrator.planning.audited import RunAudit, Tell
from orchestrator.settings.build import to_plain

app = typer.Typer()


@app.command()
def audit(run: RunName, storage: Storage = None, as_json: Json = False) -> int:
    """Prove from a run's records that it trained on its stream, without a gap or an overlap.

    Every byte of the corpus is read against its checksum, the stream is made again and each step's
    record held against it, and checkpoints must stand where records end. Exits with 1 if any of it
    does not agree.
    """
    found = find(run, storage)
    with _bar(found, quiet=as_json) as tell:
        audited = found.audit(tell)
    if as_json:
        plain = to_plain(audited)
        show_json("audit", run=found.id, is_clean=audited.is_clean, **plain)
    else:
        _draw(found, audited)
    return 0 if audited.is_clean else 1


def _draw(run: Run, audited: RunAudit) -> None:
    rows = table("", "")
    counted = audited.audit
    worlds = ", ".join(map(str, audited.worlds))
    of_workers = f", on {worlds} worker{'s' * (worlds != '1')}" if worlds else ""
    if counted is not None:
        attempts = f"{audited.attempts} attempt{'s' * (audited.attempts != 1)}"
        rows.add_row("steps", f"{counted.steps:,} in {attempts}{of_workers}")
        rows.add_row("samples seen", f"{counted.samples:,} ({counted.tokens:,} tokens)")
        repeated = f"{counted.repeated_samples:,} in {counted.repeated_steps:,} steps"
        rows.add_row("repeated after rollbacks", repeated)
        lost = f"{audited.lost_packs:,} {audited.unit}" if audited.lost_packs else "0"
        rows.add_row("lost", lost)
    rows.add_row("trained on", audited.data)
    if audited.lessons > 1:
        rows.add_row(audited.lesson, f"{audited.lessons}, each by itself")
    if audited.checkpoint_step is not None:
        rows.add_row("newest checkpoint", f"step {audited.checkpoint_step}")
    console.print(rows)
    for problem in audited.problems:
        console.print(Text.assemble(("wrong: ", "bold red"), problem), soft_wrap=True)
    if audited.is_clean:
        said = "clean: the steps that count tile the stream, and checkpoints agree with them."
        console.print(Text(said, style="green"))
    else:
        footer(f"orchestrator events {run.id}", f"orchestrator checkpoints {run.id} --verify")


@contextmanager
def _bar(run: Run, *, quiet: bool) -> Iterator[Tell]:
    """On a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(compact=True))
    is_shown = sys.stdout.isatty() and not quiet
    with Progress(*columns, disable=not is_shown, transient=True) as progress:
        task, shown = progress.add_task(run.id), ""

        def tell(stage: str, done: float, total: float) -> None:
            nonlocal shown
            if stage != shown:
                shown = stage
                progress.reset(task, description=f"{run.id}  {stage}", total=total)
            progress.update(task, completed=done, total=total)

        yield tell


@app.callback()
def _several() -> None:
    """A group, like every module of verbs."""
