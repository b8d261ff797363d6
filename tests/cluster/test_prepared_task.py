"""A run trains on the examples that it began with, and on no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.finetune import prepared_task
from orchestrator.cluster.place import Place
from orchestrator.cluster.stop import StopSignal
from orchestrator.errors import RequestError
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.storage import open_storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.tracking.progress import ProgressWriter
from tests.tasks.small import ROWS, task_of, write_jsonl
from tests.trained import a_run

FILE = "classification.jsonl"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "coast", "hills"]
    (encoder / "vocab.txt").write_text("\n".join(known) + "\n")
    (encoder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    job = FinetuneJob(task=task_of("classification", tmp_path), encoder=str(encoder))
    return a_run(open_storage(tmp_path / "runs"), job)


def prepared(run: RunFolder, *, attempt: int) -> str:
    job = run.job()
    assert isinstance(job, FinetuneJob)
    ledger = Ledger(run.storage, attempt=attempt, writer="attempt")
    given = Attempt(
        run=run,
        job=job,
        number=attempt,
        place=Place.HERE,
        ledger=ledger,
        progress=ProgressWriter(run.storage),
        stop=StopSignal(),
    )
    try:
        return prepared_task(given, job, job.encoder)
    finally:
        ledger.close()


def test_a_run_goes_on_with_what_it_began_with_though_its_file_changed(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = prepared(run, attempt=1)
    assert "tokenizing small, train: 4 examples" in capsys.readouterr().out
    write_jsonl(tmp_path / FILE, ROWS["classification"][:2])
    assert prepared(run, attempt=2) == first
    (tmp_path / FILE).unlink()
    assert prepared(run, attempt=3) == first
    assert capsys.readouterr().out == ""


def test_where_they_are_gone_they_are_made_again_and_only_if_they_are_the_same(
    run: RunFolder, tmp_path: Path
) -> None:
    first = prepared(run, attempt=1)
    run.parent.remove(first)
    assert prepared(run, attempt=2) == first and run.parent.exists(first)
    run.parent.remove(first)
    write_jsonl(tmp_path / FILE, ROWS["classification"][:2])
    with pytest.raises(RequestError, match=r"began with: .* 2 to train on"):
        prepared(run, attempt=3)
