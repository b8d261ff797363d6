from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Pipeline

from orchestrator.corpus.rows import Rows
from orchestrator.corpus.tokens.folder import Described, write_folder
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.errors import NotFoundError, RequestError
from orchestrator.settings.corpus import Algorithm, Segmenter
from tests.corpus.tokens.texts import SENTENCES, SPECIALS, train

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
words = st.sampled_from(" ".join(SENTENCES).split())
sentences = st.lists(words | text, max_size=8).map(" ".join)
documents = st.lists(st.lists(sentences, max_size=5), max_size=5)
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROLES = {f"{name[1:-1].lower()}_token": name for name in BERT}


def tokens_of(rows: Rows, document: int) -> list[int]:
    begin, end = rows.offsets_D1[document : document + 2]
    return rows.tokens_T[begin:end].tolist()


def whole_words(made: CorpusTokenizer, rows: Rows) -> list[str]:
    """What whole-word masking takes together."""
    begins = np.flatnonzero(rows.word_starts_T)
    return [made.decode(part).strip() for part in np.split(rows.tokens_T, begins[1:])]


def opened(pipeline: Pipeline, folder: Path, **roles: str) -> CorpusTokenizer:
    write_folder(Described(pipeline=pipeline, roles=roles), folder)
    return open_tokenizer(folder)


def word_level(names: list[str]) -> Pipeline:
    ids = {name: number for number, name in enumerate(names)}
    pipeline = Pipeline(models.WordLevel(ids, unk_token="[UNK]"))
    pipeline.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pipeline.add_special_tokens([name for name in BERT if name in names])
    return pipeline


@given(documents)
@example([[], ["\u200b", ""], ["The river rises", "\u200b", "in the hills."]])
def test_a_document_is_its_sentences_encoded_apart(
    tokenizer: CorpusTokenizer, documents: list[list[str]]
) -> None:
    rows = tokenizer.encode(documents)
    assert len(rows) == len(documents)
    assert rows.tokens_T.dtype == tokenizer.token_type
    for number, document in enumerate(documents):
        apart = [tokenizer.encode([[sentence]]) for sentence in document]
        apart = [one for one in apart if len(one.tokens_T)]
        assert tokens_of(rows, number) == [id_ for one in apart for id_ in one.tokens_T.tolist()]
        begin, end = rows.sentence_offsets_D1[number : number + 2]
        ends = np.cumsum([len(one.tokens_T) for one in apart])
        assert rows.sentence_ends_N[begin:end].tolist() == ends.tolist()
        first, last = rows.offsets_D1[number : number + 2]
        starts = [is_start for one in apart for is_start in one.word_starts_T.tolist()]
        assert rows.word_starts_T[first:last].tolist() == starts
    assert rows.offsets_D1[-1] == len(rows.tokens_T) == len(rows.word_starts_T)
    assert rows.sentence_offsets_D1[-1] == len(rows.sentence_ends_N)


@given(st.lists(words | st.sampled_from(SPECIALS), max_size=8).map(" ".join), st.booleans())
@example("".join(SPECIALS), False)
@example("".join(SPECIALS), True)
@example("\uff1cpad\uff1e \uff3bMASK\uff3d", False)
def test_text_never_becomes_special_tokens(
    tokenizer: CorpusTokenizer, sentence: str, is_shouted: bool
) -> None:
    tokens = tokenizer.encode([[sentence.upper() if is_shouted else sentence]]).tokens_T
    specials = set(tokenizer.vocabulary.special_ids) - {tokenizer.unknown_id}
    assert not specials.intersection(tokens.tolist())


def test_the_text_of_a_special_token_stays_as_it_is(trained: dict[Algorithm, Path]) -> None:
    made = open_tokenizer(trained[Algorithm.BPE])
    assert made.decode(made.encode([["a<mask>, </s> ok"]]).tokens_T) == " a<mask>, </s> ok"


def test_nor_where_the_words_of_the_model_hold_them(tmp_path: Path) -> None:
    pipeline = word_level([*BERT, "hello", "[cls]", "[", "MASK]", "[ mask]"])
    made = opened(pipeline, tmp_path, **ROLES)
    rows = made.encode([["hello [MASK] hello", "[UNK] hello"], ["[CLS]"]])
    assert made.words(rows.tokens_T[:4]) == ["hello", "[", "MASK]", "hello"]
    assert made.words(rows.tokens_T[4:]) == ["[UNK]", "hello", "[", "[UNK]"]
    pipeline.normalizer = normalizers.Replace(" ", "")
    with pytest.raises(RequestError, match="special tokens of text"):
        opened(pipeline, tmp_path, **ROLES).encode([["[MASK]"]])


