"""What is drawn for people, as the lines of a run's log: without colours, of a fixed width."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

WIDTH = 96


def as_text(*drawn: RenderableType, width: int = WIDTH) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=False, markup=False, highlight=False
    )
    for each in drawn:
        console.print(each)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip()
