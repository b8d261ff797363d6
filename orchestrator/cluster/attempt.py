"""One attempt of a run, in a process of its own: Ray is connected to, the job's body runs, and the
last event says how it ended. Called by jobs/*.py; the driver that started the process reads it.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cluster.embedded import ADDRESS
from orchestrator.cluster.outcome import Cause, Outcome
from orchestrator.cluster.place import Place
from orchestrator.cluster.scratch import abandon
from orchestrator.cluster.sessions import end, others_in_session
from orchestrator.cluster.stop import StopSignal, stop_on_signals
from orchestrator.errors import OrchestratorError, RunStopped
from orchestrator.runs.find import open_run
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.insist import insist
from orchestrator.runs.ledger import Ledger
from orchestrator.settings.extensions import import_extensions
from orchestrator.settings.job import Job
from orchestrator.tracking.progress import ProgressWriter


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What a job's body is given."""

    run: RunFolder
    job: Job
    number: int
    place: Place
    ledger: Ledger
    progress: ProgressWriter
    stop: StopSignal


Body = Callable[[Attempt], None]


def run_attempt(uri: str, number: int, place: Place, body: Body) -> Outcome:
    """Never raises for what the body does: every end becomes an Outcome in the ledger."""
    run = open_run(uri)
    stop = StopSignal()
    ledger = Ledger(run.storage, attempt=number, writer="attempt")
    end_with_driver()
    try:
        job = run.job()
        import_extensions(job.extensions, Path.cwd())
        attempt = Attempt(
            run=run,
            job=job,
            number=number,
            place=place,
            ledger=ledger,
            progress=ProgressWriter(run.storage),
            stop=stop,
        )
        with _connected(place), stop_on_signals(stop):
            body(attempt)
        outcome = Outcome.finished()
    except RunStopped as err:
        outcome = Outcome.stopped(stop.reason or err.message)
    except Exception as err:  # the border of the attempt: whatever it was must be told
        if not isinstance(err, OrchestratorError):
            traceback.print_exc()
        outcome = Outcome.of_error(err)
    insist(lambda: ledger.record("attempt_ended", **outcome.to_plain()))
    ledger.close()
    return outcome


@contextmanager
def _connected(place: Place) -> Iterator[None]:
    """Ray for the length of an attempt: the job's cluster, or one embedded on this machine, which
    the steps of a pipeline share."""
    import ray

    if place is Place.CLUSTER:
        ray.init(address="auto")
    else:
        shared = os.environ.get(ADDRESS)  # the driver lets no other one through
        ray.init(address="local", include_dashboard=False) if shared is None else ray.init(shared)
    try:
        yield
    finally:
        ray.shutdown()


def ray_address() -> str:
    """Of the Ray that this attempt is connected to, for processes on this node that share it."""
    import ray

    address: str = ray.get_runtime_context().gcs_address
    return address


def end_with_driver() -> None:
    """The driver holds our stdin open; its end means that the driver is gone, however it went."""

    def watch() -> None:
        os.read(0, 1)  # blocks; the driver never writes, so an answer is the end of the pipe
        # Without its driver nobody records what this process does, nor stops it: leave at once,
        # with the embedded Ray, which would stay for a minute.
        if os.getsid(0) == os.getpid():
            end(others_in_session(os.getpid()), grace_s=0)
        abandon()
        os._exit(Cause.DRIVER_GONE.exit_code)

    threading.Thread(target=watch, daemon=True, name="driver-watch").start()
