"""Heads that choose among the samples of an example: multiple choice, and classes by entailment."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from orchestrator.tasks.heads.head import Classifier, Head, Outputs
from orchestrator.tasks.packed import TaskPack


class ChoiceHead(Head):
    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.classifier = Classifier(width, 1, dropout=dropout)

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        return (self.classifier(hidden_TD[pack.firsts_S]).squeeze(1),)

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        return _loss(outputs[0], pack, smoothing=self.smoothing)


class EntailmentHead(Head):
    """The same weights, by the same names, as a ClassHead for NLI."""

    def __init__(self, width: int, num_classes: int, *, entailment: int, dropout: float) -> None:
        super().__init__()
        self.classifier = Classifier(width, num_classes, dropout=dropout)
        self.entailment = entailment

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        """The log of the probability that each hypothesis follows."""
        logs_SC = self.classifier(hidden_TD[pack.firsts_S]).float().log_softmax(dim=1)
        return (logs_SC[:, self.entailment],)

    def loss(self, outputs: Outputs, pack: TaskPack) -> Tensor:
        return _loss(outputs[0], pack, smoothing=self.smoothing)


def _loss(scores_S: Tensor, pack: TaskPack, *, smoothing: float) -> Tensor:
    of_examples = scores_S.float().split_with_sizes(pack.num_samples_E)
    losses = [
        cross_entropy(scores, chosen, label_smoothing=smoothing)
        for scores, chosen in zip(of_examples, pack.targets["choice"], strict=True)
    ]
    return torch.stack(losses).sum()
