"""`orchestrator VERB …`: finds the verb's module, runs it, and turns errors into a few lines.

This is one of the two borders where exceptions end (the other is an attempt's process).
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

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
    "checkpoints": ("checkpoints", "A run's checkpoints; --verify reads every byte of them"),
    "audit": ("audit", "Prove that a run trained on its whole stream, each pack once"),
    "diff": ("look", "What two runs differ in: settings, code, versions, results"),
    "stop": ("change", "Stop a run at its next safe point"),
    "tag": ("change", "Add or remove tags"),
    "note": ("change", "Add a sentence to a run"),
    "delete": ("change", "Delete runs that are over"),
    "prune": ("change", "Choose old runs to delete; shows them first"),
    "ask": ("ask", "Ask a trained model: one input, its answer"),
    "sweep": ("sweep", "A sweep: status, best, extend"),
    "corpus": ("corpus", "A prepared corpus: show, sample, verify"),
    "cluster": ("cluster", "A Ray on this machine: up, down, status"),
    "dashboard": ("dashboard", "A page in the browser: runs, curves, logs, comparisons"),
    "wandb": ("wandb", "A run in W&B: sync, status"),
    "doctor": ("doctor", "Check this environment and say what to mend"),
    "drive": ("drive", ""),
}
_HIDDEN = ("drive",)  # what a submitted run's driver is started with


class Verbs(TyperGroup):
    """Verbs are imported when they are typed; a verb's number becomes the exit code."""

    def invoke(self, ctx: Any) -> Any:
        result = super().invoke(ctx)
        if isinstance(result, int):
            raise typer.Exit(result)
        return result

    def list_commands(self, ctx: Any) -> list[str]:
        return [verb for verb in VERBS if verb not in _HIDDEN]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"orchestrator.cli.{VERBS[cmd_name][0]}")
        group = typer.main.get_group(module.app)
        command = group.get_command(ctx, cmd_name)
        return command if command is not None else group

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, VERBS[verb][1]) for verb in self.list_commands(ctx)])


app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks; works after a verb too."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True),
) -> None:
    """Train encoders on Ray clusters: plan, submit, follow, resume, compare."""


def main(argv: list[str] | None = None) -> None:
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """The exit code. Mistakes are told on stderr, without a traceback unless --debug."""
    debug = "--debug" in argv or bool(os.environ.get("ORCHESTRATOR_DEBUG"))
    argv = [word for word in argv if word != "--debug"]
    try:
        app(argv, prog_name="orchestrator")
    except OrchestratorError as err:
        if debug:
            traceback.print_exc()
        print(f"orchestrator: {err}", file=sys.stderr)
        return err.exit_code
    except BrokenPipeError:  # `orchestrator list | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as err:  # the border: a fault of ours is told in a line as well
        if debug:
            raise
        told = f"orchestrator: a fault of ours: {type(err).__name__}: {err}"
        print(f"{told}\n--debug shows where.", file=sys.stderr)
        return 1
    except SystemExit as err:  # how the command line says its exit code
        return err.code if isinstance(err.code, int) else int(bool(err.code))
    return 0
