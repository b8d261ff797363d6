from __future__ import annotations

import pytest

from orchestrator.corpus.tokens.spool import Spool


def characters(texts: list[str], limit: int) -> str:
    with Spool(texts, str.lower) as spool:
        return "".join(spool.characters(lambda char: 2 if char == "a" else 1, limit=limit))


def test_frequent_characters_find_their_places_first() -> None:
    texts = ["Aaa bb", "c", "dd "]
    assert characters(texts, 9) == "abcd"
    assert characters(texts, 5) == "abcd"
    assert characters(texts, 4) == "abd"
    assert characters(texts, 3) == "ab"
    assert characters(texts, 2) == "a"
    assert characters(texts, 1) == ""


@pytest.mark.slow
def test_characters_of_one_in_ten_million_are_noise() -> None:
    texts = ["x" * 1_000_000] * 10
    assert characters([*texts, "yyz"], 9) == "xy"


def test_other_characters_divide_words() -> None:
    with Spool(["a-b]c", "^a\\b"], str.upper) as spool:
        assert list(spool.lines("ABC")) == ["A B C\n", " A B\n"]
        assert list(spool.lines("ABC-]^\\")) == ["A-B]C\n", "^A\\B\n"]
