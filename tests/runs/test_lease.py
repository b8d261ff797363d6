from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
import pytest

from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.runs import layout
from orchestrator.runs.archive import Archive
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.lease import LOST_AFTER_S, Holder, Lease, LeaseLost, read_holder
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.kinds import freeze
from orchestrator.settings.probe import ProbeJob

pytestmark = pytest.mark.slow

NOBODY = 2**22 + 1  # above the highest number that Linux gives to a process
ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from orchestrator.runs.lease import Lease
from orchestrator.runs.storage import open_storage
Lease.acquire(open_storage(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def _driver(storage: Storage, *inside: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that holds the lease, until it is killed or its stdin ends."""
    process = subprocess.Popen(
        [*inside, sys.executable, "-c", HOLD, storage.uri],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def _elsewhere(*, silent_s: float, generation: int = 1) -> Holder:
    now = time.time()
    return Holder(
        owner="other",
        host="node-7",
        boot="another-boot",
        pid=4711,
        pid_started=now - 1000,
        acquired=now - 1000,
        renewed=now - silent_s,
        generation=generation,
    )


def _put(storage: Storage, holder: Holder) -> Lease:
    """The lease as that driver would have left it."""
    lease = Lease(storage, holder)
    lease.release()
    storage.write(layout.lease(holder.generation), _json(holder))
    return lease


def _json(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


# ----- one driver at a time


def test_a_run_has_one_driver_until_it_lets_go(storage: Storage) -> None:
    assert read_holder(storage) is None
    first = Lease.acquire(storage)
    assert read_holder(storage) == first.holder
    with pytest.raises(RequestError, match=f"already has a driver: process {os.getpid()} on "):
        Lease.acquire(storage)
    first.release()
    holder = read_holder(storage)
    assert holder is not None and holder.released


def test_a_renewed_lease_is_held_longer_and_nothing_else_changes(local: LocalStorage) -> None:
    lease = Lease.acquire(local)
    before = lease.holder
    lease.renew()
    assert lease.holder.renewed >= before.renewed
    assert replace(lease.holder, renewed=before.renewed) == before
    assert read_holder(local) == lease.holder
    lease.release()
    assert replace(lease.holder, renewed=0) == replace(before, renewed=0, released=True)


def test_of_drivers_that_race_for_a_run_exactly_one_gets_it(storage: Storage) -> None:
    num_rounds = 6 if storage.is_local else 1
    for number in range(num_rounds):
        run = storage.child(f"run-{number}")
        start = threading.Barrier(6)

        def race(run: Storage, start: threading.Barrier) -> Lease | None:
            start.wait()
            try:
                return Lease.acquire(run)
            except RequestError:
                return None

        with ThreadPoolExecutor(6) as pool:
            answers = [pool.submit(race, run, start) for _ in range(6)]
        (winner,) = [lease for answer in answers if (lease := answer.result())]
        winner.renew()
        assert read_holder(run) == winner.holder


def test_of_drivers_that_race_for_a_dead_ones_run_exactly_one_gets_it(local: LocalStorage) -> None:
    mine = Lease.acquire(local.child("mine")).holder
    for number in range(6):
        run = local.child(f"run-{number}")
        _put(run, replace(mine, pid=NOBODY))
        start = threading.Barrier(6)

        def race(run: Storage, start: threading.Barrier) -> int:
            start.wait()
            try:
                return Lease.acquire(run).holder.generation
            except RequestError:
                return 0

        with ThreadPoolExecutor(6) as pool:
            answers = [pool.submit(race, run, start) for _ in range(6)]
        assert sorted(answer.result() for answer in answers) == [0, 0, 0, 0, 0, 2]


# ----- real processes


def test_a_living_process_keeps_its_run_even_while_it_sleeps(local: LocalStorage) -> None:
    with _driver(local) as process:
        with pytest.raises(RequestError, match=f"process {process.pid} on "):
            Lease.acquire(local)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(RequestError, match=f"process {process.pid} on "):
            Lease.acquire(local)


def test_a_killed_process_is_taken_over_at_once(local: LocalStorage) -> None:
    with _driver(local) as process:
        process.send_signal(signal.SIGKILL)
        psutil.Process(process.pid).wait(timeout=30)
        lease = Lease.acquire(local)
        assert lease.holder.generation == 2
        lease.release()


def test_a_dead_process_whose_parent_has_not_looked_is_dead(local: LocalStorage) -> None:
    with _driver(local) as process:
        process.send_signal(signal.SIGKILL)
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        lease = Lease.acquire(local)
        assert lease.holder.generation == 2
        lease.release()


def test_a_process_with_the_number_of_a_dead_one_is_not_taken_for_it(local: LocalStorage) -> None:
    lease = Lease.acquire(local)
    _put(local, replace(lease.holder, pid_started=lease.holder.pid_started - 5000))
    again = Lease.acquire(local)
    assert again.holder.generation == 2
    again.release()


def test_a_process_of_another_container_on_this_host_is_not_looked_up_by_its_number(
    local: LocalStorage,
) -> None:
    """It is process 1 in there, and who is process 1 out here says nothing about it."""
    if shutil.which("unshare") is None:
        pytest.skip("needs the program unshare")
    apart = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child")
    tried = subprocess.run([*apart, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"needs a process namespace: {tried.stderr.strip()}")
    with _driver(local, *apart), pytest.raises(RequestError, match="process 1 on "):
        Lease.acquire(local)


# ----- fencing


def test_a_driver_that_slept_finds_out_and_touches_nothing_of_its_successor(
    local: LocalStorage,
) -> None:
    first = Lease.acquire(local)
    sleeper = _put(local, replace(first.holder, pid=NOBODY))
    successor = Lease.acquire(local)
    for _ in range(2):
        with pytest.raises(LeaseLost, match=f"took over this run: process {os.getpid()} on "):
            sleeper.renew()
    sleeper.release()
    assert read_holder(local) == successor.holder
    successor.renew()
    successor.release()


def test_a_driver_whose_run_was_deleted_stops(local: LocalStorage) -> None:
    lease = Lease.acquire(local)
    local.remove("")
    with pytest.raises(LeaseLost):
        lease.renew()
    assert not local.path().exists()


def test_generations_only_grow(local: LocalStorage) -> None:
    for number in range(1, 13):
        lease = Lease.acquire(local)
        assert lease.holder.generation == number
        lease.release()
    assert read_holder(local) == lease.holder


# ----- other machines


def test_what_is_known_of_a_driver_elsewhere() -> None:
    now = time.time()
    fresh = _elsewhere(silent_s=0)
    assert fresh.why_dead(now) is None
    assert fresh.why_dead(now - 3600) is None
    assert "has not been heard of for 30 s" in str(fresh.why_dead(fresh.renewed + 30))
    assert fresh.why_dead(fresh.renewed + LOST_AFTER_S) is None
    assert "let go" in str(replace(fresh, released=True).why_dead(now))


def test_a_driver_elsewhere_that_was_heard_of_keeps_its_run(storage: Storage) -> None:
    _put(storage, _elsewhere(silent_s=1))
    with pytest.raises(RequestError, match="process 4711 on node-7"):
        Lease.acquire(storage)


@dataclass(frozen=True, kw_only=True)
class Silent:
    """Runs of drivers that were not heard of for long, and what came of asking for them."""

    archive: Archive
    answers: dict[str, Future[object]]


@pytest.fixture(autouse=True, scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Silent]:
    """Asked for before the first test of this file: the waiting goes on beside the others."""
    archive = Archive(open_storage(tmp_path_factory.mktemp("silent")))
    acts: dict[str, Callable[[RunFolder], object]] = {
        "gone-taken": lambda run: Lease.acquire(run.storage).holder.generation,
        "slow-taken": lambda run: Lease.acquire(run.storage).holder.generation,
        "gone-deleted": archive.delete,
        "slow-deleted": archive.delete,
    }

    def wake(run: RunFolder) -> None:
        time.sleep(1)
        run.storage.write(layout.lease(1), _json(_elsewhere(silent_s=50)))

    with ThreadPoolExecutor(6) as pool:
        answers = {}
        for name, act in acts.items():
            run = RunFolder(archive.storage, f"20261121-031522-{name}-aaaa")
            run.storage.write(layout.JOB, freeze(ProbeJob()).encode())
            run.note("attempt_started", attempt=1)
            _put(run.storage, _elsewhere(silent_s=60))
            answers[name] = pool.submit(act, run)
            if name.startswith("slow"):
                pool.submit(wake, run)
        yield Silent(archive=archive, answers=answers)


def test_a_silent_driver_elsewhere_is_given_time_to_speak_before_its_run_is_taken_or_deleted(
    silent: Silent,
) -> None:
    """Its silence may be no more than the difference of two clocks."""
    assert silent.answers["gone-taken"].result() == 2
    assert silent.answers["gone-deleted"].result() is None
    for name in ("slow-taken", "slow-deleted"):
        with pytest.raises(RequestError, match="process 4711 on node-7"):
            silent.answers[name].result()
    left = [run_id.split("-", 2)[2].removesuffix("-aaaa") for run_id in silent.archive.ids()]
    assert left == ["gone-taken", "slow-deleted", "slow-taken"]


# ----- damage


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"owner": 1}', b"\xff"])
def test_a_damaged_lease_is_told_with_its_file_and_never_taken_for_free(
    local: LocalStorage, data: bytes
) -> None:
    local.write(layout.lease(3), data)
    for act in (read_holder, Lease.acquire):
        with pytest.raises(OrchestratorError, match=r"leases/000003\.json is damaged"):
            act(local)


def test_a_lease_can_be_read_by_another_process(local: LocalStorage) -> None:
    with _driver(local) as process:
        holder = read_holder(open_storage(local.uri))
        assert holder is not None
        assert holder.pid == process.pid
        assert holder.why_dead() is None


@pytest.mark.faults
def test_a_far_driver_whose_clock_is_wrong_is_not_called_dead(local: LocalStorage) -> None:
    """Its clock is a minute behind ours, but it goes on renewing."""
    run = RunFolder(local, "20261121-031522-probe-k7f2")
    run.note("submitted", attempt=1)
    run.note("attempt_started", attempt=1)
    slow = _put(run.storage, _elsewhere(silent_s=60))
    assert run.status().is_lost
    beat = threading.Timer(
        1.0,
        lambda: run.storage.write(
            layout.lease(1), _json(replace(slow.holder, released=False, renewed=time.time() - 57))
        ),
    )
    beat.start()
    status = run.status(patient=True)
    beat.join()
    assert not status.is_lost and status.state == "starting"
