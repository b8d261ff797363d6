"""Heads that say something of a whole sample: classes, labels, a score; or the angle of two."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cosine_similarity,
    mse_loss,
)

from orchestrator.settings.task import Pooling
from orchestrator.tasks.heads.head import Classifier, Head, Outputs
from orchestrator.tasks.packed import TaskPack


class ClassHead(Head):
    def __init__(self, width: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.classifier = Classifier(width, num_classes, dropout=dropout)

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        return (self.classifier(hidden_TD[pack.firsts_S]),)

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        return self.class_losses(outputs[0], pack.targets["class"]).sum()


class MultilabelHead(Head):
    """Divided by examples: each adds the losses of all its classes."""

    def __init__(self, width: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.classifier = Classifier(width, num_classes, dropout=dropout)

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        return (self.classifier(hidden_TD[pack.firsts_S]),)

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        # Of each class yes and no are the two that share what is given away.
        wanted_EC = pack.targets["classes"] * (1 - self.smoothing) + self.smoothing / 2
        return binary_cross_entropy_with_logits(outputs[0].float(), wanted_EC, reduction="sum")


class ScoreHead(Head):
    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.classifier = Classifier(width, 1, dropout=dropout)

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        return (self.classifier(hidden_TD[pack.firsts_S]).squeeze(1),)

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        return mse_loss(outputs[0].float(), pack.targets["score"], reduction="sum")


class CosineHead(Head):
    """Has no weights: what it learns is in the encoder."""

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling

    def embed(self, hidden_TD: Tensor, pack: TaskPack) -> Tensor:
        """[S, D], of each text."""
        if self.pooling is Pooling.CLS:
            return hidden_TD[pack.firsts_S]
        texts = hidden_TD[pack.places_P].split_with_sizes(pack.num_places_S)
        return torch.stack([states.mean(dim=0) for states in texts])

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        texts_SD = self.embed(hidden_TD, pack).float()
        return (cosine_similarity(texts_SD[0::2], texts_SD[1::2]),)

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        return mse_loss(outputs[0], pack.targets["cosine"], reduction="sum")
