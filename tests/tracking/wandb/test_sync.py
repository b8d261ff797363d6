from __future__ import annotations

import re
import subprocess
import sys

import pytest

from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.settings.tracking import Mode, Tracking
from orchestrator.tracking.wandb.forwarder import start_forwarder
from orchestrator.tracking.wandb.report import Report, Standing, read_report, write_report
from orchestrator.tracking.wandb.sync import how_far, sync
from orchestrator.tracking.wandb.verify import differences, told
from tests.tracking.wandb.making import Forwarders, Writing

_DIES_HOLDING_IT = """
import os, sys
from orchestrator.runs.lease import Lease
from orchestrator.runs.storage import open_storage
Lease.acquire(open_storage(sys.argv[1]), of="W&B run")
os._exit(9)
"""


def test_rows_are_equal_when_their_figures_are() -> None:
    ours = [{"train/step": 1, "loss": 0.5, "_timestamp": 1.0}]
    assert list(differences(ours, [{"train/step": 1, "loss": 0.5, "_step": 0}])) == []


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ([], "row 0 is missing in W&B"),
        ([{"loss": 0.25}], "row 0 is {'loss': 0.25} in W&B, {'loss': 0.5} here"),
        ([{"loss": 0.5, "more": 1}], "row 0 is {'loss': 0.5, 'more': 1} in W&B"),
        ([{"loss": 0.5}, {"loss": 0.5}], "row 1 is {'loss': 0.5} in W&B, missing here"),
    ],
)
def test_rows_that_are_missing_doubled_or_changed_are_told(
    theirs: list[dict[str, float]], said: str
) -> None:
    found = list(differences([{"loss": 0.5}], theirs))
    assert said in told(found)
    assert len(found) == 1


def test_a_report_of_a_killed_forwarder_is_not_believed(run: Writing) -> None:
    storage = run.folder.storage
    assert how_far(run.folder) is None
    write_report(storage, Report(standing=Standing.FOLLOWING, mode="online", run=run.id, rows=5))
    uri = storage.child("wandb").uri
    subprocess.run([sys.executable, "-c", _DIES_HOLDING_IT, uri], check=False)
    report = how_far(run.folder)
    assert report is not None
    assert (report.standing, report.rows) == (Standing.BEHIND, 5)


def test_a_report_that_is_damaged_is_none(run: Writing) -> None:
    run.folder.storage.write("wandb/report.json", b"{}")
    assert read_report(run.folder.storage) is None


def test_a_run_that_is_not_over_is_left_to_its_forwarder(run: Writing) -> None:
    with pytest.raises(RequestError, match="is queued: its own forwarder sends it"):
        sync(run.folder, Tracking(), timeout_s=1)


def test_off_starts_nothing(run: Writing) -> None:
    assert start_forwarder(run.folder.uri, Tracking(mode=Mode.OFF)) is None
    assert start_forwarder(run.folder.uri, Tracking(), {"WANDB_MODE": "disabled"}) is None


@pytest.mark.processes
def test_who_cannot_sync_is_told_why_and_how(
    run: Writing, node: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.steps(1, 4)
    run.end()
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "ORCHESTRATOR_HOME", "HOME"):
        monkeypatch.setenv(name, node[name])
    for name, value, code, said in (
        ("WANDB_API_KEY", "", 2, "there is no key of W&B"),
        ("WANDB_API_KEY", "wrong" * 8, 2, "does not take this node's key"),
        ("WANDB_BASE_URL", "http://127.0.0.1:9", 1, "does not answer: [Errno 111]"),
    ):
        monkeypatch.setenv(name, value)
        with pytest.raises(OrchestratorError, match=re.escape(said)) as caught:
            sync(run.folder, Tracking(), timeout_s=1)
        assert caught.value.exit_code == code
        assert f"{run.id} is not all in W&B" in caught.value.message
        assert caught.value.hint == f"orchestrator wandb sync {run.id}"
    assert run.report().standing is Standing.BEHIND


@pytest.mark.processes
def test_a_run_without_figures_is_complete_and_wandb_never_loaded(
    run: Writing, forwarders: Forwarders
) -> None:
    run.end()
    forwarders.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    code, said = forwarders.end(forwarders.start(run))
    assert code == 0 and run.report().standing is Standing.COMPLETE
    loaded = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "orchestrator.tracking.wandb.ending" in loaded and "wandb" not in loaded
