"""checkpoints: what a run can go on from, why each is kept, and whether all of it is whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.text import Text

from orchestrator.api import Run
from orchestrator.cli.given import Json, RunName, Storage, find
from orchestrator.cli.screen import ago, console, footer, lead, show_json, table
from orchestrator.runs.checkpoints import Checkpoint, Keep, State
from orchestrator.runs.checkpoints.keep import kept_because
from orchestrator.runs.checkpoints.verify import Tell
from orchestrator.settings.build import to_plain
from orchestrator.settings.units import format_bytes

app = typer.Typer()
_COLOURS = {State.WHOLE: "green", State.TORN: "bold red", State.QUARANTINED: "yellow"}


@app.command()
def checkpoints(
    run: RunName,
    storage: Storage = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every byte; exits with 1 when one is torn.")
    ] = False,
    as_json: Json = False,
) -> int:
    """A run's checkpoints: step, size, validation loss, and why each is kept."""
    found = find(run, storage)
    with _bar(found, verify) as tell:
        shown = found.checkpoints(verify=verify, tell=tell)
    reasons = _reasons(found, shown)
    code = int(verify and any(each.state is State.TORN for each in shown))
    if as_json:
        plain = [_plain(each, reasons) for each in shown]
        show_json("checkpoints", run=found.id, is_verified=verify, checkpoints=plain)
        return code
    if not shown:
        console.print(f"{found.id} has no checkpoints.")
        return code
    _draw(shown, reasons)
    for each in shown:
        for problem in each.problems:
            lead("torn", f" {each.path}: {problem}", style="bold red")
    if not verify:
        footer(f"orchestrator checkpoints {found.id} --verify")
    return code


def _draw(shown: list[Checkpoint], reasons: dict[int, list[str]]) -> None:
    rows = table("step", "state", "age", "attempt", "world", "size", "validation loss", "kept as")
    for each in shown:
        commit = each.commit
        loss = commit.validation_loss if commit else None
        rows.add_row(
            f"{each.step:,}",
            Text(each.state, style=_COLOURS.get(each.state, "")),
            ago(each.time),
            str(commit.attempt) if commit else "",
            str(commit.world) if commit else "",
            format_bytes(each.size_bytes),
            "" if loss is None else f"{loss:.4f}",
            ", ".join(_why(each, reasons)),
        )
    console.print(rows)


def _plain(each: Checkpoint, reasons: dict[int, list[str]]) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(each)
    return plain | {"kept_because": _why(each, reasons)}


def _why(each: Checkpoint, reasons: dict[int, list[str]]) -> list[str]:
    return reasons.get(each.step, []) if each.commit else []


def _reasons(run: Run, shown: list[Checkpoint]) -> dict[int, list[str]]:
    """By the settings of the run, when they speak of checkpoints."""
    settings = getattr(run.job(), "checkpoint", None)
    if settings is None:
        return {}
    losses = {each.step: each.commit.validation_loss for each in shown if each.commit}
    return kept_because(losses, Keep.of(settings))


@contextmanager
def _bar(run: Run, verify: bool) -> Iterator[Tell]:
    """On a terminal only; begins anew for each checkpoint."""
    with Progress(disable=not (verify and sys.stdout.isatty()), transient=True) as progress:
        task = progress.add_task(f"verifying {run.id}")
        yield lambda done, total: progress.update(task, completed=done, total=total)
