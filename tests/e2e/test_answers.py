"""A model for a task is measured and answers for files, with a real Ray, undisturbed and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.corpus.tokens.train import train_tokenizer
from orchestrator.runs import layout
from orchestrator.runs.archive import Archive
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import open_storage
from orchestrator.settings.corpus import Algorithm, Tokenizer
from orchestrator.settings.predict import Input, PredictJob
from orchestrator.tracking.exhibits import list_exhibits
from orchestrator.tracking.metrics import read_metrics
from tests.e2e.test_prepare import wait_for_no_driver
from tests.real import Orchestrate, command
from tests.tasks.prediction.answering import answered
from tests.tasks.saved import Saved
from tests.tasks.small import CONTEXT, ROWS, write_jsonl

pytestmark = pytest.mark.ray

NUM_ROWS = 12_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("model")
    settings = Tokenizer(algorithm=Algorithm.WORDPIECE, vocab_size=340, min_frequency=1)
    train_tokenizer(iter(CONTEXT.split(". ") * 3), settings, here / "words")
    return Saved("classification", here, {Algorithm.WORDPIECE: here / "words"}).folder


@pytest.mark.long
@pytest.mark.faults
def test_a_killed_prediction_is_gone_on_with_and_answers_every_row_once(
    orchestrate: Orchestrate, environment: dict[str, str], model: Path, tmp_path: Path
) -> None:
    texts = [f"{CONTEXT[number % 90 : number % 90 + 40]} {number}" for number in range(NUM_ROWS)]
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"text": text, "id": text} for text in texts])
    given = (f"encoder={model}", f"input.path=[{rows}]", "input.part_bytes=6kB")
    output = tmp_path / "answers.jsonl"
    words = ("predict", *given, f"output.path={output}", "cluster.num_workers=2", "name=answered")
    process = subprocess.Popen(
        command("run", *words),
        cwd=environment["PROJECT"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    archive = Archive(open_storage(environment["ORCHESTRATOR_STORAGE"]))
    deadline = time.monotonic() + 120
    while len(parts_of(archive)) < 4:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not output.exists(), "it was killed too late to show anything"
    wait_for_no_driver(orchestrate, "answered")
    assert "are answered already" in orchestrate("resume", "answered").stdout
    job = PredictJob(encoder=str(model), input=Input(path=(rows,)))
    alone = answered(job, model, tmp_path / "alone", size=2**30)
    (whole,) = alone
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["id"] for row in found] == texts
    wanted = [json.loads(line) for line in whole.read_text().splitlines()]
    assert [row["prediction"] for row in found] == [row["prediction"] for row in wanted]
    assert not parts_of(archive), "parts are not needed any more"


def parts_of(archive: Archive) -> list[str]:
    """Of the run that was killed, which may not be there yet."""
    runs = [run_id for run_id in archive.ids() if "-answered-" in run_id]
    if not runs:
        return []
    return [entry.name for entry in archive.find(runs[-1]).storage.list("prediction/parts")]


@pytest.mark.long
def test_a_model_is_measured_beside_another_and_all_of_it_is_in_the_run(
    orchestrate: Orchestrate, environment: dict[str, str], model: Path, tmp_path: Path
) -> None:
    here = tmp_path / "other"
    here.mkdir()
    tokenizers = {Algorithm.WORDPIECE: model.parent / "words"}
    other = Saved("classification", here, tokenizers, max_tokens=16).folder
    rows = write_jsonl(tmp_path / "rows.jsonl", ROWS["classification"] * 25)
    asked = (f"encoder={model}", f"compare={other}", f"path=[{rows}]", "part_examples=30")
    told = orchestrate("run", "evaluate", *asked, "name=measured").stdout
    assert "small, test: 100 examples" in told and "accuracy" in told
    run = Archive(open_storage(environment["ORCHESTRATOR_STORAGE"])).find("measured").storage
    report = json.loads(run.read("evaluation/report.json"))
    assert report["num_examples"] == 100 and len(report["differences"]) == 2
    answers = run.read("evaluation/predictions.jsonl").decode().splitlines()
    wheres = [json.loads(line)["where"] for line in answers]
    assert len(set(wheres)) == len(wheres) == 100
    assert run.exists("evaluation/confusion.svg") and run.exists("evaluation/report.md")
    result = read_result(run)
    assert result is not None
    values = result["metrics"]["test"]
    (line,) = read_metrics(run)
    assert {f"test/{name}": value for name, value in values.items()} == line["values"]
    assert [exhibit.name for exhibit in list_exhibits(run)] == ["confusion"]
    assert layout.RESULT in [entry.name for entry in run.list()]