@pytest.mark.parametrize("algorithm", [Algorithm.BPE, Algorithm.UNIGRAM], ids=str)
def test_words_with_their_space_are_told_apart(
    trained: dict[Algorithm, Path], algorithm: Algorithm
) -> None:
    made = open_tokenizer(trained[algorithm])
    for sentence in SENTENCES[:6]:
        assert whole_words(made, made.encode([[sentence]])) == sentence.split()


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=str)
def test_pieces_laid_end_to_end_are_the_text(
    trained: dict[Algorithm, Path], algorithm: Algorithm
) -> None:
    made = open_tokenizer(trained[algorithm])
    for sentence in SENTENCES[:6]:
        text = " ".join(word for word in sentence.split() if word.isascii() and word.isalpha())
        pieces = made.pieces(made.encode([[text]]).tokens_T)
        assert "".join(pieces).strip() == text


def test_wordpiece_words_end_at_punctuation(trained: dict[Algorithm, Path]) -> None:
    made = open_tokenizer(trained[Algorithm.WORDPIECE])
    rows = made.encode([["Nobody knows, 1,302 of them", "have no name."]])
    told = "Nobody knows , 1 , 302 of them have no name ."
    assert whole_words(made, rows) == told.split()


def test_a_word_that_begins_a_sentence_is_like_others(trained: dict[Algorithm, Path]) -> None:
    made = open_tokenizer(trained[Algorithm.BPE])
    alone = made.encode([["people"], ["of people"], ["of"]])
    assert tokens_of(alone, 1) == tokens_of(alone, 2) + tokens_of(alone, 0)


def test_also_where_the_pipeline_adds_no_space(
    trained: dict[Algorithm, Path], tmp_path: Path
) -> None:
    mine = open_tokenizer(trained[Algorithm.BPE])
    pipeline = Pipeline.from_file(str(trained[Algorithm.BPE] / "tokenizer.json"))
    pattern = pre_tokenizers.Split(r" ?\S+", "isolated")
    for divider in (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Sequence([pattern, pre_tokenizers.ByteLevel(False, use_regex=False)]),
    ):
        pipeline.pre_tokenizer = divider
        made = opened(pipeline, tmp_path)
        document = ["people of the coast", "people of the hills"]
        assert (
            made.encode([document]).tokens_T.tolist() == mine.encode([document]).tokens_T.tolist()
        )


def test_other_signs_of_words_are_read_too(tmp_path: Path) -> None:
    ids = {"a": 0, "b": 1, "b</w>": 2, "a</w>": 3}
    pipeline = Pipeline(models.BPE(ids, [], end_of_word_suffix="</w>"))
    pipeline.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    starts = opened(pipeline, tmp_path).encode([["ab aab", "ba"]]).word_starts_T
    assert starts.tolist() == [True, False, True, False, False, True, False]

    pipeline = Pipeline(models.BPE({"▁": 0, "a": 1, "▁a": 2}, [("▁", "a")]))
    pipeline.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    starts = opened(pipeline, tmp_path).encode([["aa a"]]).word_starts_T
    assert starts.tolist() == [True, False, True]

    pipeline.normalizer = normalizers.Strip()
    pipeline.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    starts = opened(pipeline, tmp_path).encode([["aa a", "a"]]).word_starts_T
    assert starts.tolist() == [True, False, True, True]

    made = opened(word_level(["[UNK]", "to", "be"]), tmp_path)
    assert made.encode([["to be or"]]).word_starts_T.tolist() == [True] * 3


CHINESE = "我们 今天 去 北京大学 \uff0c 然后 回家 吃饭 。"
JAPANESE = "彼 は 東京 大学 で 日本 語 を 勉強 し まし た 。"


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=str)
@pytest.mark.parametrize(
    ("segmenter", "told"), [(Segmenter.CHINESE, CHINESE), (Segmenter.JAPANESE, JAPANESE)], ids=str
)
def test_words_that_no_space_divides_are_kept_together(
    trained: dict[Algorithm, Path], algorithm: Algorithm, segmenter: Segmenter, told: str
) -> None:
    """A token that holds the end of one word and the beginning of the next joins them."""
    tokenizer, sentence = open_tokenizer(trained[algorithm]), told.replace(" ", "")
    rows = tokenizer.encode([[sentence], ["The river", sentence]], segmenter)
    assert rows.tokens_T.tolist() == [*tokens_of(rows, 0), *tokens_of(rows, 1)]
    names = [name.removeprefix("##").strip("Ġ▁") for name in tokenizer.words(tokens_of(rows, 0))]
    is_bytes = algorithm is Algorithm.BPE
    lengths = [len(word.encode() if is_bytes else word) for word in told.split()]
    begins = np.cumsum([0, *lengths])
    at, is_spaced, starts = 0, False, []
    for name in names:
        starts.append(at in begins and not is_spaced)
        at, is_spaced = at + len(name), not name
    assert at == begins[-1]
    assert rows.word_starts_T[: len(names)].tolist() == starts
    assert rows.word_starts_T[-len(names) :].tolist() == starts


