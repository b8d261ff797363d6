"""What a model says of one input is what it predicts; what it cannot take is told in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

from orchestrator.corpus.tokens.take import take_tokenizer
from orchestrator.encoder.build import build_encoder, save_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.errors import RequestError
from orchestrator.settings.model import Family
from orchestrator.tasks.answer import Answer, answer
from orchestrator.tasks.blanks import open_filler
from orchestrator.tasks.directory import TaskDirectory, open_task_directory, save_task_model
from orchestrator.tasks.heads.sentence import ClassHead
from orchestrator.tasks.kinds.entailment import NLI
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.predict import predict
from orchestrator.tasks.tokens import open_task_tokenizer
from tests.tasks.saved import FAMILIES, Folders, Saved, as_published, saved_once
from tests.tasks.small import CONTEXT, ROWS, built, plain_task, write_jsonl

pytestmark = pytest.mark.slow


@pytest.fixture
def save(
    tmp_path_factory: pytest.TempPathFactory, tokenizer_folders: Folders
) -> Callable[..., Saved]:
    return partial(saved_once, tmp_path_factory.getbasetemp(), tokenizer_folders)


def typed(kind: str, texts: Sequence[str]) -> list[str]:
    """Words as a sentence."""
    return [" ".join(texts)] if kind in ("tagging", "intent_slots") else list(texts)


def plain(said: Any) -> Any:
    if isinstance(said, frozenset):
        return sorted(said)
    return [plain(each) for each in said] if isinstance(said, tuple) else said


@pytest.mark.parametrize("kind", sorted(ROWS))
def test_one_input_gets_the_answer_that_is_predicted(kind: str, save: Callable[..., Saved]) -> None:
    columns = {"columns": {"pair": "pair"}} if kind == "similarity" else {}
    saved = save(kind, **columns)
    opened = open_task_directory(saved.folder)
    read = saved.read
    expected = predict(opened.model, read.features, read.examples, read.labels, read.task)
    for number, example in enumerate(read.examples[:2]):
        said = answer(opened, typed(kind, example.texts))
        wanted = expected.answers[number]
        if kind in ("regression", "similarity"):
            assert said.answer == pytest.approx(wanted, abs=1e-5)
            assert said.confidence is None
            continue
        assert said.answer == (example.texts[1 + wanted] if kind == "choice" else plain(wanted))
        assert said.confidence == pytest.approx(expected.confidence_E[number], abs=1e-5)
        for ranking in said.rankings:
            shares = [choice.share for choice in ranking]
            assert shares == sorted(shares, reverse=True)
            if kind != "multilabel":
                assert sum(shares) == pytest.approx(1)
                assert ranking[0].name in (said.answer, said.answer[0])


def test_punctuation_is_a_word_and_every_word_gets_its_tag(save: Callable[..., Saved]) -> None:
    said = answer(open_task_directory(save("tagging").folder), ["It's 1,987 tin-mines, closed."])
    assert [each.word for each in said.tags] == ["It's", "1,987", "tin-mines", ",", "closed", "."]
    assert [each.tag for each in said.tags] == said.answer


WRONG: list[tuple[str, list[str], str]] = [
    ("classification", [], '(?s)takes "text"; 0 texts were given.*quotation marks'),
    ("classification", ["a", "b"], 'takes "text"; 2 texts were given'),
    ("classification", [" "], "A text is empty"),
    ("qa", ["where?"], 'takes "question" "context"; 1 text was given'),
    ("similarity", ["one"], 'takes "text" "another text"; 1 text was given'),
    ("choice", ["text", "only"], 'takes "text" "first choice" "second choice …"; 2 texts'),
]


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in WRONG}))
def test_texts_that_a_kind_cannot_take_are_refused(kind: str, save: Callable[..., Saved]) -> None:
    opened = open_task_directory(save(kind).folder)
    for of_kind, texts, said in WRONG:
        if of_kind == kind:
            with pytest.raises(RequestError, match=said):
                answer(opened, texts)
    if kind == "classification":
        with pytest.raises(RequestError, match="with classes of its own"):
            answer(opened, ["a"], labels=["x", "y"])


def test_entailment_is_asked_about_any_labels_also_of_a_model_for_nli(
    save: Callable[..., Saved], tmp_path: Path
) -> None:
    saved = save("entailment")
    judge: TaskDirectory = open_task_directory(saved.folder)
    said = answer(judge, ["people live on the coast"], labels=["tin", "coffee", "people", "tin"])
    assert {choice.name for choice in said.rankings[0]} == {"tin", "coffee", "people"}
    assert answer(judge, ["a"]).answer in saved.read.labels.classes
    with pytest.raises(RequestError, match="one of several"):
        answer(judge, ["a"], labels=["tin"])
    # The same weights, saved as a classification of pairs.
    rows = [{"text": "tin", "pair": "it is tin", "label": name} for name in NLI]
    nli = save_nli(saved, rows, tmp_path)
    again = answer(nli, ["people live on the coast"], labels=["tin", "coffee", "people"])
    assert again.rankings == said.rankings


def save_nli(saved: Saved, rows: list[dict[str, str]], folder: Path) -> TaskDirectory:
    data = {"kind": "jsonl", "splits": {"train": {"path": [write_jsonl(folder / "n", rows)]}}}
    task = built(plain_task("classification", data=data, columns={"pair": "pair"}))
    head = ClassHead(saved.model.encoder.settings.hidden, len(NLI), dropout=0.0)
    head.load_state_dict(saved.model.head.state_dict())
    target = folder / "nli"
    model = TaskModel(saved.model.encoder, head)
    save_task_model(target, model, Labels(classes=NLI), task, saved.tokenizer_folder)
    return open_task_directory(target)


def encoder_directory(family: Family, folder: Path, tokenizers: Folders, padding: int = 0) -> Path:
    model, algorithm = FAMILIES[family]
    tokenizer = open_task_tokenizer(tokenizers[algorithm])
    encoder = build_encoder(
        model,
        vocab_size=tokenizer.vocab_size + padding,
        pad_id=tokenizer.pad_id,
        heads=WORDS_ONLY,
        seed=5,
    )
    take_tokenizer(str(tokenizers[algorithm]), folder)
    save_encoder(encoder, folder)
    return folder


@pytest.mark.parametrize("family", Family)
def test_blanks_get_the_words_that_transformers_finds(
    family: Family, tmp_path: Path, tokenizer_folders: Folders
) -> None:
    target = tmp_path / "encoder"
    published = as_published(tokenizer_folders, tmp_path)
    filler = open_filler(encoder_directory(family, target, published))
    theirs = pipeline("fill-mask", model=str(target))
    sentence = "The people live on the {}, few in the mountains."
    lead = "" if family is Family.BERT else " "
    expected = theirs(lead + sentence.format(theirs.tokenizer.mask_token), top_k=3)
    for spelled in ("[MASK]", "<mask>"):
        said: Answer = filler.fill(sentence.format(spelled), top=3)
        [ranking] = said.rankings
        assert [choice.share for choice in ranking] == pytest.approx(
            [each["score"] for each in expected], abs=1e-5
        )
        assert ranking[0].name == said.answer[0] == expected[0]["token_str"].strip()
    assert len(filler.fill("[MASK] and [MASK]", top=2).rankings) == 2


def test_what_has_no_blank_or_no_words_is_refused(
    tmp_path: Path, tokenizer_folders: Folders
) -> None:
    folder = encoder_directory(Family.BERT, tmp_path / "a", tokenizer_folders, padding=5)
    filler = open_filler(folder)
    [words] = filler.fill("[MASK]", top=10_000).rankings
    assert len(words) == filler.pipeline.get_vocab_size(), "rows of padding are no words"
    with pytest.raises(RequestError, match=r"no blank.*\[MASK\]"):
        filler.fill("The people live on the coast", top=5)
    with pytest.raises(RequestError, match="the encoder reads 64"):
        filler.fill(f"{CONTEXT} {CONTEXT} [MASK]", top=5)
    saved = Saved("similarity", tmp_path, tokenizer_folders)
    (saved.folder / "task.json").unlink()
    with pytest.raises(RequestError, match="it has no vocabulary head"):
        open_filler(saved.folder)
