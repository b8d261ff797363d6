"""All steps of a pipeline are composed and checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.api import Orchestrator
from orchestrator.cluster.place import Place
from orchestrator.runs import layout
from orchestrator.runs.plan import Plan
from orchestrator.settings.export import ExportJob
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import thaw
from orchestrator.settings.pretrain import PretrainJob
from tests.tasks.encoders import an_encoder
from tests.tasks.small import ROWS, write_jsonl

pytestmark = pytest.mark.slow

SEEDS = "pipeline.each.seed=[1,2,3]"
SMALL = ["corpus=factbook", "model=bert_tiny"]


def plan(folder: Path, steps: dict[str, Any] | None = None, *overrides: str) -> Plan:
    project = folder / "project"
    (project / "conf" / "pipeline").mkdir(parents=True, exist_ok=True)
    words = list(overrides)
    if steps is not None:
        (project / "conf" / "pipeline" / "mine.yaml").write_text(yaml.safe_dump({"steps": steps}))
        words.insert(0, "pipeline=mine")
    orchestrator = Orchestrator(str(folder / "runs"), working_dir=project)
    return orchestrator.plan("pipeline", words, place=Place.HERE)


def told(made: Plan) -> str:
    return "\n".join(map(str, made.findings))


def test_the_demo_is_whole_before_there_is_a_corpus_or_an_encoder(tmp_path: Path) -> None:
    made = plan(tmp_path, None, "set.pretrain.model=bert_mini", "set.pretrain.budget.steps=7")
    assert told(made) == ""
    assert not (tmp_path / "runs").exists()
    assert [row["step"] for row in made.derived["steps"]][:2] == ["prepare", "pretrain"]
    pretrain, export = made.children["pretrain"], made.children["export"]
    assert isinstance(pretrain, PretrainJob) and isinstance(export, ExportJob)
    assert (pretrain.budget.steps, pretrain.model.hidden) == (7, 256)
    assert export.encoder == "@pretrain"


def test_a_later_pretraining_takes_the_model_of_the_encoder_that_will_be(tmp_path: Path) -> None:
    steps = {
        "prepare": {"job": "prepare"},
        "first": {"job": "pretrain", "after": ["prepare"], "overrides": ["model=bert_mini"]},
        "second": {"job": "pretrain", "overrides": ["encoder=@first@best"]},
    }
    made = plan(tmp_path, steps)
    assert told(made) == ""
    first, second = made.children["first"], made.children["second"]
    assert isinstance(first, PretrainJob) and isinstance(second, PretrainJob)
    assert second.model == first.model


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"a": {"job": "probes"}}, "pipeline.steps.a.job=probes is not a job that a step can be."),
        ({"a": {"job": "pipeline"}}, "pipeline.steps.a.job=pipeline is not a job"),
        ({"a": {"job": "probe", "after": ["a"]}}, "a → a waits for itself."),
        (
            {"a": {"job": "probe", "after": ["b"]}, "b": {"job": "probe", "after": ["a"]}},
            "wait for each other.",
        ),
        (
            {"a": {"job": "export", "overrides": ["encoder=@b"]}},
            "step a: @b is not a step. Try one of: a.",
        ),
        ({"a": {"job": "export"}}, "step a: encoder=@last would be whatever run is the newest"),
        (
            {"a": {"job": "probe"}, "b": {"job": "export", "overrides": ["encoder=@a"]}},
            "step b: encoder=@a is a probe; a export takes what a step of kind pretrain made.",
        ),
        (
            {"a": {"job": "probe", "overrides": ["probe.repeat=1"]}},
            "step a: probe.repeat is not a setting of probe. Try probe.repeats.",
        ),
        (
            {"a": {"job": "prepare"}, "b": {"job": "pretrain", "overrides": SMALL}},
            "pipeline.steps.b.after lacks a, which makes its corpus. Try after: [a].",
        ),
        (
            {"b": {"job": "pretrain", "overrides": SMALL}},
            "step b: corpus=factbook is not prepared",
        ),
        (
            {"a": {"job": "probe", "overrides": ["cluster.num_workers=4096"]}},
            "step a: cluster.num_workers=4096",
        ),
    ],
)
def test_a_mistake_is_told_with_its_step(tmp_path: Path, steps: dict[str, Any], said: str) -> None:
    assert said in told(plan(tmp_path, steps))


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    return str(an_encoder(tmp_path / "encoder"))


def suite(folder: Path, *further: str) -> dict[str, Any]:
    file = write_jsonl(folder / "rows.jsonl", ROWS["classification"])
    words = ["encoder=@encoder", "task.data.kind=jsonl", f"task.data.splits.train.path=[{file}]"]
    words.append("task.max_tokens=32")
    each = {"task": ["own_classes", *further]}
    return {"tune": {"job": "finetune", "each": each, "overrides": words}}


def test_the_runs_of_a_step_are_planned_with_the_encoder_that_was_given(
    tmp_path: Path, encoder: str
) -> None:
    one_of_them = "set.tune-own-classes-2.seed=9"
    made = plan(tmp_path, suite(tmp_path), SEEDS, f"encoder={encoder}", one_of_them)
    assert told(made) == ""
    jobs = [job for job in made.children.values() if isinstance(job, FinetuneJob)]
    assert [(job.seed, job.encoder) for job in jobs] == [(n, encoder) for n in (1, 9, 3)]
    (row,) = made.derived["steps"]
    assert (row["runs"], row["for_each"]) == (3, "task=own_classes, seed=1 2 3")


def test_what_all_runs_of_a_step_have_wrong_is_told_once(tmp_path: Path, encoder: str) -> None:
    """And of one task alone, where the other is right."""
    made = plan(tmp_path, suite(tmp_path, "own_pairs"), SEEDS, f"encoder={encoder}")
    (finding,) = made.findings
    told = "step tune-own-pairs-1 and 2 more: task.data.splits.train: "
    assert str(finding).startswith(told) and "has no pair; it has text, label." in str(finding)


def test_an_encoder_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    made = plan(tmp_path, suite(tmp_path), SEEDS, "encoder=nowhere")
    assert told(made).count("nowhere") == 1 and len(made.findings) == 1


def test_a_step_that_is_several_runs_must_be_named_by_one(tmp_path: Path, encoder: str) -> None:
    steps = suite(tmp_path) | {"look": {"job": "evaluate", "overrides": ["encoder=@tune"]}}
    made = plan(tmp_path, steps, SEEDS, f"encoder={encoder}")
    assert "step look: @tune is 3 runs" in told(made)


def test_what_is_wrong_with_all_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789abcdefg")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "notes.txt").write_text("hf_0123456789abcdefg")
    made = plan(tmp_path, {"a": {"job": "probe"}, "b": {"job": "probe"}})
    assert told(made).count("notes.txt holds the value") == 1


def test_text_that_a_step_reads_does_not_travel_with_the_code(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "book.txt").write_text("Once upon a time. " * 50)
    source = "corpus.sources.text.path=[book.txt]"
    made = plan(tmp_path, {"a": {"job": "prepare", "overrides": ["corpus=text", source]}})
    assert told(made) == ""
    assert made.code is not None and "book.txt" not in made.code.files


def test_a_pipelines_folder_holds_the_jobs_of_its_steps(tmp_path: Path) -> None:
    made = plan(tmp_path, {"a": {"job": "probe"}, "b": {"job": "probe", "after": ["a"]}})
    run = Orchestrator(str(tmp_path / "runs"), working_dir=tmp_path / "project").create(made)
    for name in ("a", "b"):
        kept = run.folder.storage.read(layout.child(name)).decode()
        assert thaw(kept) == made.children[name]
