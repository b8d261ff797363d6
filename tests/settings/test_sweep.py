"""The `sweep` job: its space against the schema of a fine-tune, and the trials that it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import freeze, thaw
from orchestrator.settings.load import load
from orchestrator.settings.sweep import SweepJob

pytestmark = pytest.mark.slow


def loaded(*overrides: str, working_dir: Path) -> SweepJob:
    job, findings = load("sweep", ["encoder=some-run", *overrides], working_dir=working_dir)
    assert findings == []
    assert isinstance(job, SweepJob)
    return job


def test_the_grid_of_the_paper_is_ready(tmp_path: Path) -> None:
    job = loaded("space=paper", "search=grid", working_dir=tmp_path)
    assert job.read_space().size == 24
    trials = [job.trial(point) for point in job.read_space().grid()]
    assert all(findings == [] for _, findings in trials)
    assert len({freeze(trial) for trial, _ in trials if trial is not None}) == 24


@pytest.mark.parametrize(
    ("space", "search"),
    [
        *[("finetune", "tpe"), ("paper", "asha_tpe"), ("transfer", "hyperband")],
        *[("transfer", "median"), ("paper", "grid"), ("transfer", "random"), ("paper", "asha")],
        *[("schedule", "pbt"), ("schedule", "pb2"), ("rate", "pb2"), ("schedule", "tpe")],
    ],
)
def test_every_ready_space_and_search_is_whole(tmp_path: Path, space: str, search: str) -> None:
    job = loaded(f"space={space}", f"search={search}", working_dir=tmp_path)
    assert thaw(freeze(job)) == job


def test_a_trial_is_a_fine_tune_with_the_points_settings(tmp_path: Path) -> None:
    job = loaded("budget.max_duration=1h", "name=mine", working_dir=tmp_path)
    trial, findings = job.trial({"optim.lr": 3e-5, "transfer.way": "frozen"}, seed=7)
    assert findings == [] and type(trial) is FinetuneJob
    assert (trial.optim.lr, trial.transfer.way, trial.seed) == (3e-5, "frozen", 7)
    assert trial.budget.max_duration is None  # it is the sweep's
    assert not trial.evaluation.test  # of the winner alone
    assert (trial.task, trial.encoder, trial.batch) == (job.task, job.encoder, job.batch)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+space.optim.rate={choice: [1e-4]}", "is not a setting of a fine-tune"),
        ("+space.otpim.lr={choice: [1e-4]}", "optim.lr"),
        ("+space.task.max_tokens={choice: [64]}", "what trials have in common"),
        ("+space.optim={choice: [1e-4]}", "space.optim"),
        ("+space.transfer.way={choice: [full, half]}", "transfer.way=half is not a choice"),
        ("+space.transfer.dropout={uniform: [0, 2]}", "must be at most 0.9"),
        ("space.batch.examples.choice=[8,32]", "is more than the batch.examples=8"),
    ],
)
def test_what_the_schema_refuses_is_said_before_anything_starts(
    tmp_path: Path, override: str, said: str
) -> None:
    job, findings = load("sweep", ["encoder=some-run", override], working_dir=tmp_path)
    assert job is None
    assert any(said in str(finding) for finding in findings), findings


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search=pbt", "space=finetune"], "space.batch.examples cannot change while"),
        (["search=pb2", "+space.optim.betas.choice=[[0.9,0.99],[0.9,0.98]]"], "no range of"),
        (["search=pbt", "cluster.num_workers=2"], "so far only those of one worker"),
        (["search=pb2", "zero=1"], "cluster.num_workers=1 with zero.stage=1 does not go with"),
        (["search=pbt", "search.finalists=2"], "search.finalists=2 does not go with search=pbt"),
        (["search=pbt", "search.scheduler=asha"], "search.scheduler=asha does not go with"),
        (["search=pbt", "num_seeds=3"], "num_seeds=3 does not go with"),
        (["search=pbt", "search.interval_epochs=1.5"], "is no multiple of evaluation.every_epochs"),
        (["search=pbt", "search.interval_epochs=3"], "is as long as a trial"),
        (["search=pbt", "budget.trials=1"], "is no population"),
    ],
)
def test_what_a_population_cannot_do_is_said_before_anything_starts(
    tmp_path: Path, overrides: list[str], said: str
) -> None:
    words = ["encoder=some-run", "space=schedule", *overrides]
    job, findings = load("sweep", words, working_dir=tmp_path)
    assert job is None
    assert any(said in str(finding) for finding in findings), findings


@pytest.mark.parametrize(
    ("overrides", "is_group"),
    [
        ([], False),
        (["cluster.cpus_per_worker=4"], False),
        (["cluster.num_workers=2"], True),
        (["zero=1"], True),
        (["cluster.num_workers=2", "cluster.min_workers=1"], True),
        (["+space.precision.choice=[fp32,bf16]"], False),
        (["+space.precision.choice=[bf16,fp16]"], True),
    ],
)
def test_all_trials_of_a_sweep_are_groups_or_none_is(
    tmp_path: Path, overrides: list[str], is_group: bool
) -> None:
    job = loaded("search=asha_tpe", *overrides, working_dir=tmp_path)
    assert job.trains_in_groups is is_group


def test_a_size_that_never_differs_chooses_nothing(tmp_path: Path) -> None:
    words = ["encoder=some-run", "search=tpe", "search.beside=size", "space=rate"]
    job, findings = load("sweep", words, working_dir=tmp_path)
    assert job is None
    assert "no setting of the space changes them" in str(findings[0])
    loaded(*words[1:], "transfer.way=last", "+space.transfer.layers.choice=[1,2]",
           working_dir=tmp_path)  # fmt: skip


def test_a_grid_has_an_end(tmp_path: Path) -> None:
    overrides = ["encoder=some-run", "search=grid"]
    _, findings = load("sweep", overrides, working_dir=tmp_path)
    assert any("no end of values" in str(finding) for finding in findings)


def test_seeds_and_giving_up_do_not_go_together(tmp_path: Path) -> None:
    overrides = ["encoder=some-run", "search=asha", "num_seeds=3"]
    _, findings = load("sweep", overrides, working_dir=tmp_path)
    assert any("finalists" in str(finding) for finding in findings)
