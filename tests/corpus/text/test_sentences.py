from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.corpus.text.sentences import Divider
from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Sentences

languages = st.sampled_from(["en", "zh", "ja", "de", "ar", "hi", "hy", "my", "sv", "yue"])
ENDS = ". ! ? … 。 \uff01 \uff1f ｡ \u06d4 । \u0589"
QUOTES = ") ( [ ] { < “ ” \" ' « » 「 」 \u2018 \u2019 ` ``"
OTHERS = ", ; @ a B 3 é 漢 😀 Dr. e.g. U.S. Jan Yahoo! www.a.org"
SPACES = (" ", "\n", "\r\n", "\t", "\0", "\u3000", "\u2029", "\x85", "\xa0", "\u200b", "\u0301")
bits = st.sampled_from([*f"{ENDS} {QUOTES} {OTHERS}".split(), *SPACES])
texts = st.lists(bits | st.text(max_size=3), max_size=60).map("".join)


def without_space(text: str) -> str:
    return "".join(text.split())


def divide(text: str, language: str = "en", sentences: Sentences = Sentences.SPLIT) -> list[str]:
    return Divider(language, sentences).divide(text)


@given(texts, languages, st.sampled_from(Sentences), st.sampled_from([1, 1, 1, 40]))
@example("a\u3000.", "en", Sentences.SPLIT, 1)
@example("", "en", Sentences.SPLIT, 1)
def test_nothing_but_space_is_left_out(
    text: str, language: str, sentences: Sentences, times: int
) -> None:
    found = divide(text * times, language, sentences)
    assert without_space("".join(found)) == without_space(text * times)
    assert all(sentence and sentence == sentence.strip() for sentence in found)
    assert not any("\n" in sentence for sentence in found)


@given(st.lists(texts.map(lambda text: text.replace("\n", " ")), max_size=4), languages)
def test_each_line_is_divided_by_itself(lines: list[str], language: str) -> None:
    apart = [sentence for line in lines for sentence in divide(line, language)]
    assert divide("\n".join(lines), language) == apart


def test_lines_may_be_sentences() -> None:
    text = " One. Two? \r\n\n\t\nThree"
    assert divide(text, sentences=Sentences.LINES) == ["One. Two?", "Three"]
    assert divide(text) == ["One.", "Two?", "Three"]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Dr. Smith went to Washington, D.C. on Jan. 5.", "Really?!", "It cost $3.50."]),
        ("en", ['She said "Stop. Now!" and left.', "Then... she came back."]),
        ("de", ["Das ist z. B. gut.", "Am 3. Mai kam er."]),
        ("zh", ["今天天气很好。", "你去哪里？", "我回家！"]),  # noqa: RUF001
        ("ja", ["今日はいい天気ですね！", "行きますか？", "はい。"]),  # noqa: RUF001
        ("hi", ["यह एक वाक्य है।", "यह दूसरा है।"]),
        ("ar", ["كيف حالك؟", "أنا بخير."]),
        ("sv", ["Hon kom.", "Han gick."]),
        ("en", ["no end mark, no end"]),
        ("en", ["He got an A\u3000.", "The library dies of that space.", "Or of\xa0.", "This."]),
    ],
)
def test_sentences_end_by_the_rules_of_their_language(language: str, sentences: list[str]) -> None:
    space = "" if language in ("zh", "ja") else " "
    assert divide(space.join(sentences), language) == sentences


def test_a_long_line_is_divided_like_short_ones() -> None:
    sentences = [
        f"Dr. Gray has {number:,} islands, {'many ' * (number % 40)}of them without a name."
        for number in range(1000, 1300)
    ]
    assert divide(" ".join(sentences)) == sentences
    chinese = [f"我们去了{number}个地方，{'很' * (number % 90)}远。" for number in range(300)]  # noqa: RUF001
    assert divide("".join(chinese), "zh") == chinese


def test_a_stray_quotation_mark_hides_few_ends() -> None:
    text = 'He said "stop. ' + "They went on. " * 5000 + 'It was 5" long.'
    assert len(divide(text)) > 4900


def test_what_never_ends_is_one_sentence_up_to_a_page() -> None:
    words = "word " * 1600
    assert divide(words) == [words.strip()]
    pieces = divide("word " * 10_000)
    assert 1 < len(pieces) < 10
    assert {word for piece in pieces for word in piece.split(" ")} == {"word"}
    assert "".join(divide("x" * 50_000)) == "x" * 50_000


@pytest.mark.parametrize("language", ["jp", "xx", "deu", "qqq"])
def test_what_is_no_language_is_not_taken_for_english(language: str) -> None:
    with pytest.raises(RequestError, match=f"language={language} is no language"):
        Divider(language, Sentences.SPLIT)
