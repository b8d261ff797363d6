from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orchestrator.runs import layout
from orchestrator.runs.storage import LocalStorage, open_storage
from orchestrator.settings.tracking import Mode
from orchestrator.tracking.exhibits import write_picture, write_table
from orchestrator.tracking.wandb.report import Standing
from tests.tracking.wandb.making import KEY, Forwarders, Loopback, Writing, figures

pytestmark = pytest.mark.long


def _steps(server: Loopback, run: Writing) -> list[int]:
    return [row["train/step"] for row in server.rows(run.id)]


def test_a_run_is_one_wandb_run_with_each_row_once(
    server: Loopback, run: Writing, forwarders: Forwarders
) -> None:
    run.steps(1, 30)
    run.end()
    forwarders.send(run)
    forwarders.send(run)  # nothing is left to send
    rows = server.rows(run.id)
    assert [row["train/step"] for row in rows] == list(range(1, 31))
    assert {name: rows[6][name] for name in figures(7)} == figures(7)
    assert rows[6]["train/tokens"] == 700
    bucket = server.bucket(run.id)
    assert bucket["exitcode"] == 0
    assert bucket["about"]["jobType"] == "probe"
    assert bucket["about"]["tags"] == ["first"]
    assert bucket["config"]["cluster"]["value"]["num_workers"] == 1
    assert bucket["config"]["lineage"]["value"]["packages"] == {"numpy": "2.2"}
    report = run.report()
    assert (report.standing, report.rows, report.arrived) == (Standing.COMPLETE, 30, 30)


def test_a_run_of_several_attempts_is_followed_while_it_runs_and_no_step_comes_twice(
    server: Loopback, run: Writing, forwarders: Forwarders
) -> None:
    process = forwarders.start(run)
    run.steps(1, 8)
    server.wait_for_rows(run.id, 8)
    run.steps(5, 12, attempt=2)  # the checkpoint was that of step 4
    server.wait_for_rows(run.id, 12)
    run.end("failed", attempt=2)
    code, said = forwarders.end(process)
    assert code == 0, said
    assert _steps(server, run) == list(range(1, 13))
    assert server.bucket(run.id)["exitcode"] == 1


@pytest.mark.long
def test_rows_that_wandb_does_not_count_yet_are_not_doubled(
    server: Loopback, run: Writing, forwarders: Forwarders
) -> None:
    """Who is told of fewer rows than there are sends the same ones to the same places."""
    run.steps(1, 20)
    run.steps(1, 20, writer="rank-001")
    forwarders.send(run)
    server.fault(lag=7)
    run.steps(21, 25, attempt=2)
    forwarders.send(run)
    server.fault()
    assert len(server.rows(run.id)) == 45


def test_checkpoints_tables_and_pictures_are_there_once(
    server: Loopback, run: Writing, forwarders: Forwarders
) -> None:
    run.steps(1, 3)
    for step in (2, 3):
        run.folder.storage.write(f"{layout.checkpoint(step)}/{layout.COMMIT}", b"{}")
        run.folder.note("checkpoint_committed", step=step)
    run.folder.note("checkpoint_committed", step=1)  # given up since
    write_table(run.folder.storage, "examples", 2, ["text", "label"], [["fine", 1]])
    write_picture(run.folder.storage, "confusion", 2, b"\x89PNG", "png")
    forwarders.send(run)
    forwarders.send(run)
    made = [
        made
        for made in server.state()["artifacts"]
        if run.id in made["input"]["artifactCollectionName"]
    ]
    assert all(one["state"] == "COMMITTED" and one["times"] == 1 for one in made)
    collections = sorted(one["input"]["artifactCollectionName"] for one in made)
    kinds = ("checkpoint", "checkpoint", "confusion", "examples")
    assert collections == [f"{run.id}-{kind}" for kind in kinds]
    manifests = [text for text in server.state()["manifests"] if run.id in text]
    uri = f"file://{run.folder.uri}/checkpoints/step-000003/COMMIT"
    assert any(uri in text for text in manifests)


def test_without_a_key_auto_writes_wandbs_own_files_and_sync_sends_the_run(
    server: Loopback,
    run: Writing,
    forwarders: Forwarders,
    orchestrated: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    del forwarders.environment["WANDB_API_KEY"]
    run.steps(1, 5)
    forwarders.send(run, mode=Mode.AUTO)
    run.steps(4, 9, attempt=2)
    forwarders.send(run, mode=Mode.AUTO)
    storage = run.folder.storage
    assert isinstance(storage, LocalStorage)
    (file,) = storage.path("wandb").glob("offline-run-*/*.wandb")
    shown = subprocess.run(
        ["wandb", "leet", "inspect", "--json", str(file)],
        env=forwarders.environment,
        capture_output=True,
        text=True,
    )
    records = [line for line in shown.stdout.splitlines() if '"train/step"' in line]
    assert shown.returncode == 0, shown.stderr
    assert records
    assert (run.report().mode, run.report().rows) == ("offline", 9)
    assert run.id not in server.state()["runs"]
    run.end(attempt=2)
    assert orchestrated("wandb", "sync", run.id).returncode == 2  # there is no key
    forwarders.environment["WANDB_API_KEY"] = KEY
    done = orchestrated("wandb", "sync", run.id)
    assert done.returncode == 0, done.stderr
    assert "9 rows are in W&B as they are here" in done.stdout
    assert len(server.rows(run.id)) == 9


def test_sync_finds_a_row_that_is_not_the_runs(
    server: Loopback,
    run: Writing,
    forwarders: Forwarders,
    orchestrated: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    run.steps(1, 4)
    assert orchestrated("wandb", "sync", run.id).returncode == 2  # it is not over
    run.end()
    forwarders.send(run)
    server.fault(spoil=[run.id, 2])
    done = orchestrated("wandb", "sync", run.id)
    assert done.returncode == 1
    assert "1 rows differ: row 2 is" in done.stderr


@pytest.mark.long
def test_a_run_on_an_object_store_is_forwarded_alike(
    server: Loopback, new_run: Callable[..., Writing], s3_uri: str, forwarders: Forwarders
) -> None:
    run = new_run(open_storage(s3_uri))
    forwarders.environment |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for attempt in (1, 2):
        run.steps(3 * attempt, 5 * attempt, attempt=attempt)
        forwarders.send(run)
    assert _steps(server, run) == [3, 4, 5, 6, 7, 8, 9, 10]


def test_the_key_is_in_no_file_no_argument_and_no_answer(
    server: Loopback, run: Writing, forwarders: Forwarders, tmp_path: Path
) -> None:
    """Here it is in a file that the job names; what the node's environment has is no key."""
    del forwarders.environment["WANDB_API_KEY"]
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text(KEY)
    process = forwarders.start(run, api_key_file=str(tmp_path / "secret" / "key"))
    run.steps(1, 3)
    server.wait_for_rows(run.id, 3)
    own = psutil.Process(process.pid)
    for one in [own, *own.children(recursive=True)]:
        assert KEY not in " ".join(one.cmdline())
    run.end()
    code, said = forwarders.end(process)
    assert code == 0, said
    assert KEY not in said
    files = [
        path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "secret"
    ]
    assert len(files) > 10
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    answers = server.state()
    assert KEY not in str(answers)
