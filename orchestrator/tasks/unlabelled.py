"""Examples without an answer: texts that nobody labelled, in the form that kinds make features of.

The target that an example must have is any that fits; nothing that is predicted depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.errors import RequestError
from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example, Where
from orchestrator.tasks.kinds.qa import Answers
from orchestrator.tasks.labels import Labels

# Kind → a target for texts.
_TARGETS: Mapping[str, Callable[[Sequence[str], Labels], Any]] = {
    "classification": lambda texts, labels: labels.classes[0],
    "multilabel": lambda texts, labels: frozenset(),
    "regression": lambda texts, labels: 0.0,
    "similarity": lambda texts, labels: 0.0,
    "tagging": lambda texts, labels: labels.tags[:1] * len(texts),
    "intent_slots": lambda texts, labels: (labels.classes[0], labels.tags[:1] * len(texts)),
    "qa": lambda texts, labels: Answers((), ()),
    "choice": lambda texts, labels: 0,
    "entailment": lambda texts, labels: labels.classes[0],
}


def unlabelled(task: Task, labels: Labels, texts: Sequence[str], where: Where) -> Example:
    """`texts` as an example of the kind has them: words of tagging, a question and its context."""
    if task.kind not in _TARGETS:
        raise RequestError(
            f"task.kind={task.kind} comes from an extension; what it predicts of texts without a "
            "label is not known here.",
            hint="Evaluate it on examples with labels.",
        )
    target = _TARGETS[task.kind](texts, labels)
    return Example(texts=tuple(texts), target=target, where=where)
