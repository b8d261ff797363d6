"""A loss that is smoothed or weighted is that of torch and scikit-learn on the same scores."""

from __future__ import annotations

from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from orchestrator.settings.transfer import ClassWeights, Transfer
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.packed import TaskPack, pack
from orchestrator.tasks.tokens import TaskTokenizer
from orchestrator.training.transfer import shape_loss
from tests.tasks.small import Read, read_small

SMOOTHING = 0.3
Outputs = tuple[Tensor, ...]


def drawn(read: Read, tokenizer: TaskTokenizer) -> tuple[TaskPack, Outputs]:
    """All examples, and scores of them that are far apart."""
    packed = pack(read.features, np.arange(len(read.features)))
    model = read.model(tokenizer)
    with torch.no_grad():
        hidden_TD = model.encoder(
            packed.tokens_T, packed.positions_T, packed.segments_T, packed.layout
        )
        return packed, tuple(5 * scores for scores in model.head(hidden_TD, packed))


def smoothed(scores_NC: Tensor, wanted_N: Tensor) -> Tensor:
    """By torch, for targets that are shares: what is given away is everybody's alike."""
    size = scores_NC.shape[-1]
    shares_NC = nn.functional.one_hot(wanted_N, size) * (1 - SMOOTHING) + SMOOTHING / size
    return nn.CrossEntropyLoss(reduction="none")(scores_NC, shares_NC)


def by_torch(kind: str, packed: TaskPack, outputs: Outputs) -> Tensor:
    targets, scores = packed.targets, outputs[0]
    match kind:
        case "classification":
            return smoothed(scores, targets["class"]).sum()
        case "tagging":
            return smoothed(scores, targets["tag"]).sum()
        case "multilabel":
            shares_EC = torch.where(targets["classes"] > 0, 1 - SMOOTHING / 2, SMOOTHING / 2)
            return nn.BCEWithLogitsLoss(reduction="sum")(scores, shares_EC)
        case "choice" | "entailment":
            parts = scores.split_with_sizes(packed.num_samples_E)
            return sum(
                (
                    smoothed(one[None], wanted[None])[0]
                    for one, wanted in zip(parts, targets["choice"], strict=True)
                ),
                torch.zeros(()),
            )
    if kind == "qa":
        windows = scores.split_with_sizes(packed.num_places_S)
        losses = [
            smoothed(one.T, wanted).mean()
            for one, wanted in zip(windows, targets["span"], strict=True)
        ]
        return torch.stack(losses).sum()
    words = smoothed(outputs[1], targets["tag"])
    ends = list(accumulate(packed.num_places_S, initial=0))
    begins = [ends[at] for at in accumulate(packed.num_samples_E, initial=0)]
    means = [words[begin:end].mean() for begin, end in pairwise(begins)]
    return smoothed(scores, targets["class"]).sum() + torch.stack(means).sum()


@pytest.mark.parametrize(
    "kind",
    ["classification", "multilabel", "tagging", "intent_slots", "qa", "choice", "entailment"],
)
def test_a_smoothed_loss_is_that_of_torch_for_shares(
    kind: str, tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    read = read_small(kind, tmp_path, tokenizer)
    packed, outputs = drawn(read, tokenizer)
    head = read.model(tokenizer).head
    plain = head.loss(outputs, packed)
    shape_loss(head, read.features, read.labels, Transfer(label_smoothing=SMOOTHING))
    found = head.loss(outputs, packed)
    torch.testing.assert_close(found, by_torch(kind, packed, outputs))
    assert abs(found - plain) > 1e-3 * abs(plain)


@pytest.mark.parametrize("kind", ["classification", "tagging"])
@pytest.mark.parametrize("smoothing", [0.0, SMOOTHING])
def test_balanced_classes_weigh_as_in_scikit_learn(
    kind: str, smoothing: float, tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    """One that is named, and of which there is no example, weighs nothing."""
    rows = read_small(kind, tmp_path, tokenizer)
    named = (*(rows.labels.classes or rows.labels.tags), "none of them")
    read = read_small(kind, tmp_path, tokenizer, labels=list(named))
    packed, outputs = drawn(read, tokenizer)
    head = read.model(tokenizer).head
    transfer = Transfer(class_weights=ClassWeights.BALANCED, label_smoothing=smoothing)
    shape_loss(head, read.features, read.labels, transfer)
    wanted_N = packed.targets["class" if kind == "classification" else "tag"]
    there = np.unique(wanted_N)
    weights = compute_class_weight("balanced", classes=there, y=wanted_N.numpy())
    weights_C = torch.tensor([*weights, 0.0], dtype=torch.float32)
    of_torch = nn.CrossEntropyLoss(weights_C, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(head.loss(outputs, packed), of_torch(outputs[0], wanted_N))
    assert weights_C[wanted_N].mean() == pytest.approx(1)
    assert read.labels in (Labels(classes=named), Labels(tags=named))
