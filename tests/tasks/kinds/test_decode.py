"""What a head would put out that knows the targets is decoded into the targets: each kind."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.errors import RequestError
from orchestrator.settings.task import KINDS, Pooling
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.heads.sentence import CosineHead
from orchestrator.tasks.kinds.entailment import NLI
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.metric import metrics_of, outcome_of
from orchestrator.tasks.packed import pack
from orchestrator.tasks.tokens import TaskTokenizer
from tests.tasks.small import MODEL, built, plain_task, read_small

SURE = 9.0


def one_hot(numbers: Array, size: int) -> Array:
    return SURE * np.eye(size, dtype=np.float32)[numbers]


def outputs_of(kind: str, features: Features, num_classes: int, num_tags: int) -> tuple[Array, ...]:
    examples, places = features.of_examples, features.of_places
    match kind:
        case "classification":
            return (one_hot(examples["class"], num_classes),)
        case "multilabel":
            return (SURE * (2 * examples["classes"] - 1),)
        case "regression":
            return (examples["score"],)
        case "similarity":
            return (examples["cosine"] * 4.5,)
        case "tagging":
            return (one_hot(places["tag"], num_tags),)
        case "intent_slots":
            return one_hot(examples["class"], num_classes), one_hot(places["tag"], num_tags)
        case "choice" | "entailment":
            scores = np.zeros(features.samples_E1[-1], np.float32)
            scores[features.samples_E1[:-1] + examples["choice"]] = SURE
            return (scores,)
    scores_P2 = np.zeros((len(features.places_P), 2), np.float32)
    for side in (0, 1):
        scores_P2[features.place_offsets_S1[:-1] + features.of_samples["span"][:, side], side] = (
            SURE
        )
    # Windows that have nothing of the answer are less sure.
    is_none = (features.of_samples["span"] == 0).all(axis=1)
    is_answered_E = np.logical_or.reduceat(~is_none, features.samples_E1[:-1])
    is_answered_S = np.repeat(is_answered_E, np.diff(features.samples_E1))
    places = np.repeat(is_none & is_answered_S, np.diff(features.place_offsets_S1))
    scores_P2[places] *= 0.1
    scores_P2[features.place_offsets_S1[:-1][is_answered_S]] -= 1
    return (scores_P2,)


@pytest.mark.parametrize("kind", list(KINDS))
def test_perfect_outputs_are_perfect_answers(
    kind: str, tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    read = read_small(kind, tmp_path, tokenizer)
    sizes = len(read.labels.classes), len(read.labels.tags)
    outputs = outputs_of(kind, read.features, *sizes)
    predictions = read.kind.decode(outputs, read.features, read.examples, read.labels, read.task)
    outcome = outcome_of(read.examples, predictions, read.labels)
    for metric in metrics_of(read.task):
        best = 0.0 if metric.is_loss else 1.0
        assert metric.of(outcome) == pytest.approx(best, abs=1e-6), metric.name
    sure = predictions.confidence_E
    assert len(sure) == len(read.examples)
    assert np.isnan(sure).all() or (sure > 0.9).all() or kind == "qa"


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_few_steps_bring_the_loss_down(
    kind: str, tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    read = read_small(kind, tmp_path, tokenizer)
    model = read.model(tokenizer)
    packed = pack(read.features, np.arange(len(read.features)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        hidden = model.encoder(
            packed.tokens_T, packed.positions_T, packed.segments_T, packed.layout
        )
        loss = model.head.loss(model.head(hidden, packed), packed) / model.head.count(packed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_means_of_texts_are_those_of_their_tokens(tmp_path: Path, tokenizer: TaskTokenizer) -> None:
    features = read_small("similarity", tmp_path, tokenizer).features
    packed = pack(features, np.arange(len(features)))
    hidden_TD = torch.randn(packed.num_tokens, 4)
    bounds = packed.layout.cu_seqlens_S1.tolist()
    means = CosineHead(Pooling.MEAN).embed(hidden_TD, packed)
    firsts = CosineHead(Pooling.CLS).embed(hidden_TD, packed)
    for number, (begin, end) in enumerate(pairwise(bounds)):
        assert torch.allclose(means[number], hidden_TD[begin:end].mean(dim=0))
        assert torch.equal(firsts[number], hidden_TD[begin])


def test_entailment_has_the_weights_of_a_classification_of_nli(
    tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    read = read_small("entailment", tmp_path, tokenizer)
    head = read.model(tokenizer).head
    trained = KINDS["classification"].make_head(
        MODEL.hidden, Labels(classes=NLI), read.task, dropout=0.1
    )
    assert {name: w.shape for name, w in head.state_dict().items()} == {
        name: w.shape for name, w in trained.state_dict().items()
    }


def test_a_metric_of_another_kind_is_refused() -> None:
    data = {"kind": "jsonl", "splits": {"train": {"path": ["a"]}}}
    task = built(plain_task("regression", data=data, metrics=["accuracy"]))
    with pytest.raises(RequestError, match=r"task\.metrics=accuracy does not fit"):
        metrics_of(task)
