"""The forwarder's process: `python -m orchestrator.tracking.wandb --run URI --tracking JSON`.

Started by `forwarder.py` in a session of its own. It never speaks to the training processes and
gives way to them; what it finds out is in its report. wandb is loaded once there is a figure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil

from orchestrator.errors import OrchestratorError, RequestError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.find import open_run
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.lease import RENEW_EVERY_S, Lease, LeaseLost, read_holder
from orchestrator.runs.state import Status
from orchestrator.runs.storage import Storage
from orchestrator.settings.build import build
from orchestrator.settings.tracking import Mode, Tracking
from orchestrator.tracking.wandb import places
from orchestrator.tracking.wandb.about import describe, describe_part
from orchestrator.tracking.wandb.credentials import KEY, Access, choose, clean, find_key
from orchestrator.tracking.wandb.ending import DriversWord, Word, within
from orchestrator.tracking.wandb.forwarder import BUSY, COMPLETE, REFUSED, TRY_AGAIN
from orchestrator.tracking.wandb.part import Part, parts_of
from orchestrator.tracking.wandb.report import Report, Standing, read_report, write_report

_SETUP_S = 45.0
_LOOK_EVERY_S = 2.0  # for the first figure


def main(argv: list[str] | None = None) -> int:
    asked = _parser().parse_args(argv)
    if asked.nice:
        _step_back(asked.nice)
    run = open_run(asked.run)
    tracking, findings = build(Tracking, json.loads(asked.tracking))
    if tracking is None:
        raise RequestError("\n".join(map(str, findings)))
    own = run.storage.child(places.FOLDER)
    try:
        _end_core_of_last(own)
        lease = Lease.acquire(own, of="W&B run")
    except RequestError as err:
        print(err.message, file=sys.stderr)
        return TRY_AGAIN if isinstance(err, StorageError) else BUSY
    threading.Thread(target=_renew, args=(lease,), daemon=True, name="lease").start()
    try:
        return _forward(run, tracking, asked)
    finally:
        with suppress(OrchestratorError):
            lease.release()


def _forward(run: RunFolder, tracking: Tracking, asked: argparse.Namespace) -> int:
    word = DriversWord(follows=not asked.once)
    while not _has_figures(run) and not word.is_over(_LOOK_EVERY_S):
        pass  # many jobs never have one, and wandb takes a second and 150 MiB
    if not _has_figures(run):
        report = Report(standing=Standing.COMPLETE, mode=tracking.mode.value, run=run.id)
        write_report(run.storage, report)
        return COMPLETE
    _prepare_environment(run)
    from orchestrator.tracking.wandb.fleet import Fleet
    from orchestrator.tracking.wandb.forward import Forwarding, Pace
    from orchestrator.tracking.wandb.session import server_url

    try:
        about, access = describe(run, tracking), _reach(tracking, server_url)
    except RequestError as err:
        _tell_behind(run, tracking.mode, err)
        return REFUSED
    pace = Pace(**json.loads(asked.pace))
    scratch = places.scratch(run.id)

    def forwarding(part: Part | None, word: Word, status: Callable[[], Status]) -> Forwarding:
        """Of the run, or of one inside of it."""
        return Forwarding(
            run=run if part is None else part.folder,
            about=about if part is None else describe_part(part, tracking, status()),
            access=access,
            word=word,
            finish_s=asked.finish_s,
            give_up=lambda: _leave(TRY_AGAIN),
            status=status,
            scratch=scratch if part is None else scratch / part.name,
            is_part=part is not None,
            pace=pace,
        )

    try:
        if about.has_parts:
            report = Fleet(run=run, word=word, make=forwarding, poll_s=pace.poll_s).to_the_end()
        else:
            report = forwarding(None, word, run.status).to_the_end()
    except Exception as err:  # the border of this process: whatever it is, the run goes on
        _tell_behind(run, access.mode, err)
        is_refused = isinstance(err, RequestError) and not isinstance(err, StorageError)
        return REFUSED if is_refused else TRY_AGAIN
    return COMPLETE if report.standing is Standing.COMPLETE else TRY_AGAIN


def _reach(tracking: Tracking, server_url: Callable[[], str]) -> Access:
    with within(_SETUP_S, lambda: _leave(TRY_AGAIN)):  # it starts wandb-core
        url = server_url()
    is_near = tracking.mode in (Mode.OFFLINE, Mode.OFF)
    key = None if is_near else find_key(tracking, url, os.environ)
    if key is not None:
        os.environ[KEY] = key  # for wandb, and so that it is masked in all that is written
    return Access(mode=choose(tracking.mode, key), server_url=url, key=key)


def _has_figures(run: RunFolder) -> bool:
    own = run.storage.list(layout.METRICS)
    return any(entry.size_bytes for entry in own) or any(each.num_bytes for each in parts_of(run))


def _tell_behind(run: RunFolder, mode: Mode, err: Exception) -> None:
    known = read_report(run.storage) or Report(
        standing=Standing.BEHIND, mode=mode.value, run=run.id
    )
    print(err, file=sys.stderr)
    with suppress(OrchestratorError):
        write_report(run.storage, replace(known, standing=Standing.BEHIND, reason=str(err)))


def _prepare_environment(run: RunFolder) -> None:
    """Before wandb is loaded: all that it keeps goes where the next forwarder clears it."""
    clean(os.environ)
    scratch = places.scratch(run.id)
    places.clear(scratch)  # of the forwarder before
    for name in ("CACHE", "DATA", "ARTIFACT"):
        os.environ[f"WANDB_{name}_DIR"] = str(scratch / name.lower())
    os.environ["TMPDIR"] = tempfile.tempdir = places.temporary(scratch)


def _step_back(nice: int) -> None:
    """Training goes first. Where each session gets its share of the CPU, nice counts within one
    only, so the session itself steps back as well. Not by all of 19: on a machine whose training
    takes every core, that leaves a start of one second for minutes."""
    with suppress(OSError):
        os.nice(nice)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


def _renew(lease: Lease) -> None:
    pause = threading.Event()
    while not pause.wait(RENEW_EVERY_S):
        try:
            lease.renew()
        except LeaseLost as err:
            print(err, file=sys.stderr)
            _leave(TRY_AGAIN)
        except OrchestratorError as err:
            print(err, file=sys.stderr)


def _leave(code: int) -> None:
    """At once, with wandb-core: it leads a session of its own, and would go on sending."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    places.leave()
    os._exit(code)


def _end_core_of_last(own: Storage) -> None:
    """A forwarder that was killed leaves its wandb-core behind for a while."""
    last = read_holder(own)
    if last is None or not last.is_here() or last.why_dead() is None:
        return
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["name"] == "wandb-core" and ("--pid", str(last.pid)) in pairwise(words):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(timeout=5)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.tracking.wandb")
    parser.add_argument("--run", required=True, help="the run's folder or URI")
    parser.add_argument("--tracking", default="{}", help="settings, as JSON")
    parser.add_argument("--once", action="store_true", help="send what is there, and end")
    parser.add_argument("--finish-s", type=float, default=60.0)
    parser.add_argument("--nice", type=int, default=0, help="how far it steps back")
    parser.add_argument("--pace", default="{}", help="of the work, as JSON")
    return parser


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    _leave(code)  # wandb's own farewell can wait for a server that is not there
