"""An encoder is trained on with its own words only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Pipeline

from orchestrator.corpus.layout import TOKENIZER
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.encoder.words import words_findings
from orchestrator.runs.storage import open_storage
from tests.trained import a_job, prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("words")
    return Path(prepare(open_storage(here / "runs"), a_job(here).corpus)) / TOKENIZER


@pytest.fixture
def tokenizer(folder: Path) -> CorpusTokenizer:
    return open_tokenizer(folder)


def found(directory: Path, tokenizer: CorpusTokenizer) -> list[str]:
    return [str(finding) for finding in words_findings(directory, tokenizer)]


def test_the_same_words_fit_in_every_form(
    folder: Path, tokenizer: CorpusTokenizer, tmp_path: Path
) -> None:
    assert found(folder, tokenizer) == []
    names = tokenizer.words(range(tokenizer.vocab_size))
    for form in ("lines", "mapping"):
        (tmp_path / form).mkdir()
    (tmp_path / "lines" / "vocab.txt").write_text("\n".join([*names, "[more]"]))
    words = {name: number for number, name in enumerate(names)}
    (tmp_path / "mapping" / "vocab.json").write_text(json.dumps(words))
    assert found(tmp_path / "lines", tokenizer) == []
    assert found(tmp_path / "mapping", tokenizer) == []


def test_two_words_in_each_others_place_are_found(
    folder: Path, tokenizer: CorpusTokenizer, tmp_path: Path
) -> None:
    plain = json.loads(Pipeline.from_file(str(folder / "tokenizer.json")).to_str())
    words = plain["model"]["vocab"]
    one, other = tokenizer.words([200, 201])
    words[one], words[other] = 201, 200
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    (said,) = found(tmp_path, tokenizer)
    assert f"{one!r} is word 200 of the corpus and word 201 of the encoder" in said


def test_missing_words_and_missing_tokenizers_are_found(
    tokenizer: CorpusTokenizer, tmp_path: Path
) -> None:
    assert "has no tokenizer: none of tokenizer.json" in found(tmp_path, tokenizer)[0]
    (tmp_path / "vocab.txt").write_text("\n".join(tokenizer.words(range(250))))
    assert "is word 250 of the corpus and none of the encoder" in found(tmp_path, tokenizer)[0]
