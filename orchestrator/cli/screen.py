"""How answers look: tables and footers for people, one JSON document for programs."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.runs.state import State, Status
from orchestrator.settings.units import format_duration

# A pipe or a file has no width to wrap at. What is said of runs may have brackets: no markup.
console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200)

_WITHOUT_STORAGE = ("cluster", "corpus")
_COLOURS = {
    State.RUNNING: "green",
    State.FINISHED: "bold green",
    State.FAILED: "bold red",
    State.STOPPED: "yellow",
    State.STOPPING: "yellow",
    State.RECOVERING: "yellow",
}


def show_json(verb: str, **answer: Any) -> None:
    print(json.dumps({"schema": f"orchestrator.{verb}/1", **answer}, default=str))


def table(*columns: str, title: str | None = None) -> Table:
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def lead(first: object, rest: str = "", *, style: str = "bold") -> None:
    """A line whose beginning stands out."""
    console.print(Text.assemble((str(first), style), rest))


def coloured(state: State) -> Text:
    return Text(str(state), style=_COLOURS.get(state, ""))


def footer(*commands: str) -> None:
    """What one would type next, with the storage that was named for this command."""
    typed = [_with_storage(command) for command in commands]
    console.print(Text("\nNext:  " + "\n       ".join(typed), style="dim"))


def _with_storage(command: str) -> str:
    context = click.get_current_context(silent=True)
    storage = context.params.get("storage") if context else None
    verb = command.removeprefix("orchestrator ").partition(" ")[0]
    if not storage or verb == command or verb in _WITHOUT_STORAGE or "--storage" in command:
        return command
    return f"{command} --storage {shlex.quote(storage)}"


def ago(moment: float | None) -> str:
    return "" if not moment else f"{format_duration(max(0.0, time.time() - moment))} ago"


def clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def took(status: Status) -> str:
    if status.started is None:
        return ""
    return format_duration(max(0.0, (status.ended or time.time()) - status.started))
