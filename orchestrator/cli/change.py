"""stop, tag, note, delete, prune: everything that changes a run, or ends one."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from orchestrator.api import Orchestrator
from orchestrator.cli.given import Json, RunName, Storage, find
from orchestrator.cli.screen import console, footer, lead, show_json
from orchestrator.errors import RequestError
from orchestrator.runs.archive import PrunePolicy
from orchestrator.runs.state import State
from orchestrator.settings.job import TAG
from orchestrator.settings.units import Unit, parse

app = typer.Typer()


@app.command()
def stop(
    run: RunName,
    storage: Storage = None,
    grace: Annotated[
        str | None, typer.Option("--grace", help="Wait this long for a safe point: 30, 2m.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Return when it has stopped.")] = True,
    as_json: Json = False,
) -> int:
    """Stop a run at its next safe point; it can be resumed."""
    found = find(run, storage)
    grace_s = None if grace is None else _parsed("--grace", grace, Unit.SECONDS)
    status = found.stop(grace_s=grace_s, by=getpass.getuser(), wait=wait)
    if as_json:
        show_json("stop", run=found.id, state=status.state, reason=status.reason)
        return 0
    lead(found.id, f" {status.state}" + (f": {status.reason}" if wait else ""))
    if status.state is State.STOPPED:
        footer(f"orchestrator resume {found.id}")
    return 0


@app.command()
def tag(
    run: RunName,
    tags: Annotated[list[str] | None, typer.Argument(metavar="TAG…")] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", "-r", help="Take this tag off; repeatable.")
    ] = None,
    storage: Storage = None,
) -> int:
    """Add tags to a run, or take some off."""
    for word in [*(tags or ()), *(remove or ())]:
        if TAG.broken_by(word):
            raise RequestError(f"{word!r} is not a tag: it must be {TAG.pattern_said}.")
    found = find(run, storage)
    found.tag(tags or (), remove or ())
    lead(found.id, f" {' '.join(found.folder.status().tags) or 'has no tags'}")
    return 0


@app.command()
def note(
    run: RunName,
    words: Annotated[list[str], typer.Argument(metavar="WORDS…")],
    storage: Storage = None,
) -> int:
    """Add a sentence to a run; `status` shows it."""
    found = find(run, storage)
    found.note(" ".join(words))
    lead(found.id, f" has {len(found.folder.status().notes)} notes")
    return 0


@app.command()
def delete(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…")],
    storage: Storage = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Delete runs that are over, with everything in their folders."""
    orchestrator = Orchestrator(storage)
    found = [orchestrator.find(run) for run in dict.fromkeys(runs)]
    for run in found:
        console.print(f"{run.id}  {run.status().state}")
    _confirm(f"Delete {len(found)} with everything in their folders?", yes)
    for run in found:
        run.delete()
    console.print(f"{len(found)} deleted.")
    return 0


@app.command()
def prune(
    storage: Storage = None,
    keep: Annotated[
        int, typer.Option("--keep", min=0, help="Always keep this many newest runs.")
    ] = 20,
    older_than: Annotated[
        str, typer.Option("--older-than", help="Ended longer ago: 12h, 30d.")
    ] = "30d",
    state: Annotated[
        list[State] | None, typer.Option("--state", help="Only in these states; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete them.")] = False,
    as_json: Json = False,
) -> int:
    """Show which old runs a policy would delete; delete them with --yes.

    Never: runs that are not over, runs tagged `keep`, and parents of runs that stay.
    """
    orchestrator = Orchestrator(storage)
    age_s = _parsed("--older-than", older_than, Unit.SECONDS)
    policy = PrunePolicy(keep_last=keep, older_than_s=age_s)
    if state:
        policy = PrunePolicy(keep_last=keep, older_than_s=age_s, states=tuple(state))
    going = orchestrator.prunable(policy)
    leftovers = orchestrator.archive.leftovers()
    if yes:
        for run_id in going:
            orchestrator.find(run_id).delete()
        for name in leftovers:
            orchestrator.storage.remove(name)
    if as_json:
        show_json("prune", runs=going, leftovers=leftovers, deleted=yes)
        return 0
    for name in going:
        console.print(name)
    for name in leftovers:
        console.print(f"{name}  (half created or half deleted)")
    count = len(going) + len(leftovers)
    console.print(f"{count} deleted." if yes else f"{count} would be deleted.")
    if count and not yes:
        footer("orchestrator prune … --yes")
    return 0


def _parsed(option: str, text: str, unit: Unit) -> float:
    try:
        found = parse(text, unit)
    except ValueError as err:
        raise RequestError(f"{option}={text} {err}.") from err
    if found < 0:
        raise RequestError(f"{option}={text} is less than nothing.")
    return found


def _confirm(question: str, yes: bool) -> None:
    """Never a prompt without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise RequestError(f"{question} There is no terminal to ask on.", hint="Add --yes.")
    typer.confirm(question, abort=True)
