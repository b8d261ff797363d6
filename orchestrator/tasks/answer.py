"""What a task model says of one input: its answer, and what else it thought of.

`ask` shows it at the terminal. Pure but for the model's pass; which texts a kind takes is told in
the words of who typed them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orchestrator.errors import RequestError
from orchestrator.settings.task import Task
from orchestrator.tasks.directory import TaskDirectory
from orchestrator.tasks.example import BadRow, Example
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.fitted import fit
from orchestrator.tasks.kinds.entailment import NLI
from orchestrator.tasks.kinds.kind import kind_of, softmax
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.predict import run
from orchestrator.tasks.prediction.asking import Asking

# What tags were learned for: punctuation is a word of its own, what it joins is one word.
_WORDS = re.compile(r"\w+(?:[-'’.,]\w+)*|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Choice:
    name: str
    share: float  # 0 to 1


Ranking = tuple[Choice, ...]  # best first


@dataclass(frozen=True, kw_only=True)
class Tagged:
    word: str
    tag: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    kind: str
    answer: Any  # as JSON has it
    confidence: float | None = None  # where a kind has one
    rankings: tuple[Ranking, ...] = ()  # of classes, of choices; of words one for each mask
    tags: tuple[Tagged, ...] = ()


def answer(opened: TaskDirectory, texts: Sequence[str], *, labels: Sequence[str] = ()) -> Answer:
    """`labels`: of entailment, what the text may be about; else those of its training."""
    if labels:
        opened = _of_entailment(opened, labels)
    task = opened.task
    refuse_texts(task, texts)
    if task.kind in ("tagging", "intent_slots"):
        texts = _WORDS.findall(texts[0])
    example = _example(opened, texts)
    kind = kind_of(task)
    features = kind.encode([example], opened.labels, opened.tokenizer, task)
    outputs = run(opened.model, features)
    predicted = kind.decode(outputs, features, [example], opened.labels, task)
    confidence = float(predicted.confidence_E[0])
    return Answer(
        kind=task.kind,
        answer=_plain(predicted.answers[0], texts if task.kind == "choice" else ()),
        confidence=None if np.isnan(confidence) else confidence,
        rankings=_rankings(task, outputs, features, opened.labels, texts),
        tags=_tags(task, outputs, opened.labels, texts),
    )


def refuse_texts(task: Task, texts: Sequence[str]) -> None:
    """Too few, too many, or empty."""
    wanted = _wanted(task)
    least, most = (3, None) if task.kind == "choice" else (len(wanted), len(wanted))
    said = " ".join(f'"{each}"' for each in wanted)
    if len(texts) < least or (most is not None and len(texts) > most):
        raise RequestError(
            f"A model of kind {task.kind} (task {task.name}) takes {said}; "
            f"{len(texts)} {'text was' if len(texts) == 1 else 'texts were'} given.",
            hint="Put each of them in quotation marks.",
        )
    if any(not text.strip() for text in texts):
        raise RequestError("A text is empty: there is nothing to say of it.")


def _wanted(task: Task) -> tuple[str, ...]:
    match task.kind:
        case "qa":
            return "question", "context"
        case "similarity":
            return "text", "another text"
        case "choice":
            return "text", "first choice", "second choice …"
    return ("text", "second text") if "pair" in task.columns else ("text",)


def _example(opened: TaskDirectory, texts: Sequence[str]) -> Example:
    """As a row of `predict` would be, with the columns called as they are by default."""
    task = opened.task
    match task.kind:
        case "qa":
            values: dict[str, Any] = {"question": texts[0], "context": texts[1]}
        case "choice":
            values = {"text": texts[0], "choices": list(texts[1:])}
        case "tagging" | "intent_slots":
            values = {"words": list(texts)}
        case _:
            values = dict(zip(("text", "pair"), texts, strict=False))
    columns: dict[str, str | tuple[str, ...]] = {"pair": "pair"} if "pair" in values else {}
    asking = Asking(task=replace(task, columns=columns), labels=opened.labels, column="", taken=())
    try:
        return asking.example(values)
    except BadRow as err:
        raise RequestError(f"What was typed {err}") from err


def _of_entailment(opened: TaskDirectory, labels: Sequence[str]) -> TaskDirectory:
    """A model of NLI is one as well: its head has the same weights."""
    task = opened.task
    if len(set(labels)) < 2:
        raise RequestError(
            "--label is given once; a text is about one of several.",
            hint="--label sports --label politics …",
        )
    if task.kind == "classification" and opened.labels.classes == NLI:
        task = replace(task, kind="entailment", columns={})
    elif task.kind != "entailment":
        raise RequestError(
            f"--label is for models of kind entailment, and those of a classification as "
            f"{', '.join(NLI)}; task {task.name} is of kind {task.kind}, with classes of its own."
        )
    return fit(opened, task, Labels(classes=tuple(dict.fromkeys(labels))))


def _plain(said: Any, texts: Sequence[str]) -> Any:
    """A choice by its text, sets as lists."""
    if texts:
        return texts[1 + int(said)]
    if isinstance(said, frozenset):
        return sorted(said)
    if isinstance(said, tuple):
        return [_plain(each, ()) for each in said]
    return said


def _rankings(
    task: Task,
    outputs: tuple[Array, ...],
    features: Features,
    labels: Labels,
    texts: Sequence[str],
) -> tuple[Ranking, ...]:
    match task.kind:
        case "classification" | "entailment" | "intent_slots":
            shares = softmax(outputs[0].reshape(1, -1))[0]
            return (ranked(labels.classes, shares),)
        case "multilabel":
            return (ranked(labels.classes, 1 / (1 + np.exp(-outputs[0][0].astype(np.float64)))),)
        case "choice":
            return (ranked(texts[1:], softmax(outputs[0][None])[0]),)
    return ()


def ranked(names: Iterable[str], shares: Iterable[float]) -> Ranking:
    choices = [
        Choice(name=name, share=float(share)) for name, share in zip(names, shares, strict=True)
    ]
    return tuple(sorted(choices, key=lambda choice: -choice.share))


def _tags(
    task: Task, outputs: tuple[Array, ...], labels: Labels, words: Sequence[str]
) -> tuple[Tagged, ...]:
    if task.kind not in ("tagging", "intent_slots"):
        return ()
    shares_PC = softmax(outputs[-1])
    best_P = shares_PC.argmax(axis=1).tolist()
    return tuple(
        Tagged(word=word, tag=labels.tags[best], share=float(shares_C[best]))
        for word, best, shares_C in zip(words, best_P, shares_PC, strict=True)
    )
