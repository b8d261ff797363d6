"""What a plan says of a sweep: its trials, its rungs, how many at once, and what would not do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.api import Orchestrator
from orchestrator.cluster.place import Place
from orchestrator.planning.pretrain import Surroundings
from orchestrator.planning.resources import this_machine
from orchestrator.planning.sweep import look_ahead_sweep
from orchestrator.runs.plan import Plan
from orchestrator.runs.storage import open_storage
from orchestrator.settings.sweep import SweepJob
from orchestrator.tasks.tokens import open_task_tokenizer
from tests.planning.test_answers import a_model
from tests.tasks.small import write_jsonl

pytestmark = pytest.mark.slow


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Overrides that name a task and an encoder that are there."""
    model = a_model(tmp_path / "encoder")
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "and", "coast"]
    (model / "vocab.txt").write_text("\n".join(known))
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    assert open_task_tokenizer(model).vocab_size == 9
    lines = [{"text": f"the {n} of", "label": "ab"[n % 2]} for n in range(100)]
    file = write_jsonl(tmp_path / "train.jsonl", lines)
    data = (f"task.data.splits.train.path=[{file}]", "task.data.kind=jsonl", "task.max_tokens=16")
    return ["task=own_classes", *data, f"encoder={model}", "batch.examples=16"]


def plan(tmp_path: Path, *overrides: str) -> Plan:
    orchestrator = Orchestrator(str(tmp_path / "runs"), working_dir=tmp_path)
    return orchestrator.plan("sweep", overrides, place=Place.HERE)


def test_a_plan_counts_trials_rungs_and_epochs(tmp_path: Path, words: list[str]) -> None:
    more = ("search=asha_tpe", "budget.trials=27", "budget.epochs=9", "search.finalists=2")
    made = plan(tmp_path, *words, *more, "search.finalist_seeds=3", "search.max_concurrent=2")
    assert not made.findings
    derived = made.derived
    assert derived["configurations"] == 27
    assert derived["rungs"] == [
        {"epochs": 1.0, "trials_that_come_so_far": 27},
        {"epochs": 3.0, "trials_that_come_so_far": 9},
        {"epochs": 9.0, "trials_that_come_so_far": 3},
    ]
    assert derived["epochs_at_most"] == (27 + 2 * 3) * 9
    assert derived["epochs_expected"] == 27 + 9 * 2 + 3 * 6 + 2 * 3 * 9
    assert 1 <= derived["at_once"] <= 2
    assert isinstance(made.job, SweepJob)


def test_groups_at_once_are_as_many_as_have_room(tmp_path: Path, words: list[str]) -> None:
    made = plan(tmp_path, *words, "cluster.num_workers=3", "cluster.cpus_per_worker=0.5", "zero=2")
    assert not made.findings and made.derived["workers_of_a_trial"] == 3
    job = made.job
    assert isinstance(job, SweepJob)
    for cpus, fit in ((1.5, 1), (2.9, 1), (3.0, 2), (5.9, 3), (100.0, 20)):
        has = replace(this_machine(job), has={"CPU": cpus})
        around = Surroundings(storage=open_storage(tmp_path), resources=has)
        assert look_ahead_sweep(job, around).derived["at_once"] == fit


def test_what_a_point_alone_cannot_do_is_said(tmp_path: Path, words: list[str]) -> None:
    made = plan(tmp_path, *words, "space=transfer", "zero=3")
    told = [str(finding) for finding in made.findings]
    assert len(told) == 1 and "space: zero.stage=3 does not go with transfer.way=ada" in told[0]


def test_a_grid_is_as_large_as_its_space(tmp_path: Path, words: list[str]) -> None:
    made = plan(tmp_path, *words, "search=grid", "space=paper")
    assert not made.findings
    assert made.derived["configurations"] == made.derived["points_of_the_space"] == 24
    assert made.derived["epochs_at_most"] == 24 * 4


def test_a_population_says_how_often_and_how_many_take_over(
    tmp_path: Path, words: list[str]
) -> None:
    made = plan(tmp_path, *words, "search=pbt", "space=schedule", "budget.epochs=4")
    assert not made.findings
    derived = made.derived
    assert (derived["configurations"], derived["intervals"]) == (8, 4)
    assert (derived["take_over_each_time"], derived["epochs_at_most"]) == (2, 32)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.grace_epochs=3", "as long as the longest trial"),
        ("evaluation.every_epochs=3", "at their end only"),
        ("schedule.counted_in=tokens", "schedule.counted_in"),
        ("+space.precision.choice=[bf16,fp16]", "space: precision=fp16 needs GPUs"),
    ],
)
def test_what_would_never_happen_is_said(
    tmp_path: Path, words: list[str], override: str, said: str
) -> None:
    made = plan(tmp_path, *words, "search=asha", override)
    assert any(said in str(finding) for finding in made.findings), made.findings
