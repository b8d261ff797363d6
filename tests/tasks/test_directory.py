"""A saved model comes back with every bit, and transformers computes with it what we do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, pipeline

from orchestrator.encoder.build import build_encoder, open_encoder, save_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.families import WORDS_AND_PAIRS, WORDS_ONLY
from orchestrator.errors import NotFoundError, OrchestratorError, RequestError
from orchestrator.settings.corpus import Algorithm
from orchestrator.settings.model import Family
from orchestrator.settings.task import Pooling
from orchestrator.settings.transfer import Reading
from orchestrator.tasks.directory import (
    TASK,
    TaskDirectory,
    from_pooler,
    is_task_directory,
    open_task_directory,
)
from orchestrator.tasks.heads.head import Head
from orchestrator.tasks.kinds.entailment import NLI
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.packed import pack
from orchestrator.tasks.tokens import open_task_tokenizer
from tests.tasks.saved import Folders, Saved, as_published, saved_once
from tests.tasks.small import MODEL, ROWS, read_small

pytestmark = pytest.mark.slow

# Kind → the class of transformers, by its own choice.
AUTO = {
    "classification": "AutoModelForSequenceClassification",
    "multilabel": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "entailment": "AutoModelForSequenceClassification",
    "intent_slots": "AutoModelForSequenceClassification",
    "tagging": "AutoModelForTokenClassification",
    "qa": "AutoModelForQuestionAnswering",
    "choice": "AutoModelForMultipleChoice",
    "similarity": "AutoModel",
}


@pytest.fixture
def save(
    tmp_path_factory: pytest.TempPathFactory, tokenizer_folders: Folders
) -> Callable[..., Saved]:
    return partial(saved_once, tmp_path_factory.getbasetemp(), tokenizer_folders)


def body_of(model: TaskModel) -> dict[str, Tensor]:
    return dict(model.encoder.model.base_model.state_dict())


def is_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def alone(saved: Saved) -> list[dict[str, Tensor]]:
    """Each sample as transformers is fed one."""
    features, family = saved.read.features, saved.model.encoder.settings.family
    bounds = features.offsets_S1.tolist()
    samples = []
    for begin, end in pairwise(bounds):
        sample = {"input_ids": torch.tensor(features.tokens_T[begin:end].astype(np.int64))[None]}
        if family is Family.BERT:
            segments = features.segments_T[begin:end].astype(np.int64)
            sample["token_type_ids"] = torch.tensor(segments)[None]
        samples.append(sample)
    return samples


def theirs(saved: Saved, folder: Path, auto_class: str) -> list[Tensor]:
    """Outputs for each sample, of a model from which nothing was missing and nothing left."""
    loaded, report = getattr(transformers, auto_class).from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report.values()), report
    with torch.inference_mode():
        outputs = [loaded.eval()(**sample) for sample in _fed(alone(saved), auto_class)]
    if auto_class == "AutoModelForQuestionAnswering":
        return [torch.stack([each.start_logits, each.end_logits], dim=-1)[0] for each in outputs]
    if auto_class == "AutoModel":
        return [each.last_hidden_state[0] for each in outputs]
    return [each.logits[0] for each in outputs]


def _fed(samples: list[dict[str, Tensor]], auto_class: str) -> list[dict[str, Tensor]]:
    if auto_class != "AutoModelForMultipleChoice":
        return samples
    return [{name: each[None] for name, each in sample.items()} for sample in samples]


def at_places(saved: Saved, outputs: list[Tensor]) -> np.ndarray:
    features = saved.read.features
    bounds = features.place_offsets_S1.tolist()
    places = [features.places_P[a:b] for a, b in pairwise(bounds)]
    parts = [out.numpy()[place] for out, place in zip(outputs, places, strict=True)]
    return np.concatenate(parts)


def expected(saved: Saved, outputs: list[Tensor]) -> np.ndarray:
    """Of transformers' outputs what our head would put out first."""
    kind = saved.read.task.kind
    if kind in ("tagging", "qa"):
        return at_places(saved, outputs)
    stacked = torch.stack(outputs) if kind != "similarity" else None
    if kind in ("regression", "choice"):
        assert stacked is not None
        return stacked.flatten().numpy()
    if kind == "entailment":
        assert stacked is not None
        return stacked.log_softmax(dim=1)[:, 1].numpy()
    if kind == "similarity":
        means = torch.stack([states.mean(dim=0) for states in outputs])
        return torch.cosine_similarity(means[0::2], means[1::2]).numpy()
    assert stacked is not None
    begins = saved.read.features.samples_E1[:-1] if kind == "intent_slots" else slice(None)
    return stacked.numpy()[begins]


