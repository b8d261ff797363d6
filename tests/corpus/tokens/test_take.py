from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Pipeline
from tokenizers import models, normalizers, processors

from orchestrator.corpus.tokens.take import take_tokenizer
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.errors import NotFoundError, RequestError, StorageError
from orchestrator.runs.storage import Storage
from orchestrator.settings.corpus import Algorithm
from tests.corpus.tokens.texts import SENTENCES

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Hello", "hello", "##lo", "world", "."]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "Ġ", "a", "b", "ab", "Ġa", "<mask>"]


def taken(path: Path | str, folder: Path) -> CorpusTokenizer:
    take_tokenizer(str(path), folder)
    assert sorted(file.name for file in folder.iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    return open_tokenizer(folder)


def files(folder: Path, **contents: object) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        stem, _, ending = name.rpartition("_")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{stem}.{ending}").write_text(text, encoding="utf-8")
    return folder


def test_a_folder_that_we_made_stays_what_it_is(folder: Path, tmp_path: Path) -> None:
    given, made = open_tokenizer(folder), taken(folder, tmp_path / "made")
    assert made.fingerprint == given.fingerprint
    assert made.template == given.template
    assert made.vocabulary == given.vocabulary


def test_transformers_opens_what_was_taken(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    made = taken(folder, tmp_path / "made")
    first, second = (AutoTokenizer.from_pretrained(path) for path in (folder, tmp_path / "made"))
    assert first(*SENTENCES[:2]).data == second(*SENTENCES[:2]).data
    assert first.special_tokens_map == second.special_tokens_map
    assert first.model_max_length == second.model_max_length
    ids = first(SENTENCES[1], add_special_tokens=False).input_ids
    assert made.encode([[SENTENCES[1]]]).tokens_T.tolist() == ids


def test_from_any_storage(storage: Storage, trained: dict[Algorithm, Path], tmp_path: Path) -> None:
    given = trained[Algorithm.WORDPIECE]
    for file in given.iterdir():
        storage.write(f"corpora/small/tokenizer/{file.name}", file.read_bytes())
    made = taken(storage.uri_of("corpora/small/tokenizer"), tmp_path / "made")
    assert made.fingerprint == open_tokenizer(given).fingerprint


def test_words_alone_are_enough(tmp_path: Path) -> None:
    bert = files(tmp_path / "bert", vocab_txt="\n".join(BERT) + "\n")
    made = taken(bert, tmp_path / "made")
    assert made.words(made.encode([["Hello world."]]).tokens_T) == ["Hello", "world", "."]
    assert made.words(made.template.prefix) == ["[CLS]"]
    assert made.words([made.vocabulary.mask_id]) == ["[MASK]"]

    words = {name: number for number, name in enumerate(ROBERTA)}
    merges = "#version: 0.2\na b\nĠ a\n"
    roberta = files(tmp_path / "roberta", vocab_json=words, merges_txt=merges)
    made = taken(roberta, tmp_path / "made")
    assert made.words(made.encode([["ab ab", "a"]]).tokens_T) == ["Ġ", "ab", "Ġ", "ab", "Ġa"]
    assert made.words(made.template.middle) == ["</s>", "</s>"]


@pytest.mark.parametrize(
    ("config", "told"), [({}, "Hello"), ({"do_lower_case": True}, "hello")], ids=str
)
def test_capitals_are_kept_where_words_have_them_unless_told(
    config: dict[str, bool], told: str, tmp_path: Path
) -> None:
    given = files(
        tmp_path / "given",
        vocab_txt="\n".join(BERT) + "\n",
        config_json={"model_type": "bert"},
        tokenizer_config_json=config,
    )
    made = taken(given, tmp_path / "made")
    assert made.words(made.encode([["Hello"]]).tokens_T) == [told]


def as_berts(pipeline: Pipeline, folder: Path) -> Path:
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    files(folder, tokenizer_config_json=config)
    pipeline.save(str(folder / "tokenizer.json"))
    return folder


def test_the_stored_pipeline_is_taken_rather_than_that_of_its_class(
    trained: dict[Algorithm, Path], tmp_path: Path
) -> None:
    pipeline = Pipeline.from_file(str(trained[Algorithm.WORDPIECE] / "tokenizer.json"))
    pipeline.normalizer = normalizers.Replace("harbour", "river")
    pipeline.post_processor = processors.TemplateProcessing(
        single="$A [SEP]", pair="$A [SEP] $B [SEP]", special_tokens=[("[SEP]", 3)]
    )
    pipeline.enable_truncation(8)
    pipeline.enable_padding(length=8)
    made = taken(as_berts(pipeline, tmp_path / "given"), tmp_path / "made")
    text = "Most of the people live where the harbour is."
    told = text.replace("harbour", "river")
    assert made.decode(made.encode([[text]]).tokens_T) == told
    assert made.template.prefix == ()
    assert made.words(made.template.suffix) == ["[SEP]"]
    assert made.words([made.vocabulary.mask_id]) == ["[MASK]"]
    stored = json.loads((tmp_path / "made" / "tokenizer.json").read_text())
    assert (stored["truncation"], stored["padding"]) == (None, None)


def test_its_class_says_what_the_stored_pipeline_does_not(tmp_path: Path) -> None:
    words = {name: number for number, name in enumerate(["[UNK]", "[CLS]", "[SEP]", "to", "be"])}
    pipeline = Pipeline(models.WordPiece(words, unk_token="[UNK]"))
    made = taken(as_berts(pipeline, tmp_path / "given"), tmp_path / "made")
    assert made.words(made.template.prefix) == ["[CLS]"]
    assert made.unknown_id == 0
    with pytest.raises(RequestError, match="no mask token"):  # the class's is not in the words
        _ = made.vocabulary


def test_a_pipeline_alone_has_no_roles_for_its_special_tokens(
    trained: dict[Algorithm, Path], tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(trained[Algorithm.WORDPIECE] / "tokenizer.json", given)
    made = taken(given, tmp_path / "made")
    assert made.words([made.unknown_id or 0]) == ["[UNK]"]
    assert "[UNK]" in made.words(made.encode([["☃ [MASK]"]]).tokens_T)
    with pytest.raises(RequestError, match="no mask token"):
        _ = made.vocabulary


def test_what_holds_no_tokenizer_is_told_with_what_is_there(tmp_path: Path) -> None:
    empty = files(tmp_path / "empty")
    with pytest.raises(RequestError, match="holds no tokenizer, only no file"):
        take_tokenizer(str(empty), tmp_path / "made")
    other = files(tmp_path / "other", notes_txt="x", config_json={"model_type": "bert"})
    with pytest.raises(RequestError, match=r"only config\.json, notes\.txt"):
        take_tokenizer(str(other), tmp_path / "made")
    with pytest.raises(RequestError, match="is a file"):
        take_tokenizer(str(other / "notes.txt"), tmp_path / "made")


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    broken = files(tmp_path / "broken", tokenizer_json="{", config_json={"model_type": "bert"})
    with pytest.raises(RequestError, match=r"cannot be opened by .*AutoTokenizer"):
        take_tokenizer(str(broken), tmp_path / "made")
    unread = files(tmp_path / "unread", vocab_txt="a\nb\n", config_json={"model_type": "albert"})
    with pytest.raises(RequestError, match=r"AlbertTokenizer without words.*vocab\.txt"):
        take_tokenizer(str(unread), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_what_is_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        take_tokenizer(str(tmp_path / "nothing"), tmp_path / "made")
    with pytest.raises(StorageError, match=r"no--name is no folder here, and the hub gives none"):
        take_tokenizer("no--name", tmp_path / "made")  # the hub's client asks nobody for that
