"""Relative paths become those of the folder where they were typed; names stay names."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.settings.corpus import Corpus, Source, SourceKind, Tokenizer
from orchestrator.settings.paths import anchor


def corpus(*, source: str = "x", tokenizer: str | None = None, path: str | None = None) -> Corpus:
    return Corpus(
        name="c",
        sources={"one": Source(kind=SourceKind.TEXT, path=(source,))},
        tokenizer=Tokenizer(path=tokenizer),
        path=path,
    )


@pytest.mark.parametrize("kept", ["s3://bucket/x", "bundled:factbook", "/abs/x", "org/name", "x"])
def test_what_is_no_relative_path_stays(kept: str, tmp_path: Path) -> None:
    given = corpus(source=kept, tokenizer=kept)
    assert anchor(given, tmp_path) == given


@pytest.mark.parametrize("typed", ["there.txt", "*.txt", "deep/**/*.gz"])
def test_files_and_patterns_are_of_the_folder_where_they_were_typed(
    typed: str, tmp_path: Path
) -> None:
    (tmp_path / "there.txt").touch()
    anchored = anchor(corpus(source=typed, tokenizer=typed), tmp_path)
    assert anchored.sources["one"].path == (str(tmp_path / typed),)
    assert anchored.tokenizer.path == str(tmp_path / typed)
    assert anchor(anchored, tmp_path / "elsewhere") == anchored


def test_what_is_to_be_written_need_not_be_there(tmp_path: Path) -> None:
    assert anchor(corpus(path="out/corpus"), tmp_path).path == str(tmp_path / "out/corpus")
