"""Samples are framed as the tokenizer of the model frames them; words and places are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.settings.corpus import Algorithm
from orchestrator.tasks.tokens import TaskTokenizer, open_task_tokenizer
from tests.tasks.small import CONTEXT


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_samples_are_those_of_transformers(
    algorithm: Algorithm, tokenizer_folders: dict[Algorithm, Path]
) -> None:
    folder = tokenizer_folders[algorithm]
    ours, theirs = open_task_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    first, second = "The river rises", "in the eastern hills"
    firsts, seconds = ours.ids([first, second])
    single = ours.frame(firsts, None, max_tokens=64)
    pair = ours.frame(firsts, seconds, max_tokens=64)
    assert single.tokens == theirs(first)["input_ids"]
    assert pair.tokens == theirs(first, second)["input_ids"]
    if algorithm is not Algorithm.BPE:  # whose models have one kind of segment
        segments = [0] * pair.num_first + [1] * (len(pair.tokens) - pair.num_first)
        assert segments == theirs(first, second)["token_type_ids"]
    assert pair.tokens[pair.first_at :][: len(firsts)] == firsts
    assert pair.tokens[pair.second_at :][: len(seconds)] == seconds


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_each_piece_is_of_its_characters(
    algorithm: Algorithm, tokenizer_folders: dict[Algorithm, Path]
) -> None:
    tokenizer = open_task_tokenizer(tokenizer_folders[algorithm])
    (piece,) = tokenizer.pieces([CONTEXT])
    assert piece.ids == tokenizer.ids([CONTEXT])[0]
    covered = {place for begin, end in piece.spans for place in range(begin, end)}
    assert all(place in covered for place, letter in enumerate(CONTEXT) if not letter.isspace())
    assert all(
        before[0] <= after[0] for before, after in zip(piece.spans, piece.spans[1:], strict=False)
    )


sizes = st.integers(0, 40)


@given(first=sizes, second=st.none() | sizes, max_tokens=st.integers(8, 64))
def test_what_is_too_long_is_cut_to_fit_and_never_more(
    tokenizer: TaskTokenizer, first: int, second: int | None, max_tokens: int
) -> None:
    ids = None if second is None else [9] * second
    framed = tokenizer.frame([8] * first, ids, max_tokens=max_tokens)
    whole = first + (second or 0) + tokenizer.frame_size(is_pair=second is not None)
    assert len(framed.tokens) == min(whole, max_tokens)
    assert framed.is_cut == (whole > max_tokens)
    if second is not None and framed.is_cut:
        shorter = min(first, second)
        room = max_tokens - tokenizer.frame_size(is_pair=True)
        assert framed.tokens.count(8 if first < second else 9) >= min(shorter, room // 2)


def test_every_word_has_a_token(tokenizer: TaskTokenizer) -> None:
    words = ["river", "\u200b", "", "The"]
    (ids,) = tokenizer.words([words])
    assert len(ids) == len(words) and all(ids)
    assert ids[0] == tokenizer.ids(["river"])[0]


def test_an_encoder_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(NotFoundError, match=f"encoder={tmp_path} has no tokenizer") as told:
        open_task_tokenizer(tmp_path)
    assert "beside its config.json" in str(told.value)


def test_a_damaged_tokenizer_is_told_as_the_encoders(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(RequestError, match=f"^encoder={tmp_path} cannot be opened by"):
        open_task_tokenizer(tmp_path)
