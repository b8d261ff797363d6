from __future__ import annotations

from dataclasses import replace

from orchestrator.dashboard.compare import differing, first_difference, is_of_the_machine
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.build import to_plain
from orchestrator.tracking.table import Columns, MetricTable
from tests.dashboard.making import Attempt, Script, job, make

ONE = Script(number=1, attempts=[Attempt(first=1, last=60)])


def lines(local: LocalStorage, script: Script) -> Columns:
    table = MetricTable(make(local, script).storage)
    table.read_new()
    return table.columns()


def test_settings_that_differ_are_named_with_every_value() -> None:
    jobs = [to_plain(job(replace(ONE, lr=lr))) for lr in (1e-4, 1e-4, 3e-4)]
    assert differing(jobs) == [{"key": "optim.lr", "values": [1e-4, 1e-4, 3e-4]}]
    assert differing(jobs[:2]) == []


def test_the_first_step_that_differs_is_found(local: LocalStorage) -> None:
    one = lines(local, ONE)
    same = lines(local, replace(ONE, began=1.7e9))
    assert first_difference(one, same, "train/loss") is None
    changed = {**same.values, "train/loss": same.values["train/loss"].copy()}
    changed["train/loss"][[29, 40]] += 1e-9
    found = first_difference(one, replace(same, values=changed), "train/loss")
    assert found is not None
    assert (found["step"], found["steps"], found["differ"]) == (30, 60, 2)


def test_steps_that_only_one_has_are_no_difference(local: LocalStorage) -> None:
    longer = replace(ONE, began=1.7e9, attempts=[Attempt(first=1, last=90)])
    assert first_difference(lines(local, ONE), lines(local, longer), "eval/loss") is None


def test_speed_is_no_result() -> None:
    assert is_of_the_machine("train/tokens_per_s") and is_of_the_machine("system/rank/0/cpu")
    assert not is_of_the_machine("train/loss")
