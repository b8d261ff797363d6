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
from orchestrator.settings.kinds import thaw
from orchestrator.settings.pretrain import PretrainJob

pytestmark = pytest.mark.slow

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
