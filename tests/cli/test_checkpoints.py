"""`checkpoints RUN`: a table, one JSON document, and exit code 1 for what is torn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.runs.folder import RunFolder, create_run
from orchestrator.runs.ids import new_id
from orchestrator.runs.plan import Plan
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.load import load
from tests.runs.checkpoints.making import file_of, flip_a_byte, make, path, write_rank


@pytest.fixture
def made(
    local: LocalStorage, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunFolder:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", local.uri)
    monkeypatch.delenv("ORCHESTRATOR_DEBUG", raising=False)
    keep = [f"checkpoint.keep_{name}" for name in ("last=1", "best=1", "every=100")]
    overrides = ["corpus=factbook", "model=bert_tiny", "budget.steps=300", *keep]
    job, findings = load("pretrain", overrides, working_dir=tmp_path)
    assert job is not None, findings
    return create_run(local, new_id("pretrain"), replace(plan, kind=job.kind, job=job))


Said = pytest.CaptureFixture[str]


def test_a_run_without_any_says_so(made: RunFolder, capfd: Said) -> None:
    assert run(["checkpoints", made.id]) == 0
    assert f"{made.id} has no checkpoints." in capfd.readouterr().out
    assert run(["checkpoints", made.id, "--verify"]) == 0
    capfd.readouterr()
    assert run(["checkpoints", "@last", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert (answer["schema"], answer["checkpoints"]) == ("orchestrator.checkpoints/1", [])


def test_each_is_a_row_with_why_it_is_kept(made: RunFolder, capfd: Said) -> None:
    for step, loss in ((100, 3.25), (150, 1.5), (270, 2.0)):
        make(made.storage, step, validation_loss=loss)
    write_rank(made.storage, 300, 0)
    assert run(["checkpoints", "@last"]) == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    rows = {line[0]: line for line in lines if line}
    assert rows["100"][-2:] == ["3.2500", "every"]
    assert rows["150"][-2:] == ["1.5000", "best"]
    assert rows["270"][-2:] == ["2.0000", "last"]
    assert rows["300"][1] == "uncommitted"
    assert rows["Next:"][-1] == "--verify"
    assert run(["checkpoints", "@last", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert [each["kept_because"] for each in answer["checkpoints"]] == [
        *(["every"], ["best"], ["last"], [])
    ]
    assert answer["checkpoints"][1]["commit"]["facts"] == {"validation_loss": 1.5}


def test_what_is_torn_is_named_and_exits_with_1(made: RunFolder, capfd: Said) -> None:
    for step in (100, 200):
        make(made.storage, step)
    assert run(["checkpoints", made.id, "--verify"]) == 0
    assert capfd.readouterr().out.count("whole") == 2
    flip_a_byte(made.storage, path(200, file_of(1)))
    assert run(["checkpoints", made.id]) == 0
    assert "torn" not in capfd.readouterr().out, "nobody has looked"
    assert run(["checkpoints", made.id, "--verify"]) == 1
    said = capfd.readouterr()
    assert "torn checkpoints/step-000200: rank 1's shard-1.pt has checksum " in said.out
    assert "Traceback" not in said.err
    assert run(["checkpoints", made.id, "--verify", "--json"]) == 1
    answer = json.loads(capfd.readouterr().out)
    assert [each["state"] for each in answer["checkpoints"]] == ["whole", "torn"]


def test_a_job_that_says_nothing_of_checkpoints_keeps_none_for_a_reason(
    local: LocalStorage, plan: Plan, monkeypatch: pytest.MonkeyPatch, capfd: Said
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", local.uri)
    made = create_run(local, new_id("probe"), plan)
    make(made.storage, 100)
    assert run(["checkpoints", made.id, "--json"]) == 0
    [shown] = json.loads(capfd.readouterr().out)["checkpoints"]
    assert (shown["state"], shown["kept_because"]) == ("committed", [])
