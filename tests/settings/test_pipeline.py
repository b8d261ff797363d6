"""Steps, what they wait for, and what `set` gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.settings.kinds import freeze, thaw
from orchestrator.settings.load import load
from orchestrator.settings.pipeline import Pipeline, PipelineJob, Step, above

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT


def job(steps: dict[str, Step], **set_: Any) -> PipelineJob:
    return PipelineJob(pipeline=Pipeline(steps=steps), set_=set_)


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
