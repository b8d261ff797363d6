"""A plan says what a model would be asked, and what of that would not do; nothing is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from orchestrator.api import Orchestrator
from orchestrator.cluster.place import Place
from orchestrator.encoder.families import config_values
from orchestrator.planning.encoder import Frozen
from orchestrator.planning.evaluate import freeze_evaluation, look_ahead_evaluation
from orchestrator.planning.pipeline import Promised
from orchestrator.runs.origin import find_origin
from orchestrator.runs.plan import Plan
from orchestrator.runs.storage import open_storage
from orchestrator.settings.build import to_plain
from orchestrator.settings.evaluate import EvaluateJob
from orchestrator.settings.model import Model
from orchestrator.settings.transfer import Reading
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.record import TaskRecord, write_record
from tests.tasks.small import ROWS, built, plain_task, write_jsonl
from tests.trained import a_job, a_run, commit

pytestmark = pytest.mark.slow

LABELS = Labels(classes=("coast", "hills"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def a_model(
    folder: Path, kind: str = "classification", labels: Labels = LABELS, *, positions: int = 64
) -> Path:
    """As it looks to whoever does not open the weights."""
    folder.mkdir()
    config = config_values(
        Model(layers=1, hidden=8, heads=1, max_positions=positions), vocab_size=9, pad_id=0
    )
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    (folder / "model.safetensors").touch()
    file = write_jsonl(folder.parent / f"{kind}.jsonl", ROWS[kind])
    splits = {name: {"path": [file]} for name in ("train", "validation", "test")}
    task = built(plain_task(kind, data={"kind": "jsonl", "splits": splits}))
    record = TaskRecord(
        task=task, labels=labels, reading=Reading.LAST, dropout=0.0, class_name=None, facts={}
    )
    write_record(folder, record)
    return folder


def plan(project: Path, kind: str, *overrides: str) -> Plan:
    orchestrator = Orchestrator(str(project.parent / "runs"), working_dir=project)
    return orchestrator.plan(kind, overrides, place=Place.HERE)


def findings(project: Path, kind: str, *overrides: str) -> str:
    made = plan(project, kind, *overrides)
    return "\n".join(map(str, made.findings))


def test_an_evaluation_freezes_the_task_that_the_model_was_made_for(project: Path) -> None:
    model = a_model(project.parent / "model")
    made = plan(project, "evaluate", f"encoder={model}")
    assert made.findings == () and isinstance(made.job, EvaluateJob)
    assert made.job.task is not None and made.job.task.name == "small"
    assert made.derived["examples"] == len(ROWS["classification"])
    # Files of the same form in place of the split's.
    rows = [{"text": "a", "label": "coast"}]
    write_jsonl(project / "mine.jsonl", rows)
    made = plan(project, "evaluate", f"encoder={model}", "path=[mine.jsonl]", "split=mine")
    assert made.findings == () and made.derived["examples"] == 1


def test_the_other_model_may_be_what_an_earlier_step_will_make(project: Path) -> None:
    model, runs = str(a_model(project.parent / "model")), open_storage(project.parent / "runs")
    job = EvaluateJob(encoder=model, compare="@tune")
    frozen = Frozen(job=job, origin=find_origin(model, runs))
    made = freeze_evaluation(frozen, runs, Promised(jobs={"tune": job}))
    assert made.findings == () and isinstance(made.job, EvaluateJob)
    assert made.job.compare == "@tune"
    assert look_ahead_evaluation(made.job, made).findings == []
    assert freeze_evaluation(frozen, runs, Promised(jobs={"other": job})).findings != ()


def test_what_an_evaluation_cannot_ask_is_told_in_the_plan(project: Path) -> None:
    model = a_model(project.parent / "model")
    asked = f"encoder={model}"
    assert "split=dev: the task small has none of that name." in findings(
        project, "evaluate", asked, "split=dev"
    )
    write_jsonl(project / "mine.jsonl", [{"text": "a", "label": "moon"}])
    said = findings(project, "evaluate", asked, "path=[mine.jsonl]")
    assert "mine.jsonl, line 1: 'moon' is not a label of the model." in said
    plain = a_model(project.parent / "plain")
    (plain / "task.json").unlink()
    assert "it has no task.json" in findings(project, "evaluate", f"encoder={plain}")
    short = a_model(project.parent / "short", positions=16)
    said = findings(project, "evaluate", asked, f"compare={short}")
    assert f"task.max_tokens=32 is more than the 16 positions of encoder={short}." in said
    other = a_model(project.parent / "other", labels=Labels(classes=("coast", "hills", "sea")))
    said = findings(project, "evaluate", asked, f"compare={other}")
    assert f"compare={other} has other classes: they differ in sea." in said
    scores = a_model(project.parent / "scores", "regression", Labels())
    said = findings(project, "evaluate", asked, f"compare={scores}")
    assert "is of kind classification, and the model was made for small, of kind regression" in said
    said = findings(project, "evaluate", asked, f"compare={model}")
    assert "is the same model as encoder=" in said
    assert "No run in" in findings(project, "evaluate", "encoder=nothing")
    folder = project / "conf" / "task"
    folder.mkdir(parents=True)
    data = {"kind": "jsonl", "splits": {"train": {"path": ["a.jsonl"]}}}
    (folder / "mine.yaml").write_text(yaml.dump(plain_task("tagging", data=data)))
    said = findings(project, "evaluate", asked, "task=mine")
    assert "is of kind tagging, and the model was made for small" in said


def test_a_pretrained_encoder_answers_nothing_but_has_vectors(project: Path) -> None:
    storage = Orchestrator(str(project.parent / "runs")).storage
    run = a_run(storage, a_job(project.parent))
    commit(run, 300)
    (project / "rows.jsonl").write_text('{"text": "a"}\n')
    for kind in ("evaluate", "predict"):
        assert "is a pretrained encoder" in findings(project, kind)
    made = plan(project, "predict", "embed=true")
    assert made.findings == ()
    assert made.job is not None and to_plain(made.job)["encoder"] == f"{run.id}@300"


def test_a_prediction_says_what_it_reads_and_writes(project: Path) -> None:
    model = a_model(project.parent / "model")
    write_jsonl(project / "rows.jsonl", [{"text": "a"}] * 3)
    made = plan(project, "predict", f"encoder={model}", "output.path=out.csv")
    assert made.findings == ()
    assert made.derived["input_files"] == 1 and made.derived["output_kind"] == "csv"
    assert made.code is not None and "rows.jsonl" not in made.code.files


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["input.path=[none.csv]", "output.path=sub"], ["none.csv does not exist.", "is a folder"]),
        (["input.path=[rows.dat]"], ["nothing in the name of"]),
        (["input.path=[bad.txt]"], ["bad.txt, line 1: has the byte 0xff at character 1"]),
        (["input.columns={text: body}"], ["rows.jsonl, line 1: has no body; it has text."]),
        (
            ["output.path=rows.jsonl", "input.columns={txt: text}", "max_tokens=512"],
            [
                "nothing is written over",
                "input.columns.txt is nothing that kind=classification reads.",
                "is more than the 64 positions of encoder=",
            ],
        ),
        (
            ["output.path=out.npy", "pooling=cls", "precision=fp16"],
            [
                "output.kind=npy is for vectors alone.",
                "pooling=cls has no effect without embed=true.",
                "precision=fp16 is for GPUs.",
            ],
        ),
    ],
)
def test_what_a_prediction_cannot_do_is_told_in_the_plan(
    overrides: list[str], told: list[str], project: Path
) -> None:
    model = a_model(project.parent / "model")
    write_jsonl(project / "rows.jsonl", [{"text": "a"}])
    (project / "rows.dat").write_text("a\n")
    (project / "bad.txt").write_bytes(b"\xff\n")
    (project / "sub").mkdir()
    said = findings(project, "predict", f"encoder={model}", *overrides)
    assert [text for text in told if text not in said] == []
