"""Long contexts are read in windows: no token is lost, and every answer is found in one of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.tasks.example import Example, Where
from orchestrator.tasks.kinds.qa import QA, Answers, question_room
from orchestrator.tasks.kinds.windows import Window, target_of, windows_of
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer
from tests.tasks.small import CONTEXT, built, plain_task, read_small


@given(size=st.integers(0, 300), room=st.integers(1, 60), stride=st.integers(0, 60))
def test_windows_cover_all_and_overlap_as_asked(size: int, room: int, stride: int) -> None:
    windows = list(windows_of(size, room=room, stride=stride))
    assert windows[0].begin == 0 and windows[-1].end == size
    assert all(0 <= one.end - one.begin <= room for one in windows)
    for one, other in pairwise(windows):
        assert one.begin < other.begin
        assert one.end - other.begin >= min(stride, room // 2)


@given(
    begin=st.integers(0, len(CONTEXT) - 1),
    length=st.integers(1, 40),
    max_tokens=st.integers(24, 64),
)
def test_an_answer_that_fits_a_window_is_wholly_in_one(
    tokenizer: TaskTokenizer, begin: int, length: int, max_tokens: int
) -> None:
    text = CONTEXT[begin : begin + length]
    if not text.strip():
        return
    begin += len(text) - len(text.lstrip())
    text = text.strip()
    data = {"kind": "jsonl", "splits": {"train": {"path": ["a"]}}}
    task = built(plain_task("qa", data=data) | {"max_tokens": max_tokens, "stride": 12})
    example = Example(
        texts=("where?", CONTEXT), target=Answers((text,), (begin,)), where=Where("f", 1)
    )
    features = QA.encode([example], Labels(), tokenizer, task)
    spans_S2 = features.of_samples["span"]
    holding = np.flatnonzero((spans_S2 > 0).all(axis=1))
    if len(tokenizer.ids([text])[0]) <= 6:
        assert len(holding) >= 1
    for sample in holding:
        places = slice(*features.place_offsets_S1[sample : sample + 2])
        characters = features.of_places["characters"][places]
        found = CONTEXT[characters[spans_S2[sample, 0], 0] : characters[spans_S2[sample, 1], 1]]
        assert text in found  # whole tokens: it may begin or end within one
        assert len(found) <= len(text) + 30


def test_an_answer_that_is_cut_by_a_window_is_not_in_it() -> None:
    spans = [(0, 4), (5, 9), (10, 12)]
    assert target_of(Window(5, 12), spans) == (2, 3)
    assert target_of(Window(5, 13), spans) == (0, 0)
    assert target_of(Window(6, 8), spans) == (2, 2)
    assert target_of(Window(20, 22), spans) == (0, 0)


@given(size=st.integers(1, 100), max_tokens=st.integers(8, 80))
def test_however_long_a_question_is_windows_read_the_whole_context(
    tokenizer: TaskTokenizer, size: int, max_tokens: int
) -> None:
    data = {"kind": "jsonl", "splits": {"train": {"path": ["a"]}}}
    task = built(plain_task("qa", data=data) | {"max_tokens": max_tokens, "stride": 2})
    example = Example(texts=("river " * size, CONTEXT), target=Answers((), ()), where=Where("f", 1))
    features = QA.encode([example], Labels(), tokenizer, task)
    sizes = np.diff(features.offsets_S1)
    assert sizes.max() <= max_tokens
    assert (features.places_P < np.repeat(sizes, np.diff(features.place_offsets_S1))).all()
    (context,) = tokenizer.pieces([CONTEXT])
    read = {tuple(span) for span in features.of_places["characters"].tolist()}
    assert read == {(-1, -1), *context.spans}
    is_cut = len(tokenizer.ids([example.texts[0]])[0]) > question_room(max_tokens - 3)
    assert features.truncated_share == float(is_cut)


@pytest.mark.parametrize("none_score", [-50.0, 50.0])
def test_no_answer_is_said_only_where_training_had_such(
    none_score: float, tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    read = read_small("qa", tmp_path, tokenizer)
    scores_P2 = np.random.default_rng(0).normal(size=(len(read.features.places_P), 2))
    scores_P2[read.features.place_offsets_S1[:-1]] = none_score
    answers = QA.decode((scores_P2,), read.features, read.examples, read.labels, read.task).answers
    assert all((answer == "") == (none_score > 0) for answer in answers)
    without = QA.decode((scores_P2,), read.features, read.examples, Labels(), read.task).answers
    assert all(answer and answer in CONTEXT for answer in without)


def test_no_answer_is_longer_than_allowed(tmp_path: Path, tokenizer: TaskTokenizer) -> None:
    read = read_small("qa", tmp_path, tokenizer, answer_tokens=2)
    scores_P2 = np.random.default_rng(1).normal(size=(len(read.features.places_P), 2))
    answers = QA.decode((scores_P2,), read.features, read.examples, Labels(), read.task).answers
    for text in answers:
        assert len(tokenizer.ids([text])[0]) <= 2
