"""`sweep status`, `best` and `extend`, of a sweep whose ledger is there or says nothing yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.runs.folder import RunFolder, create_run
from orchestrator.runs.ids import new_id
from orchestrator.runs.plan import Plan
from orchestrator.runs.state import State
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.load import load
from orchestrator.settings.search import SearchKind
from orchestrator.tuning.trials import Fate, Leg
from tests.tuning.making import a_book, a_sweep

Said = pytest.CaptureFixture[str]


@pytest.fixture
def made(local: LocalStorage, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunFolder]:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", local.uri)
    monkeypatch.delenv("ORCHESTRATOR_DEBUG", raising=False)
    job = a_sweep(trials=4)
    folder = create_run(local, new_id("sweep"), replace(plan, kind=job.kind, job=job))
    folder.note("submitted", attempt=1, place="here")
    yield folder


def fill(folder: RunFolder) -> None:
    with a_book(folder.storage, a_sweep(trials=4)) as book:
        for number, value in enumerate((0.25, 0.75)):
            book.propose({"optim.lr": 1e-4 * (number + 1), "transfer.way": "full"}, seed=1)
            book.measured(number, 9.0, value)
            book.ended(number, Fate.FINISHED, value=value)
        book.propose({"optim.lr": 3e-4, "transfer.way": "full"}, seed=1)
        book.measured(2, 1.0, 0.5)
        book.propose({"optim.lr": 4e-4, "transfer.way": "full"}, seed=1)
        book.ended(3, Fate.FAILED, reason="[/a] its gradient [1] is not a number")


def test_the_best_come_first_and_failures_say_why(made: RunFolder, capfd: Said) -> None:
    fill(made)
    assert run(["sweep", "status", "@last"]) == 0
    shown = capfd.readouterr().out
    places = [shown.index(f"\n{number}  ") for number in ("0001", "0000", "0002", "0003")]
    assert places == sorted(places)
    assert "[/a] its gradient [1] is not a number" in shown and "3 of 4 configurations" in shown
    assert run(["sweep", "status", "@last", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["schema"] == "orchestrator.sweep.status/1"
    assert [trial["trial"] for trial in answer["trials"]] == [1, 0, 2, 3]
    assert answer["counts"] == {"open": 1, "finished": 2, "stopped": 0, "failed": 1}


def test_the_best_settings_can_be_pasted(made: RunFolder, capfd: Said, tmp_path: Path) -> None:
    fill(made)
    assert run(["sweep", "best", "@last"]) == 0
    overrides = capfd.readouterr().out.split()
    assert overrides == ["optim.lr=0.0002", "transfer.way=full"]
    job, findings = load("finetune", ["encoder=some-run", *overrides], working_dir=tmp_path)
    assert findings == [] and job is not None


def test_before_a_trial_has_finished_there_is_no_best(made: RunFolder, capfd: Said) -> None:
    assert run(["sweep", "best", "@last"]) == 6
    assert "No trial" in capfd.readouterr().err
    assert run(["sweep", "status", "@last"]) == 0
    assert "No trial has begun" in capfd.readouterr().out


def test_a_finished_sweep_can_be_extended_and_resumed(made: RunFolder, capfd: Said) -> None:
    assert run(["sweep", "extend", "@last", "--trials", "3"]) == 2  # it is not over
    capfd.readouterr()
    made.note("finished", attempt=1)
    assert run(["sweep", "extend", "@last", "--trials", "3"]) == 0
    assert "7 configurations" in capfd.readouterr().out
    assert made.status().state is State.STOPPED
    assert run(["sweep", "extend", "@last", "--trials", "2", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["configurations"] == 9


def test_of_a_population_is_told_what_the_best_went_through(
    local: LocalStorage, plan: Plan, monkeypatch: pytest.MonkeyPatch, capfd: Said
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", local.uri)
    job = a_sweep(space={"optim": {"lr": {"uniform": [0.1, 0.9]}}}, trials=2, kind=SearchKind.PBT)
    folder = create_run(local, new_id("sweep"), replace(plan, kind=job.kind, job=job))
    folder.note("submitted", attempt=1, place="here")
    with a_book(folder.storage, job) as book:
        for number, value in enumerate((0.25, 0.75)):
            book.propose({"optim.lr": 0.5 + number / 4}, seed=1)
            book.measured(number, 1.0, value)
        book.took_over(0, Leg(epochs=1.0, point={"optim.lr": 0.8}, source=1, step=10))
        book.end_generation()
        for number, value in enumerate((0.875, 0.8)):
            book.measured(number, 9.0, value)
            book.ended(number, Fate.FINISHED, value=value)
    assert run(["sweep", "best", "@last"]) == 0
    said = capfd.readouterr()
    assert said.out == "optim.lr=0.8\n"
    assert "0 to 1 epochs, in trial 0001: optim.lr=0.75\n" in said.err
    assert "1 to 9 epochs, in trial 0000: optim.lr=0.8\n" in said.err
    assert run(["sweep", "status", "@last"]) == 0
    shown = capfd.readouterr().out
    assert "0001 at 1" in shown and "sweep extend" not in shown
    folder.note("finished", attempt=1)
    assert run(["sweep", "extend", "@last", "--trials", "3"]) == 2
    assert "is a population of 2" in capfd.readouterr().err
