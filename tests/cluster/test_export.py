"""What a run starts from is looked at before any worker is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.export import refuse_misfit, start_directory
from orchestrator.cluster.place import Place
from orchestrator.cluster.stop import StopSignal
from orchestrator.corpus.layout import TOKENIZER
from orchestrator.encoder.families import config_values
from orchestrator.errors import NotFoundError, SettingsError
from orchestrator.runs import layout
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.storage import open_storage
from orchestrator.tracking.progress import ProgressWriter
from tests.trained import BERT, a_job, a_run, prepare


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    here = tmp_path_factory.mktemp("corpus")
    return prepare(open_storage(here / "runs"), a_job(here).corpus)


@pytest.fixture
def encoder(corpus: str, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(Path(corpus) / TOKENIZER, folder)
    config = config_values(BERT, vocab_size=320, pad_id=0)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    (folder / "model.safetensors").touch()
    return folder


def test_an_encoder_with_the_corpus_words_fits(encoder: Path, corpus: str) -> None:
    refuse_misfit(str(encoder), corpus, 64)


def test_an_encoder_that_does_not_fit_says_everything_at_once(encoder: Path, corpus: str) -> None:
    (encoder / "tokenizer.json").unlink()
    with pytest.raises(SettingsError) as caught:
        refuse_misfit(str(encoder), corpus, 65)
    assert "has 64 positions and samples have up to 65" in str(caught.value)
    assert f"encoder={encoder} has no tokenizer" in str(caught.value)


def test_an_attempt_starts_from_what_the_one_before_made(tmp_path: Path) -> None:
    run = a_run(open_storage(tmp_path / "runs"), a_job(tmp_path))
    attempt = Attempt(
        run=run,
        job=run.job(),
        number=2,
        place=Place.HERE,
        ledger=Ledger(run.storage, attempt=2, writer="attempt"),
        progress=ProgressWriter(run.storage),
        stop=StopSignal(),
    )
    gone = "20261101-031522-gone-aaaa@400"
    run.storage.write(f"{layout.START}/config.json", b"{}")
    with pytest.raises(NotFoundError, match="No run in"):
        start_directory(attempt, gone)
    run.storage.write(f"{layout.START}/{layout.EXPORTED}", b"{}")
    assert start_directory(attempt, gone) == run.storage.uri_of(layout.START)
