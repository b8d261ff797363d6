"""doctor: look at everything a run would need, and say what to mend. Changes nothing."""

from __future__ import annotations

import typer
from rich.text import Text

from orchestrator.cli.given import Json, Storage
from orchestrator.cli.screen import console, show_json, table
from orchestrator.planning.health import Check, examine
from orchestrator.settings.build import to_plain

app = typer.Typer()
_STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


@app.command()
def doctor(storage: Storage = None, as_json: Json = False) -> int:
    """Check this environment: Python, packages, storage, cluster, tokens, disk."""
    checks = list(examine(storage))
    is_well = not any(check.verdict == "wrong" for check in checks)
    if as_json:
        show_json("doctor", ok=is_well, checks=[to_plain(check) for check in checks])
    else:
        rows = table("", "what", "found", "do")
        for check in checks:
            rows.add_row(_verdict(check), check.what, check.found, check.do)
        console.print(rows)
    return 0 if is_well else 1


def _verdict(check: Check) -> Text:
    return Text(check.verdict, style=_STYLES[check.verdict])


@app.callback()
def _several() -> None:
    """A group, like every module of verbs."""
