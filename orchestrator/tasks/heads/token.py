"""Heads that say something of tokens: a tag for each word, the ends of an answer, an intent too."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from orchestrator.tasks.heads.head import Classifier, Head, Outputs, linear
from orchestrator.tasks.packed import TaskPack


class TagHead(Head):
    def __init__(self, width: int, num_tags: int, *, dropout: float) -> None:
        super().__init__()
        self.output = linear(width, num_tags)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        return (self.output(self.dropout(hidden_TD[pack.places_P])),)

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        return self.class_losses(outputs[0], pack.targets["tag"]).sum()

    def count(self, pack: TaskPack) -> int:
        return len(pack.places_P)


class JointHead(Head):
    """An intent, read at the first token of an example, and tags. Of each example the losses of
    its intent and of its words, their mean, are added up.
    """

    def __init__(self, width: int, num_classes: int, num_tags: int, *, dropout: float) -> None:
        super().__init__()
        self.classifier = Classifier(width, num_classes, dropout=dropout)
        self.output = linear(width, num_tags)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        begins = list(accumulate(pack.num_samples_E[:-1], initial=0))
        firsts_E = pack.firsts_S[begins]
        return (
            self.classifier(hidden_TD[firsts_E]),
            self.output(self.dropout(hidden_TD[pack.places_P])),
        )

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        intents = self.class_losses(outputs[0], pack.targets["class"]).sum()
        of_words = self.class_losses(outputs[1], pack.targets["tag"])
        ends = list(accumulate(pack.num_samples_E))
        words = list(accumulate(pack.num_places_S, initial=0))
        num_words_E = [
            words[end] - words[end - size]
            for end, size in zip(ends, pack.num_samples_E, strict=True)
        ]
        return (
            intents
            + torch.stack(
                [losses.mean() for losses in of_words.split_with_sizes(num_words_E)]
            ).sum()
        )


class SpanHead(Head):
    """Start and end of the answer, among the places of each window."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.output = linear(width, 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        return (self.output(self.dropout(hidden_TD[pack.places_P])),)

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        windows = outputs[0].float().split_with_sizes(pack.num_places_S)
        losses = [
            cross_entropy(scores_P2.T, wanted_2, label_smoothing=self.smoothing)
            for scores_P2, wanted_2 in zip(windows, pack.targets["span"], strict=True)
        ]
        return torch.stack(losses).sum()

    def count(self, pack: TaskPack) -> int:
        return pack.num_samples