# Of the other family the classes that lay a head out otherwise; all of them at length.
_OFTEN = [(kind, Family.BERT) for kind in sorted(ROWS)]
_OFTEN += [("classification", Family.ROBERTA), ("choice", Family.ROBERTA)]
_ALL = [(kind, family) for kind in sorted(ROWS) for family in Family]


@pytest.mark.parametrize(
    ("kind", "family"),
    [pytest.param(*each, marks=[] if each in _OFTEN else pytest.mark.long) for each in _ALL],
)
def test_what_was_saved_comes_back_and_transformers_computes_the_same(
    kind: str, family: Family, save: Callable[..., Saved]
) -> None:
    saved = save(kind, **({} if family is Family.BERT else {"family": family}))
    opened = open_task_directory(saved.folder)
    assert (opened.task, opened.labels) == (saved.read.task, saved.read.labels)
    assert is_same(body_of(opened.model), body_of(saved.model))
    assert is_same(dict(opened.model.head.state_dict()), dict(saved.model.head.state_dict()))
    ours = saved.outputs()
    for here, there in zip(ours, saved.outputs(opened.model), strict=True):
        np.testing.assert_array_equal(here, there)
    found = expected(saved, theirs(saved, saved.folder, AUTO[kind]))
    np.testing.assert_allclose(ours[0], found, atol=1e-5, rtol=0)
    if kind == "similarity":
        assert load_file(saved.folder / "model.safetensors")["pooler.dense.weight"].any()
    if kind == "intent_slots":
        slots = theirs(saved, saved.folder / "slots", "AutoModelForTokenClassification")
        np.testing.assert_allclose(ours[1], at_places(saved, slots), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", Family)
def test_their_tokenizer_makes_of_a_text_what_ours_makes(
    family: Family, tmp_path: Path, tokenizer_folders: Folders
) -> None:
    """Too long for a sample too, and of pairs."""
    published = as_published(tokenizer_folders, tmp_path)
    more = {"columns": {"pair": "label"}, "max_tokens": 9}
    saved = Saved("classification", tmp_path, published, family=family, **more)
    features = saved.read.features
    assert features.truncated_share > 0
    tokenizer = AutoTokenizer.from_pretrained(saved.folder)
    ours = np.split(features.tokens_T, features.offsets_S1[1:-1])
    for example, tokens_T in zip(saved.read.examples, ours, strict=True):
        assert tokenizer(*example.texts, truncation=True)["input_ids"] == tokens_T.tolist()
    state = torch.get_rng_state()
    again = open_task_directory(saved.folder).tokenizer
    assert torch.equal(torch.get_rng_state(), state), "opening draws from nobody's generator"
    remade = saved.read.kind.encode(saved.read.examples, saved.read.labels, again, saved.read.task)
    assert remade.fingerprint == features.fingerprint


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)


def test_a_pipeline_says_the_classes_with_their_names(save: Callable[..., Saved]) -> None:
    saved = save("classification")
    ask = pipeline("text-classification", model=str(saved.folder), top_k=None)
    shares_EC = softmax(saved.outputs()[0])
    for example, shares_C in zip(saved.read.examples, shares_EC, strict=True):
        said = {each["label"]: each["score"] for each in ask([example.texts[0]])[0]}
        assert said == pytest.approx(
            dict(zip(saved.read.labels.classes, shares_C.tolist(), strict=True)), abs=1e-5
        )


def test_pipelines_decide_several_classes_each_by_itself_and_leave_scores_alone(
    save: Callable[..., Saved],
) -> None:
    saved = save("multilabel")
    ask = pipeline("text-classification", model=str(saved.folder), top_k=None)
    said = {each["label"]: each["score"] for each in ask([saved.read.examples[0].texts[0]])[0]}
    ours = 1 / (1 + np.exp(-saved.outputs()[0][0]))
    assert said == pytest.approx(
        dict(zip(saved.read.labels.classes, ours.tolist(), strict=True)), abs=1e-5
    )
    saved = save("regression")
    ask = pipeline("text-classification", model=str(saved.folder))
    [said_one] = ask(saved.read.examples[0].texts[0])
    assert said_one == {"label": "score", "score": pytest.approx(saved.outputs()[0][0], abs=1e-5)}


