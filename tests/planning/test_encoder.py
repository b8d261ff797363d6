"""A plan says what `encoder=` means, for good, and what would not do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.api import Orchestrator
from orchestrator.cluster.place import Place
from orchestrator.encoder.families import config_values
from orchestrator.planning.encoder import freeze_encoder
from orchestrator.runs import layout
from orchestrator.runs.plan import Plan, Resources
from orchestrator.runs.storage import Storage, open_storage
from orchestrator.settings.export import ExportJob
from orchestrator.settings.model import Model
from orchestrator.settings.pretrain import PretrainJob
from tests.trained import BERT, ID, a_job, a_run, commit

HERE = Resources(asked={}, place="here")
FAR = Resources(asked={}, place="http://head:8265", is_this_machine=False)
OTHER = Model(layers=1, hidden=8, heads=1)
EXPORT = "20261123-031522-export-cccc"


@pytest.fixture
def runs(tmp_path: Path) -> Storage:
    storage = open_storage(tmp_path / "runs")
    run = a_run(storage, a_job(tmp_path))
    commit(run, 300, loss=1.0)
    commit(run, 400, loss=2.0)
    return storage


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_directory(tmp_path / "model")


def write_directory(folder: Path) -> Path:
    folder.mkdir(parents=True)
    config = config_values(BERT, vocab_size=300, pad_id=0)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    (folder / "model.safetensors").touch()
    return folder


def starting(tmp_path: Path, encoder: str) -> PretrainJob:
    return replace(a_job(tmp_path, OTHER), encoder=encoder)


def test_a_job_without_an_encoder_stays_as_it_is(runs: Storage, tmp_path: Path) -> None:
    job = a_job(tmp_path)
    frozen = freeze_encoder(job, runs, HERE, ())
    assert (frozen.job, frozen.findings, frozen.lineage, frozen.parent) == (job, (), {}, None)


def test_a_job_gets_the_runs_step_its_model_and_a_parent(runs: Storage, tmp_path: Path) -> None:
    frozen = freeze_encoder(starting(tmp_path, "@last@best"), runs, HERE, ())
    assert isinstance(frozen.job, PretrainJob) and frozen.findings == ()
    assert (frozen.job.encoder, frozen.job.model) == (f"{ID}@300", BERT)
    uri = f"{runs.uri}/{ID}"
    assert frozen.parent == {"run": ID, "uri": uri, "checkpoint_step": 300}
    facts = {"kind": "checkpoint", "uri": uri, "run": ID, "checkpoint_step": 300}
    assert frozen.lineage == {"encoder": facts}
    assert freeze_encoder(frozen.job, runs, HERE, ()).job == frozen.job


def test_a_job_gets_the_model_of_a_directory(
    runs: Storage, directory: Path, tmp_path: Path
) -> None:
    frozen = freeze_encoder(starting(tmp_path, str(directory)), runs, HERE, ())
    assert isinstance(frozen.job, PretrainJob)
    assert (frozen.job.encoder, frozen.job.model, frozen.parent) == (str(directory), BERT, None)
    a_run(runs, ExportJob(encoder=ID), EXPORT)
    made = write_directory(tmp_path / "runs" / EXPORT / layout.EXPORT)
    (made / layout.EXPORTED).write_text("{}")
    frozen = freeze_encoder(starting(tmp_path, "export"), runs, HERE, ())
    assert isinstance(frozen.job, PretrainJob)
    assert (frozen.job.encoder, frozen.job.model) == (EXPORT, BERT)
    assert frozen.parent is not None and frozen.parent["run"] == EXPORT


@pytest.mark.parametrize(
    ("checkpoint", "encoder", "step"),
    [
        *[("last", "small", 400), ("best", "small", 300), ("300", "small", 300)],
        *[("best", "@last", 300), ("best", f"{ID}@400", 400)],
    ],
)
def test_an_export_takes_the_checkpoint_that_is_asked_for(
    checkpoint: str, encoder: str, step: int, runs: Storage
) -> None:
    job = ExportJob(encoder=encoder, checkpoint=checkpoint)
    frozen = freeze_encoder(job, runs, HERE, ())
    assert isinstance(frozen.job, ExportJob)
    assert frozen.job.encoder == f"{ID}@{step}"
    assert freeze_encoder(frozen.job, runs, HERE, ()).job == frozen.job


def test_a_directory_that_nodes_cannot_see_is_found(
    runs: Storage, directory: Path, tmp_path: Path
) -> None:
    (found,) = freeze_encoder(starting(tmp_path, str(directory)), runs, FAR, ()).findings
    assert str(found) == (
        f"encoder={directory} is on a disk of this machine; the nodes of http://head:8265 cannot "
        "see it. Try a folder that every node mounts, or an object store: s3://…"
    )


def test_a_model_beside_an_encoder_is_a_mistake(runs: Storage, tmp_path: Path) -> None:
    typed = ("model=bert_mini", "++model.layers=3", "objective=mlm")
    found = freeze_encoder(starting(tmp_path, "small"), runs, HERE, typed).findings
    assert [finding.key for finding in found] == ["model", "model.layers"]
    assert "has no effect: encoder=small brings its own model" in str(found[0])


def test_an_export_of_a_directory_is_a_mistake(runs: Storage, directory: Path) -> None:
    (found,) = freeze_encoder(ExportJob(encoder=str(directory)), runs, HERE, ()).findings
    assert "is a directory already" in str(found)


def plan(runs: Storage, tmp_path: Path, *overrides: str) -> Plan:
    (tmp_path / "project").mkdir(exist_ok=True)
    orchestrator = Orchestrator(runs.uri, working_dir=tmp_path / "project")
    return orchestrator.plan("export", overrides, place=Place.HERE)


def test_the_plan_of_an_export_is_frozen_and_has_a_parent(runs: Storage, tmp_path: Path) -> None:
    made = plan(runs, tmp_path, "checkpoint=best")
    assert not made.findings
    assert isinstance(made.job, ExportJob) and made.job.encoder == f"{ID}@300"
    assert made.parent is not None and made.parent["run"] == ID
    assert made.lineage["encoder"]["checkpoint_step"] == 300


def test_an_unknown_run_and_a_wrong_choice_are_findings(runs: Storage, tmp_path: Path) -> None:
    (found,) = plan(runs, tmp_path, "encoder=nothing").findings
    assert "No run in" in str(found) and "'nothing' in its id" in str(found)
    (found,) = plan(runs, tmp_path, "checkpoint=newest").findings
    assert str(found).startswith("checkpoint=newest must be last, best or the number of a step.")
