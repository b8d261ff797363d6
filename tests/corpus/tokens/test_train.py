from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Pipeline

from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.corpus.tokens.train import train_tokenizer
from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Algorithm, Tokenizer
from tests.corpus.tokens.texts import SENTENCES, lines, train

TRAIN_EACH = """
import sys
from pathlib import Path
from orchestrator.settings.corpus import Algorithm
from tests.corpus.tokens.texts import train
for algorithm in Algorithm:
    train(algorithm, Path(sys.argv[1], algorithm.value), lowercase=False)
"""
MANY_CHARACTERS = " ".join(map(chr, [*range(0x1C, 0x20), *range(0x3B1, 0x4B0)]))
algorithms = pytest.mark.parametrize("algorithm", list(Algorithm), ids=str)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("num_threads", [1, 3])
def test_the_same_text_gives_the_same_bytes_in_every_process(
    trained: dict[Algorithm, Path], num_threads: int, tmp_path: Path
) -> None:
    env = {"RAYON_NUM_THREADS": str(num_threads), "PYTHONHASHSEED": str(num_threads)}
    command = [sys.executable, "-c", TRAIN_EACH, str(tmp_path)]
    subprocess.run(command, env=os.environ | env, check=True)
    for algorithm, folder in trained.items():
        assert bytes_of(tmp_path / algorithm.value) == bytes_of(folder), algorithm


def test_transformers_gives_the_same_tokens(folder: Path, tokenizer: CorpusTokenizer) -> None:
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(folder)
    for sentence in SENTENCES[:-1]:
        ids = opened(sentence, add_special_tokens=False).input_ids
        assert tokenizer.encode([[sentence]]).tokens_T.tolist() == ids
    template = tokenizer.template
    first, second = (opened(text, add_special_tokens=False).input_ids for text in SENTENCES[:2])
    assert opened(*SENTENCES[:2]).input_ids == [
        *template.prefix,
        *first,
        *template.middle,
        *second,
        *template.suffix,
    ]
    assert opened(SENTENCES[0]).input_ids == [*template.prefix, *first, *template.suffix]
    assert opened.mask_token_id == tokenizer.vocabulary.mask_id
    assert opened.unk_token_id == tokenizer.unknown_id
    assert opened.model_max_length == 512
    assert len(opened) == tokenizer.vocab_size
    masked = opened(f"the {opened.mask_token} is", add_special_tokens=False).input_ids
    assert tokenizer.words(masked)[1] == opened.mask_token


def test_special_tokens_frame_texts_as_their_families_do(trained: dict[Algorithm, Path]) -> None:
    def template(algorithm: Algorithm) -> tuple[list[str], ...]:
        made = open_tokenizer(trained[algorithm])
        parts = made.template
        return tuple(made.words(part) for part in (parts.prefix, parts.middle, parts.suffix))

    def specials(algorithm: Algorithm) -> list[str]:
        return open_tokenizer(trained[algorithm]).words(range(5))

    assert template(Algorithm.WORDPIECE) == (["[CLS]"], ["[SEP]"], ["[SEP]"])
    assert template(Algorithm.BPE) == (["<s>"], ["</s>", "</s>"], ["</s>"])
    assert template(Algorithm.UNIGRAM) == (["[CLS]"], ["[SEP]"], ["[SEP]"])
    assert specials(Algorithm.WORDPIECE) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert specials(Algorithm.BPE) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert specials(Algorithm.UNIGRAM) == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=9),
    st.sampled_from([64, 65, 80, 128]),
    st.sampled_from([Algorithm.WORDPIECE, Algorithm.UNIGRAM]),
    st.booleans(),
)
@example([MANY_CHARACTERS * 99, "ab abc bcd " * 9], 64, Algorithm.UNIGRAM, False)
@example([MANY_CHARACTERS, "ab abc bcd " * 9], 64, Algorithm.WORDPIECE, False)
def test_there_are_never_more_words_than_asked_for(
    tmp_path: Path, texts: list[str], vocab_size: int, algorithm: Algorithm, lowercase: bool
) -> None:
    texts = [*texts, "an ordinary line"]
    settings = Tokenizer(algorithm=algorithm, vocab_size=vocab_size, lowercase=lowercase)
    train_tokenizer(iter(texts), settings, tmp_path)
    made = open_tokenizer(tmp_path)
    assert made.vocab_size == len(set(made.words(range(made.vocab_size)))) <= vocab_size
    made.encode([texts])


@algorithms
def test_a_small_corpus_gives_fewer_words(algorithm: Algorithm, tmp_path: Path) -> None:
    settings = Tokenizer(algorithm=algorithm, vocab_size=30522)
    train_tokenizer(iter(["to be or not to be"]), settings, tmp_path)
    made = open_tokenizer(tmp_path)
    assert 5 < made.vocab_size < 300
    assert made.padded_vocab_size % 64 == 0
    assert 0 <= made.padded_vocab_size - made.vocab_size < 64
    tokens = made.encode([["to be or not to be"]]).tokens_T
    assert made.unknown_id not in tokens
    assert made.decode(tokens).strip() == "to be or not to be"


@algorithms
def test_no_text_is_refused(algorithm: Algorithm, tmp_path: Path) -> None:
    settings = Tokenizer(algorithm=algorithm)
    for texts in ([], ["", " \t", "\u3000"]):
        with pytest.raises(RequestError, match="no text to train"):
            train_tokenizer(iter(texts), settings, tmp_path)


def test_all_bytes_must_find_room(tmp_path: Path) -> None:
    settings = Tokenizer(algorithm=Algorithm.BPE, vocab_size=260)
    with pytest.raises(RequestError, match="vocab_size=260 is too small"):
        train_tokenizer(lines(), settings, tmp_path)


def test_lowercase_text_has_no_accents_either(tmp_path: Path) -> None:
    for algorithm in (Algorithm.WORDPIECE, Algorithm.UNIGRAM):
        made = train(algorithm, tmp_path, lowercase=True)
        assert made.decode(made.encode([["LA FORÊT"]]).tokens_T).strip() == "la foret"


def test_wordpiece_takes_chinese_characters_for_words(trained: dict[Algorithm, Path]) -> None:
    made = open_tokenizer(trained[Algorithm.WORDPIECE])
    rows = made.encode([["去北京大学"]])
    assert made.words(rows.tokens_T) == list("去北京大学")
    assert rows.word_starts_T.all()


def test_wordpiece_knows_every_letter_inside_of_words(trained: dict[Algorithm, Path]) -> None:
    names = set(
        Pipeline.from_file(str(trained[Algorithm.WORDPIECE] / "tokenizer.json")).get_vocab()
    )
    letters = {name for name in names if len(name) == 1 and name.isalpha() and name < "\u3000"}
    assert {f"##{letter}" for letter in letters} <= names
