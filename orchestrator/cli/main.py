"""`orchestrator VERB …`: finds the verb's module, runs it, and turns errors into a few lines.

This is one of the two borders where exceptions end (the other is an attempt's process).
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

import click
import typer
from typer.core import TyperGroup

from orchestrator import __version__
from orchestrator.errors import OrchestratorError

# Verb → the module that has it and what the list of verbs says of it.
VERBS: dict[str, tuple[str, str]] = {
    "plan": ("launch", "Check a job and show what would run; starts nothing"),
    "run": ("launch", "Run a job here, in the foreground"),
    "submit": ("launch", "Send a job to the cluster and return"),
    "resume": ("launch", "Go on with a run that was stopped or failed"),
    "fork": ("launch", "Start a new run from another one's settings and checkpoint"),
    "list": ("look", "All runs, newest last"),
    "status": ("look", "What one run is doing"),
    "logs": ("look", "A run's output; -f follows it to the end"),
    "events": ("look", "What happened to a run, in order"),
    "metrics": ("look", "A run's figures"),
    "diff": ("look", "What two runs differ in: settings, code, versions, results"),
    "stop": ("change", "Stop a run at its next safe point"),
    "tag": ("change", "Add or remove tags"),
    "note": ("change", "Add a sentence to a run"),
    "delete": ("change", "Delete runs that are over"),
    "prune": ("change", "Choose old runs to delete; shows them first"),
    "cluster": ("cluster", "A Ray on this machine: up, down, status"),
    "doctor": ("doctor", "Check this environment and say what to mend"),
    "drive": ("drive", ""),
}
_HIDDEN = ("drive",)  # what a submitted run's driver is started with


class Verbs(TyperGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [verb for verb in VERBS if verb not in _HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"orchestrator.cli.{VERBS[cmd_name][0]}")
        group = typer.main.get_group(module.app)
        command = group.get_command(ctx, cmd_name)
        return command if command is not None else group

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, VERBS[verb][1]) for verb in self.list_commands(ctx)])


app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True),
) -> None:
    """Train encoders on Ray clusters: plan, submit, follow, resume, compare."""
    if debug:
        os.environ["ORCHESTRATOR_DEBUG"] = "1"


def main(argv: list[str] | None = None) -> None:
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """The exit code. Mistakes are told on stderr, without a traceback unless --debug."""
    try:
        result: Any = typer.main.get_command(app).main(argv, "orchestrator", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except OrchestratorError as err:
        if os.environ.get("ORCHESTRATOR_DEBUG"):
            traceback.print_exc()
        print(f"orchestrator: {err}", file=sys.stderr)
        return err.exit_code
    except click.exceptions.Exit as err:
        return err.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("orchestrator: interrupted", file=sys.stderr)
        return 130
    except click.ClickException as err:
        err.show()
        return 2
    except BrokenPipeError:  # `orchestrator list | head`
        sys.stdout = None
        return 0
