"""How answers look: tables and footers for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.runs.state import State, Status
from orchestrator.settings.units import format_duration

# A pipe or a file has no width to wrap at.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)

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


def coloured(state: State) -> Text:
    return Text(str(state), style=_COLOURS.get(state, ""))


def footer(*commands: str) -> None:
    """What one would type next."""
    console.print(Text("\nNext:  " + "\n       ".join(commands), style="dim"))


def ago(moment: float | None) -> str:
    return "" if not moment else f"{format_duration(max(0.0, time.time() - moment))} ago"


def clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def took(status: Status) -> str:
    if status.started is None:
        return ""
    return format_duration(max(0.0, (status.ended or time.time()) - status.started))
