from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.text.words import segment_by
from orchestrator.settings.corpus import Segmenter

segmenters = st.sampled_from([Segmenter.CHINESE, Segmenter.JAPANESE])
bits = st.sampled_from(
    [*"我们今天去北京大学彼は東京で日本語を勉強しました。 \u3000\t\0", "the ", "coast", "😀"]
)
sentences = st.lists(bits | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)).map(
    "".join
)


def words(segmenter: Segmenter, sentence: str) -> list[str]:
    segment = segment_by(segmenter)
    assert segment is not None
    begins = segment(sentence)
    ends = [*begins[1:], len(sentence)]
    return [sentence[begin:end].strip() for begin, end in zip(begins, ends, strict=True)]


@pytest.mark.parametrize(
    ("segmenter", "told"),
    [
        (Segmenter.CHINESE, "我们 今天 去 北京大学 吃饭 。"),
        (Segmenter.JAPANESE, "彼 は 東京 大学 で 日本 語 を 勉強 し まし た 。"),
    ],
)
def test_words_are_those_of_the_language(segmenter: Segmenter, told: str) -> None:
    assert words(segmenter, told.replace(" ", "")) == told.split()
    assert words(segmenter, f"the coast\u3000{told.replace(' ', '')} ok")[:2] == ["the", "coast"]


@given(segmenters, sentences)
def test_words_begin_in_turn_and_not_with_a_space(segmenter: Segmenter, sentence: str) -> None:
    segment = segment_by(segmenter)
    assert segment is not None
    begins = segment(sentence)
    assert begins == sorted(set(begins))
    assert not any(sentence[begin].isspace() for begin in begins)
    assert not sentence[: begins[0] if begins else None].strip().strip("\0")


def test_words_of_other_languages_are_the_tokenizers() -> None:
    assert segment_by(Segmenter.NONE) is None


MISSING = """
import sys
from orchestrator.corpus.text.words import segment_by
from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Segmenter
sys.modules[sys.argv[2]] = None
try:
    segment_by(Segmenter(sys.argv[1]))
except RequestError as err:
    print(err)
"""


@pytest.mark.parametrize(
    ("segmenter", "package"), [("chinese", "rjieba"), ("japanese", "unidic_lite")]
)
def test_a_missing_package_is_told_with_its_cure(segmenter: str, package: str) -> None:
    command = [sys.executable, "-c", MISSING, segmenter, package]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"corpus.segmenter={segmenter} needs the package {package}" in done.stdout
    assert "pip install orchestrator[cjk]" in done.stdout