def test_pipelines_tag_words_and_judge_hypotheses(save: Callable[..., Saved]) -> None:
    saved = save("tagging")
    tag = pipeline("token-classification", model=str(saved.folder), ignore_labels=[])
    words = saved.read.examples[0].texts
    firsts = [each for each in tag(" ".join(words)) if not each["word"].startswith("##")]
    shares_PC = softmax(saved.outputs()[0][: len(words)])
    names = [saved.read.labels.tags[number] for number in shares_PC.argmax(axis=1)]
    assert [each["entity"] for each in firsts] == names
    scores = [each["score"] for each in firsts]
    assert scores == pytest.approx(shares_PC.max(axis=1).tolist(), abs=1e-5)
    saved = save("entailment")
    judge = pipeline("zero-shot-classification", model=str(saved.folder))
    assert judge.entailment_id == 1
    labels = list(saved.read.labels.classes)
    logits_ELC = nli_logits(saved).reshape(-1, len(labels), len(NLI))
    for example, logits_LC in zip(saved.read.examples, logits_ELC, strict=True):
        shares = {
            False: softmax(logits_LC[:, 1]),  # of entailment, among hypotheses
            True: softmax(logits_LC[:, :2])[:, 1],  # and not contradiction, of each
        }
        for is_each, expected in shares.items():
            said = judge(
                example.texts[0],
                candidate_labels=labels,
                hypothesis_template=saved.read.task.hypothesis,
                multi_label=is_each,
            )
            found = dict(zip(said["labels"], said["scores"], strict=True))
            assert found == pytest.approx(
                dict(zip(labels, expected.tolist(), strict=True)), abs=1e-5
            )


def nli_logits(saved: Saved) -> np.ndarray:
    """[S, C] of our model, of which a head of entailment puts out one column's share."""
    features = saved.read.features
    packed = pack(features, np.arange(len(features)))
    with torch.inference_mode():
        hidden_TD = saved.model.encoder(
            packed.tokens_T, packed.positions_T, packed.segments_T, packed.layout
        )
        logits_SC = saved.model.head.get_submodule("classifier")(hidden_TD[packed.firsts_S])
    ours = logits_SC.log_softmax(dim=1)[:, NLI.index("entailment")].numpy()
    np.testing.assert_allclose(ours, saved.outputs()[0], atol=1e-6)
    return logits_SC.numpy()


def test_vectors_are_pooled_as_the_task_says(tmp_path: Path, tokenizer_folders: Folders) -> None:
    for pooling in Pooling:
        (tmp_path / pooling).mkdir()
        saved = Saved("similarity", tmp_path / pooling, tokenizer_folders, pooling=pooling.value)
        pooled = json.loads((saved.folder / "1_Pooling" / "config.json").read_text())
        assert pooled["pooling_mode_mean_tokens"] is (pooling is Pooling.MEAN)
        assert pooled["pooling_mode_cls_token"] is (pooling is Pooling.CLS)
        assert pooled["word_embedding_dimension"] == MODEL.hidden
        modules = json.loads((saved.folder / "modules.json").read_text())
        assert [module["path"] for module in modules] == ["", "1_Pooling"]


@pytest.mark.parametrize(
    "reading",
    [Reading.CONCATENATION_OF_FOUR, pytest.param(Reading.SUM_OF_FOUR, marks=pytest.mark.long)],
)
def test_a_head_that_no_class_fits_comes_back_from_its_own_file(
    reading: Reading, save: Callable[..., Saved]
) -> None:
    saved = save("classification", reading=reading)
    opened = open_task_directory(saved.folder)
    assert opened.model.reading is reading
    np.testing.assert_array_equal(saved.outputs(opened.model)[0], saved.outputs()[0])
    assert is_same(dict(opened.model.head.state_dict()), dict(saved.model.head.state_dict()))
    card = (saved.folder / "README.md").read_text()
    assert "open_task_directory" in card and "pipeline(" not in card
    body, report = transformers.AutoModel.from_pretrained(saved.folder, output_loading_info=True)
    assert not any(report.values())
    ours = body_of(saved.model)
    assert all(torch.equal(ours[name], body.state_dict()[name]) for name in ours)


def test_the_files_at_the_top_are_enough(save: Callable[..., Saved], tmp_path: Path) -> None:
    """What is copied from an object store."""
    saved = save("intent_slots")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in saved.folder.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    for here, there in zip(
        saved.outputs(), saved.outputs(open_task_directory(copy).model), strict=True
    ):
        np.testing.assert_array_equal(here, there)


def test_the_card_says_what_it_is_and_how_good_it_was(save: Callable[..., Saved]) -> None:
    saved = save("classification")
    card = (saved.folder / "README.md").read_text()
    assert "| test f1 | not defined |" in card
    assert "pipeline_tag: text-classification" in card and "`coast`, `hills`" in card
    assert "| test accuracy | 0.8765 |" in card and "| run | x-y |" in card
    opened: TaskDirectory = open_task_directory(saved.folder)
    assert opened.facts == saved.facts
    assert is_task_directory(saved.folder) and not is_task_directory(saved.tokenizer_folder)