def test_a_segmenter_tells_words_with_spaces_too(trained: dict[Algorithm, Path]) -> None:
    made = open_tokenizer(trained[Algorithm.WORDPIECE])
    rows = made.encode([["我们 the  coast\u3000今天"]], Segmenter.CHINESE)
    assert whole_words(made, rows) == ["我 们", "the", "coast", "今 天"]


def test_the_vocabulary_is_what_may_be_predicted(tokenizer: CorpusTokenizer) -> None:
    vocabulary = tokenizer.vocabulary
    assert vocabulary.size == tokenizer.vocab_size
    assert vocabulary.special_ids == (0, 1, 2, 3, 4)
    assert tokenizer.words([vocabulary.mask_id])[0] in ("[MASK]", "<mask>")


def test_numbers_without_a_word_are_never_predicted(tmp_path: Path) -> None:
    ids = {name: number for number, name in enumerate(BERT)} | {"to": 7, "be": 9}
    pipeline = Pipeline(models.WordLevel(ids, unk_token="[UNK]"))
    vocabulary = opened(pipeline, tmp_path, **ROLES).vocabulary
    assert vocabulary.size == 10
    assert vocabulary.ordinary_ids.tolist() == [7, 9]


def test_without_a_mask_token_text_is_prepared_but_not_masked(tmp_path: Path) -> None:
    made = opened(word_level(["[UNK]", "[SEP]", "to", "be"]), tmp_path, unk_token="[UNK]")
    assert made.encode([["to be or"]]).tokens_T.tolist() == [2, 3, 0]
    assert made.unknown_id == 0
    with pytest.raises(RequestError, match=r"no mask token.*\[UNK\], \[SEP\]"):
        _ = made.vocabulary


def test_no_frame_means_an_empty_template(tmp_path: Path) -> None:
    template = opened(word_level(["[UNK]", "a", "b"]), tmp_path).template
    assert (template.prefix, template.middle, template.suffix) == ((), (), ())


def test_a_tokenizer_that_drops_letters_has_no_template(tmp_path: Path) -> None:
    pipeline = Pipeline(models.BPE({"x": 0}, []))
    with pytest.raises(RequestError, match="text is lost"):
        _ = opened(pipeline, tmp_path).template


def test_limits_of_an_earlier_use_are_gone(folder: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.from_file(str(folder / "tokenizer.json"))
    pipeline.enable_truncation(4)
    pipeline.enable_padding(length=32)
    made, kept = opened(pipeline, tmp_path), open_tokenizer(folder)
    sentences = [SENTENCES[0], "The river"]
    assert made.encode([sentences]).tokens_T.tolist() == kept.encode([sentences]).tokens_T.tolist()


def test_many_words_need_wide_tokens(tmp_path: Path) -> None:
    for last, wanted in ((2**16 - 1, np.uint16), (2**16, np.uint32)):
        pipeline = Pipeline(models.WordLevel({"[UNK]": 0, "last": last}, unk_token="[UNK]"))
        made = opened(pipeline, tmp_path)
        assert made.token_type == wanted
        assert made.encode([["last"]]).tokens_T.tolist() == [last]


def test_the_fingerprint_is_that_of_the_tokens(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    made = open_tokenizer(folder)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert open_tokenizer(tmp_path).fingerprint == made.fingerprint
    pipeline = Pipeline.from_file(str(folder / "tokenizer.json"))
    roles = json.loads((folder / "tokenizer_config.json").read_text())
    roles = {role: token for role, token in roles.items() if role.endswith("_token")}
    pipeline.decoder = decoders.Fuse()
    assert opened(pipeline, tmp_path, **roles).fingerprint == made.fingerprint
    other = {**roles, "mask_token": roles["pad_token"]}
    seen = {made.fingerprint, opened(pipeline, tmp_path, **other).fingerprint}
    pipeline.add_tokens([AddedToken("river")])
    seen.add(opened(pipeline, tmp_path, **roles).fingerprint)
    pipeline.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
    seen.add(opened(pipeline, tmp_path, **roles).fingerprint)
    assert len(seen) == 4


def test_another_vocabulary_has_another_fingerprint(tmp_path: Path) -> None:
    made = {
        train(Algorithm.BPE, tmp_path, vocab_size=vocab_size).fingerprint
        for vocab_size in (300, 301, 300)
    }
    assert len(made) == 2


def test_what_is_no_tokenizer_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"holds no tokenizer\.json"):
        open_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(RequestError, match="is not a tokenizer"):
        open_tokenizer(tmp_path)
