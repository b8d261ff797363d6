"""A model is asked by the name of its run or its directory, and answers at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.corpus.layout import TOKENIZER
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.corpus.tokens.train import train_tokenizer
from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.families import heads_of
from orchestrator.encoder.nearby import nearby
from orchestrator.runs.storage import open_storage
from orchestrator.settings.corpus import Algorithm, Tokenizer
from tests.tasks.saved import Saved
from tests.tasks.small import CONTEXT
from tests.trained import ID, a_job, a_run, commit, prepare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[Algorithm, Path]:
    folder = tmp_path_factory.mktemp("tokenizer")
    settings = Tokenizer(algorithm=Algorithm.WORDPIECE, vocab_size=340, min_frequency=1)
    train_tokenizer(iter(CONTEXT.split(". ") * 3), settings, folder)
    return {Algorithm.WORDPIECE: folder}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", str(tmp_path / "runs"))
    monkeypatch.delenv("ORCHESTRATOR_DEBUG", raising=False)
    return tmp_path


def test_a_directory_answers_people_and_programs(
    home: Path, tokenizers: dict[Algorithm, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    Saved("classification", home, tokenizers)
    assert run(["ask", "saved", "people on the coast"]) == 0
    shown = capfd.readouterr().out
    assert "coast" in shown and "hills" in shown and "%" in shown and "█" in shown
    assert run(["ask", "saved", "people on the coast", "--top", "1", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["schema"] == "orchestrator.ask/1"
    assert said["rankings"] == [[{"name": said["answer"], "share": said["confidence"]}]]
    for words, code, told in [
        (["saved", "a", "b"], 2, "2 texts were given"),
        (["saved", "a", "--label", "x", "--label", "y"], 2, "with classes of its own"),
        (["nosuch", "a"], 6, "No run in"),
        ([str(home / "none"), "a"], 6, "there is no such directory"),
        ([str(tokenizers[Algorithm.WORDPIECE]), "a"], 6, "it has no config.json"),
    ]:
        assert run(["ask", *words]) == code, words
        errors = capfd.readouterr().err
        assert told in errors and "Traceback" not in errors
        assert "encoder=" not in errors, "nobody typed that"


@pytest.mark.parametrize(
    ("kind", "texts", "told"),
    [
        ("qa", ["where?", CONTEXT], "The river"),
        ("similarity", ["one", "other"], "the cosine of their vectors"),
        ("multilabel", ["one"], "people"),
        ("intent_slots", ["live on the coast"], "close"),
    ],
)
def test_every_kind_of_answer_is_drawn(
    home: Path,
    tokenizers: dict[Algorithm, Path],
    capfd: pytest.CaptureFixture[str],
    kind: str,
    texts: list[str],
    told: str,
) -> None:
    columns = {"pair": "pair"} if kind == "similarity" else {}
    saved = Saved(kind, home, tokenizers, columns=columns)
    assert run(["ask", str(saved.folder), *texts]) == 0
    assert told in capfd.readouterr().out


def test_a_pretraining_run_fills_blanks_from_its_checkpoint(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs, job = open_storage(str(home / "runs")), a_job(home)
    with nearby(open_storage(prepare(runs, job.corpus)).uri_of(TOKENIZER)) as folder:
        tokenizer = open_tokenizer(folder)
    encoder = build_encoder(
        job.model,
        vocab_size=tokenizer.padded_vocab_size,
        pad_id=tokenizer.pad_id,
        heads=heads_of(job.objective),
        seed=7,
    )
    commit(a_run(runs, job), 400, encoder=encoder)
    assert run(["ask", ID, "The capital lies [MASK] the sea", "--top", "3", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert (said["kind"], len(said["rankings"][0])) == ("words", 3)
    assert run(["ask", ID, "no blank"]) == 2
    assert "The text has no blank" in capfd.readouterr().err
    assert run(["ask", f"{ID}@300", "[MASK]"]) == 6
    assert "has no checkpoint of step 300" in capfd.readouterr().err
    assert sorted(path.name for path in (home / "runs" / ID).iterdir()) == sorted(
        ["checkpoints", "job.yaml", "lineage.json"]
    ), "asking leaves nothing behind"