def test_a_fine_tuned_model_is_an_encoder_to_start_from(save: Callable[..., Saved]) -> None:
    saved = save("classification")
    opened = open_encoder(read_directory(saved.folder), heads=WORDS_ONLY, seed=3)
    assert is_same(dict(opened.encoder.model.base_model.state_dict()), body_of(saved.model))
    assert all(name.startswith("cls.") for name in opened.new_parts)


def _change(folder: Path, **changes: Any) -> None:
    plain = json.loads((folder / TASK).read_text())
    for name, value in changes.items():
        plain[name] = value(plain[name])
    (folder / TASK).write_text(json.dumps(plain))


def _drop_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


SPOILED: dict[str, tuple[Callable[[Path], object], type[OrchestratorError], str]] = {
    "gone": (lambda at: (at / TASK).unlink(), NotFoundError, "it has no task.json"),
    "cut": (lambda at: (at / TASK).write_text('{"sch'), RequestError, "not as it was written"),
    "a list": (lambda at: (at / TASK).write_text("[]"), RequestError, "not as it was written"),
    "newer": (
        lambda at: _change(at, schema=lambda _: "orchestrator.task/2"),
        RequestError,
        "has schema orchestrator.task/2; this version .* reads orchestrator.task/1 and older",
    ),
    "foreign": (
        lambda at: _change(at, schema=lambda _: "other/1"),
        RequestError,
        "its schema is 'other/1'",
    ),
    "kind": (
        lambda at: _change(at, task=lambda task: task | {"kind": "classifcation"}),
        RequestError,
        "(?s)kind=classifcation is not a kind of task that is known here.*classification",
    ),
    "setting": (
        lambda at: _change(at, task=lambda task: task | {"max_tokens": "many"}),
        RequestError,
        "task.max_tokens=many",
    ),
    "labels": (
        lambda at: _change(at, labels=lambda labels: labels | {"classes": ["a", "b", "c"]}),
        RequestError,
        r"classifier.weight are \(2, 16\); by task.json they are \(3, 16\)",
    ),
    "weights": (_drop_weight, RequestError, "classifier.weight are not there"),
    "no weights": (
        lambda at: (at / "model.safetensors").unlink(),
        NotFoundError,
        "but no weights",
    ),
    "half": (
        lambda at: (at / "model.safetensors").write_bytes(b"\0" * 64),
        RequestError,
        "weights cannot be read",
    ),
}


def test_a_spoiled_directory_is_refused_with_its_reason(
    save: Callable[..., Saved], tmp_path: Path
) -> None:
    saved = save("classification")
    for name, (spoil, kind, said) in SPOILED.items():
        copy = tmp_path / name
        shutil.copytree(saved.folder, copy)
        spoil(copy)
        with pytest.raises(kind, match=said) as caught:
            open_task_directory(copy)
        assert str(copy) in str(caught.value) and "encoder=" not in str(caught.value), name


def _classifier(kind: str, tokenizer_folders: Folders, folder: Path) -> Head:
    tokenizer = open_task_tokenizer(tokenizer_folders[Algorithm.WORDPIECE])
    read = read_small(kind, folder, tokenizer)
    return read.kind.make_head(MODEL.hidden, read.labels, read.task, dropout=0.0)


def test_a_new_classifier_begins_with_the_pooler_where_there_is_one(
    tmp_path: Path, tokenizer_folders: Folders
) -> None:
    encoders = {
        heads: build_encoder(MODEL, vocab_size=100, pad_id=0, heads=heads, seed=4)
        for heads in (WORDS_ONLY, WORDS_AND_PAIRS)
    }
    for number, encoder in enumerate(encoders.values()):
        save_encoder(encoder, tmp_path / str(number))
    head = _classifier("classification", tokenizer_folders, tmp_path)
    before = {name: each.clone() for name, each in head.state_dict().items()}
    assert not from_pooler(head, tmp_path / "0")
    assert is_same(before, dict(head.state_dict()))
    assert from_pooler(head, tmp_path / "1")
    pooler = encoders[WORDS_AND_PAIRS].model.base_model.get_submodule("pooler.dense")
    dense = head.get_submodule("classifier.dense")
    assert is_same(dict(dense.state_dict()), dict(pooler.state_dict()))
    assert torch.equal(
        head.state_dict()["classifier.output.weight"], before["classifier.output.weight"]
    )
    old = tmp_path / "old"
    old.mkdir()
    torch.save(load_file(tmp_path / "1" / "model.safetensors"), old / "pytorch_model.bin")
    assert from_pooler(_classifier("choice", tokenizer_folders, tmp_path), old)
    assert not from_pooler(_classifier("tagging", tokenizer_folders, tmp_path), tmp_path / "1")
