"""Steps, what they wait for, and what `set` gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.settings.kinds import freeze, thaw
from orchestrator.settings.load import load
from orchestrator.settings.members import Step
from orchestrator.settings.pipeline import Pipeline, PipelineJob, above

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT


def job(steps: dict[str, Step], **set_: Any) -> PipelineJob:
    return PipelineJob(pipeline=Pipeline(steps=steps), set_=set_)


def suite(*, encoder: str | None = None, **more: Any) -> PipelineJob:
    """Two tasks that start from a third, each with two seeds."""
    steps = {
        "first": Step(job="finetune", overrides=("encoder=@encoder",), each={"task": ("mnli",)}),
        "then": Step(
            job="finetune", overrides=("encoder=@first@best",), each={"task": ("rte", "stsb")}
        ),
        "look": Step(job="probe", after=("then",)),
    }
    pipeline = Pipeline(steps=steps, each={"seed": (1, 2)})
    return PipelineJob(pipeline=pipeline, encoder=encoder, set_=more)


def told(folder: Path, plain: dict[str, Any], *words: str) -> str:
    (folder / "conf" / "pipeline").mkdir(parents=True)
    (folder / "conf" / "pipeline" / "mine.yaml").write_text(yaml.safe_dump(plain))
    _, findings = load("pipeline", ["pipeline=mine", *words], working_dir=folder)
    return "\n".join(map(str, findings))


def test_a_step_with_each_is_a_run_for_every_combination() -> None:
    made = suite(encoder="a run")
    assert list(made.members) == [
        *("first-mnli-1", "first-mnli-2"),
        *("then-rte-1", "then-rte-2", "then-stsb-1", "then-stsb-2", "look"),
    ]
    assert made.overrides_of("first-mnli-2") == ("encoder='a run'", "task='mnli'", "seed=2")


def test_a_reference_is_to_the_run_for_the_same_values() -> None:
    made = suite(encoder="x")
    assert made.overrides_of("then-stsb-2")[0] == "encoder=@first-mnli-2@best"
    assert made.waits_for("then-stsb-2") == ("first-mnli-2",)
    assert made.waits_for("look") == made.runs_of("then")
    assert above(made.graph(), "look") == {*made.runs_of("then"), *made.runs_of("first")}


def test_set_reaches_all_runs_of_a_step_and_one_alone() -> None:
    made = suite(encoder="x", then={"budget": {"epochs": 2}}, **{"then-rte-1": {"seed": 7}})
    assert made.overrides_of("then-rte-1")[-3:] == ("seed=1", "budget.epochs=2", "seed=7")
    assert made.overrides_of("then-rte-2")[-1] == "budget.epochs=2"


def test_the_encoder_of_a_pipeline_is_given_where_steps_take_it_and_nowhere_else() -> None:
    (finding,) = suite().findings()
    assert str(finding).startswith("encoder must be given: first-mnli-1 and 1 more begin with it.")
    other = PipelineJob(pipeline=Pipeline(steps={"a": Step(job="probe")}), encoder="x")
    assert "encoder=x has no effect" in "\n".join(map(str, other.findings()))
    assert list(suite(encoder="x").findings()) == []


@pytest.mark.parametrize(
    ("step", "more", "said"),
    [
        ({"each": {"task": []}}, {}, "pipeline.steps.a.each.task=[] has no value."),
        ({"each": {"task": ["x_y", "x-y"]}}, {}, "gives two runs the name a-x-y: task=x_y and"),
        ({"each": {"task": [["x"]]}}, {}, "must be text or a number"),
        ({"each": {"task": ["x" * 40]}}, {}, "which is no name of a step: at most 30"),
        ({}, {"each": {"seed": [1]}}, "pipeline.each has no effect: no step has an `each`"),
    ],
)
def test_mistakes_in_each_are_told(
    tmp_path: Path, step: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    assert said in told(tmp_path, {"steps": {"a": {"job": "probe", **step}}, **more})


@given(value=SCALARS | st.lists(SCALARS, max_size=4))
@example(value="a\\'b\\")
@example(value="\\\\")
@example(value="")
def test_a_value_of_set_reaches_the_step_as_it_was(value: Any) -> None:
    made = job({"one": Step(job="probe")}, one={"some": {"key": value}})
    (text,) = made.overrides_of("one")
    override = OverridesParser.create().parse_override(text)
    assert override.key_or_group == "some.key"
    assert override.value() == value


def test_what_is_set_comes_after_what_the_step_says() -> None:
    made = job(
        {"one": Step(job="probe", overrides=("probe.repeats=2",))}, one={"probe": {"repeats": 3}}
    )
    assert made.overrides_of("one") == ("probe.repeats=2", "probe.repeats=3")


@pytest.mark.parametrize(
    "text", ["encoder=@train", "++encoder=@train@best", "encoder='@train@400'", "compare=@train"]
)
def test_a_step_waits_for_those_that_its_settings_name(text: str) -> None:
    steps = {
        "train": Step(job="pretrain"),
        "other": Step(job="probe"),
        "use": Step(job="export", after=("other",), overrides=("name=x", text)),
    }
    assert job(steps).waits_for("use") == ("other", "train")


@pytest.mark.parametrize("text", ["encoder=@last", "note=@ada", "encoder=train", "encoder=a@best"])
def test_other_text_names_no_step(text: str) -> None:
    assert job({"use": Step(job="export", overrides=(text,))}).references_of("use") == ()


def test_above_a_step_are_all_that_it_waits_for_in_the_end() -> None:
    graph = {"a": (), "b": ("a",), "c": ("b",), "d": ("a",)}
    assert above(graph, "c") == {"a", "b"}
    assert above(graph, "a") == set()


def test_mistakes_in_the_graph_are_told_together(tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "pipeline"
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text(
        "steps:\n  last: {job: probe}\n  Two: {job: probe}\n  three: {job: probe, after: [thre]}\n"
    )
    words = ["pipeline=bad", "set.tree.note=x"]
    _, findings = load("pipeline", words, working_dir=tmp_path)
    told = "\n".join(map(str, findings))
    for said in (
        "pipeline.steps.last is no name of a step",
        "pipeline.steps.Two is no name of a step",
        "pipeline.steps.three.after=thre is not a step. Try three.",
        "set.tree is not a step. Try three.",
    ):
        assert said in told


def test_a_pipeline_is_frozen_with_what_was_set(tmp_path: Path) -> None:
    words = ["set.pretrain.budget.steps=7", "set.pretrain.model=bert_mini"]
    loaded, findings = load("pipeline", words, working_dir=tmp_path)
    assert findings == [] and isinstance(loaded, PipelineJob)
    assert loaded.overrides_of("pretrain")[-2:] == ("budget.steps=7", "model='bert_mini'")
    assert thaw(freeze(loaded)) == loaded
