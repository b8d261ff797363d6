"""A sweep in W&B: a run for each trial, each row once, whatever was killed in between."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from orchestrator.runs.folder import RunFolder
from orchestrator.runs.state import State, Status
from orchestrator.runs.storage import LocalStorage, Storage
from orchestrator.settings.kinds import freeze
from orchestrator.settings.tracking import Tracking
from orchestrator.tracking.exhibits import write_table
from orchestrator.tracking.metrics import MetricsWriter
from orchestrator.tracking.wandb.about import describe, describe_part
from orchestrator.tracking.wandb.part import Fates, Part, linked, name_of, parts_of
from orchestrator.tracking.wandb.report import Standing, read_report
from orchestrator.tuning.trials import Book, Fate
from tests.tracking.wandb.making import Forwarders, Loopback, Writing, figures
from tests.tuning.making import a_book, a_sweep

NewRun = Callable[..., Writing]
ENCODER = "20261120-101010-pretrain-aaaa"


@pytest.fixture
def sweep(new_run: NewRun, local: LocalStorage) -> Writing:
    lineage = {"encoder": {"kind": "checkpoint", "run": ENCODER}, "user": "ada"}
    return new_run(local, job=a_sweep(), kind="sweep", lineage=lineage)


@pytest.fixture
def book(sweep: Writing) -> Iterator[Book]:
    with a_book(sweep.folder.storage, a_sweep()) as book:
        yield book


def begun(book: Book) -> int:
    trial = book.propose({"optim.lr": 1e-4 * (len(book.trials) + 1)}, seed=1)
    assert book.make_folder(trial) == []
    return trial.number


def steps(sweep: Writing, number: int, first: int, last: int, *, attempt: int = 1) -> None:
    folder = sweep.folder.storage.child(f"trials/{number:04d}")
    with closing(MetricsWriter(folder, attempt=attempt, writer="rank-000")) as metrics:
        for step in range(first, last + 1):
            metrics.write(step, figures(step) | {"eval/accuracy": number / 10})


def counted(sweep: Writing, over: int, *, attempt: int = 1) -> None:
    """As the sweep itself does, once for each trial that is over."""
    with closing(MetricsWriter(sweep.folder.storage, attempt=attempt, writer="attempt")) as metrics:
        metrics.write(over, {"sweep/best": over / 10})


def names(sweep: Writing, count: int) -> list[str]:
    return [f"{sweep.id}-{number:04d}" for number in range(count)]


def test_parts_are_found_and_named(sweep: Writing, book: Book) -> None:
    for _ in range(2):
        begun(book)
    storage: Storage = sweep.folder.storage
    job = storage.read("trials/0001/job.yaml")
    storage.write("trials/0001/trials/0000/job.yaml", job)
    assert [part.id for part in parts_of(sweep.folder)] == names(sweep, 2)
    storage.write("job.yaml", freeze(a_sweep(num_seeds=2)).encode())
    storage.write("trials/0007/metrics/half", b"")  # without its job: not there yet
    parts = parts_of(sweep.folder)
    assert [part.id for part in parts] == [*names(sweep, 2), f"{sweep.id}-0001-0000"]
    assert name_of("trials/0001/trials/0000") == parts[2].name


def test_a_trial_is_in_the_group_of_its_sweep_with_links_to_it_and_the_encoder(
    sweep: Writing, book: Book
) -> None:
    begun(book)
    (part,) = parts_of(sweep.folder)
    about = describe_part(part, Tracking(), Status(created=7.0))
    assert (about.id, about.job_type, about.group) == (f"{sweep.id}-0000", "trial", sweep.id)
    assert about.links == {"parent": sweep.id, "encoder": ENCODER}
    assert about.config["optim"]["lr"] == 1e-4
    assert about.tags == ()
    whole = describe(sweep.folder, Tracking())
    assert (whole.job_type, whole.group, whole.has_parts) == ("sweep", sweep.id, True)
    assert whole.links == {"encoder": ENCODER}
    assert describe(sweep.folder, Tracking(group="mine")).group == "mine"
    assert describe_part(part, Tracking(group="mine"), Status()).group == "mine"


def test_a_table_leads_to_the_runs_that_it_names() -> None:
    rows = [[0.5, "trials/0007", 1], [0.25, "trials/0007/trials/0001", 2]]
    told = linked(["value", "inside", "rank"], rows, "https://there/runs/SWEEP")
    assert [row[1] for row in told] == [
        "https://there/runs/SWEEP-0007",
        "https://there/runs/SWEEP-0007-0001",
    ]
    assert [row[::2] for row in told] == [row[::2] for row in rows]
    assert linked(["value", "where", "rank"], rows, "https://there/runs/SWEEP") == rows


def test_how_a_trial_ended_is_what_the_sweeps_ledger_says(sweep: Writing, book: Book) -> None:
    for _ in range(5):
        begun(book)
    book.ended(0, Fate.FINISHED, value=0.5)
    book.ended(1, Fate.STOPPED, reason="given up after 1 epochs")
    book.ended(2, Fate.FAILED, reason="too hot")
    sweep.folder.storage.write("trials/0003/result.json", b"{}")
    fates = Fates()
    fates.hear(sweep.folder.events())

    def states(run: Status) -> list[tuple[State, str]]:
        found = [fates.status(part, run) for part in parts_of(sweep.folder)]
        return [(each.state, each.reason) for each in found]

    known = [
        (State.FINISHED, ""),
        (State.STOPPED, "given up after 1 epochs"),
        (State.FAILED, "too hot"),
        (State.FINISHED, ""),
    ]
    assert states(Status(state=State.RUNNING)) == [*known, (State.RUNNING, "")]
    assert states(Status(state=State.FAILED))[4][0] is State.FAILED
    assert states(Status(state=State.FINISHED))[4][0] is State.STOPPED


@pytest.mark.long
def test_a_sweep_is_a_group_of_one_run_for_each_trial(
    server: Loopback, sweep: Writing, book: Book, forwarders: Forwarders
) -> None:
    process = forwarders.start(sweep)
    for number in range(3):
        begun(book)
        steps(sweep, number, 1, 5 + number)
    for name in names(sweep, 3):
        server.wait_for_rows(name, 5)
    book.ended(0, Fate.FINISHED, value=0.1)
    book.ended(1, Fate.STOPPED, reason="given up after 1 epochs")
    counted(sweep, 1)
    counted(sweep, 2)
    steps(sweep, 2, 8, 9)
    server.wait_for_rows(f"{sweep.id}-0002", 9)
    book.ended(2, Fate.FAILED, reason="too hot")
    rows = [["0000", "trials/0000", 0.1], ["0001", "trials/0001", None], [2, "trials/0002", "x"]]
    write_table(sweep.folder.storage, "leaderboard", 3, ["trial", "inside", "value"], rows)
    sweep.end()
    code, said = forwarders.end(process)
    assert code == 0, said
    found = {name: server.bucket(name) for name in [sweep.id, *names(sweep, 3)]}
    assert [len(each["rows"]) for each in found.values()] == [2, 5, 6, 9]
    assert [each["exitcode"] for each in found.values()] == [0, 0, 255, 1]
    kinds = [each["about"]["jobType"] for each in found.values()]
    assert kinds == ["sweep", "trial", "trial", "trial"]
    assert {each["about"]["groupName"] for each in found.values()} == {sweep.id}
    links = [each["config"]["links"]["value"] for each in found.values()]
    assert links[0]["parts_url"].endswith(f"/ada/encoders/groups/{sweep.id}")
    assert all(each["parent_url"].endswith(f"/runs/{sweep.id}") for each in links[1:])
    assert all(each["encoder_url"].endswith(f"/runs/{ENCODER}") for each in links)
    assert any(f"{sweep.id}-leaderboard" in str(made) for made in server.state()["artifacts"])
    report = sweep.report()
    assert (report.standing, report.rows, report.arrived) == (Standing.COMPLETE, 22, 22)


@pytest.mark.long
def test_a_killed_driver_and_a_killed_forwarder_double_no_row_of_a_trial(
    server: Loopback, sweep: Writing, book: Book, forwarders: Forwarders
) -> None:
    first = forwarders.keep(sweep)
    first.start()
    for number in range(3):
        begun(book)
        steps(sweep, number, 1, 30)
    for name in names(sweep, 3):
        server.wait_for_rows(name, 5)
    book.ended(0, Fate.FINISHED, value=0.1)
    counted(sweep, 1)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)  # started again by who keeps it
    for name in names(sweep, 3):
        server.wait_for_rows(name, 30)
    first.end(0.0)  # as if the driver had been killed
    steps(sweep, 1, 21, 40, attempt=2)  # goes on from the checkpoint of step 20
    steps(sweep, 2, 11, 35, attempt=2)
    counted(sweep, 1, attempt=2)
    counted(sweep, 2, attempt=2)
    second = forwarders.keep(sweep)
    second.start()
    server.wait_for_rows(f"{sweep.id}-0001", 40, within_s=90)
    book.ended(1, Fate.FINISHED, value=0.2)
    book.ended(2, Fate.FINISHED, value=0.3)
    sweep.end(attempt=2)
    assert second.end(90.0), sweep.report()
    for name, last in zip(names(sweep, 3), (30, 40, 35), strict=True):
        assert [row["train/step"] for row in server.rows(name)] == list(range(1, last + 1))
    assert [row["train/step"] for row in server.rows(sweep.id)] == [1, 2]


@pytest.mark.long
def test_a_sweep_that_was_offline_is_made_by_sync_and_what_is_not_there_is_said(
    server: Loopback,
    sweep: Writing,
    book: Book,
    forwarders: Forwarders,
    orchestrated: Callable[..., Any],
) -> None:
    for number in range(2):
        begun(book)
        steps(sweep, number, 1, 4)
        book.ended(number, Fate.FINISHED, value=0.1)
    sweep.end()
    done = orchestrated("wandb", "sync", sweep.id)
    assert done.returncode == 0, done.stderr
    assert "8 rows are in W&B as they are here" in done.stdout
    server.fault(spoil=[f"{sweep.id}-0001", 2])
    done = orchestrated("wandb", "sync", sweep.id)
    assert done.returncode == 1
    assert "1 parts are not all in W&B (0001): 1 rows differ" in done.stderr


def one(sweep: Writing, number: int) -> Part:
    return parts_of(sweep.folder)[number]


def standing(folder: RunFolder) -> Standing | None:
    report = read_report(folder.storage)
    return None if report is None else report.standing


@pytest.mark.long
def test_a_trial_that_is_over_is_closed_while_the_others_go_on(
    server: Loopback, sweep: Writing, book: Book, forwarders: Forwarders
) -> None:
    process = forwarders.start(sweep)
    for number in range(2):
        begun(book)
        steps(sweep, number, 1, 4)
    book.ended(0, Fate.FINISHED, value=0.1)
    deadline = time.monotonic() + 40
    while standing(one(sweep, 0).folder) is not Standing.COMPLETE:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert server.bucket(f"{sweep.id}-0000")["exitcode"] == 0
    assert standing(one(sweep, 1).folder) is not Standing.COMPLETE
    steps(sweep, 0, 5, 5)  # a late line
    server.wait_for_rows(f"{sweep.id}-0000", 5)
    sweep.end("stopped")
    code, said = forwarders.end(process)
    assert code == 0, said
    assert server.bucket(f"{sweep.id}-0001")["exitcode"] == 255
