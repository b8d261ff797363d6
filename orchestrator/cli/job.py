"""What every file of jobs/ calls: by hand, compose and run here; for a driver, be an attempt."""

from __future__ import annotations

import argparse
import importlib
import sys

from orchestrator.cli.main import run as run_verb
from orchestrator.cluster.attempt import Body, run_attempt
from orchestrator.cluster.place import Place
from orchestrator.runs.find import split_uri


def job_main(kind: str, body: str) -> None:
    """`body` is `module:function`, imported only where it runs: by hand, no Ray is needed."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--run")
    parser.add_argument("--attempt", type=int)
    parser.add_argument("--place", type=Place, default=Place.HERE)
    known, overrides = parser.parse_known_args()
    if known.run is None:
        sys.exit(run_verb(["run", kind, *overrides]))
    if known.attempt is None:
        storage, run_id = split_uri(known.run)
        sys.exit(run_verb(["resume", run_id, "--storage", storage, "--here", *overrides]))
    outcome = run_attempt(known.run, known.attempt, known.place, _import(body))
    sys.exit(outcome.cause.exit_code)


def _import(body: str) -> Body:
    module, _, name = body.partition(":")
    function: Body = getattr(importlib.import_module(module), name)
    return function
