"""Extractive question answering: the answer is a span of the context, or there is none.

A context that is longer than a sample is read in overlapping windows, and the best span of all of
them wins. Whether "no answer" is possible is known from the training data (SQuAD 2.0).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.settings.task import Task
from orchestrator.tasks.example import BadRow, Example, Row
from orchestrator.tasks.features import Array, Builder, Features
from orchestrator.tasks.kinds.kind import Columns, Kind, Predictions
from orchestrator.tasks.kinds.windows import Window, target_of, windows_of
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head

NO_ANSWER = "no answer"
QUESTION_TOKENS = 64  # at most; the rest of a longer question is cut
_BEST = 20  # starts and ends of a window that are combined


@dataclass(frozen=True, slots=True)
class Answers:
    """All that are right; none where the context has none."""

    texts: tuple[str, ...]
    starts: tuple[int, ...]  # characters


class Qa(Kind):
    roles = ("question", "context", "answers")
    metrics = ("span_f1", "exact_match")

    def read(self, row: Row, columns: Columns) -> Example:
        question, context = row.text(columns["question"]), row.text(columns["context"])
        answers = _read_answers(row.value(columns["answers"]))
        for text, start in zip(answers.texts, answers.starts, strict=True):
            there = context[start : start + len(text)] if start >= 0 else ""
            if not text or there != text:
                shown = f"the answer {text[:40]!r} at character {start:,}"
                raise BadRow("is not in its context there.", shown=shown, try_=_place(there))
        return Example(texts=(question, context), target=answers, where=row.where)

    def class_names(self, target: Answers) -> Iterable[str]:
        return () if target.texts else (NO_ANSWER,)

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        questions = tokenizer.ids([example.texts[0] for example in examples])
        contexts = tokenizer.pieces([example.texts[1] for example in examples])
        builder = Builder()
        targets_S2: list[tuple[int, int]] = []
        spans_P2: list[tuple[int, int]] = []
        frame_size = tokenizer.frame_size(is_pair=True)
        longest = question_room(task.max_tokens - frame_size)
        for example, question, context in zip(examples, questions, contexts, strict=True):
            asked = question[:longest]
            room = task.max_tokens - frame_size - len(asked)
            for window in windows_of(len(context.ids), room=room, stride=task.stride):
                ids = context.ids[window.begin : window.end]
                sample = tokenizer.frame(asked, ids, max_tokens=task.max_tokens)
                # Place 0, the first token, stands for "not in this window".
                builder.add(sample, [0, *range(sample.second_at, sample.second_at + len(ids))])
                builder.cut[-1] |= len(asked) < len(question)
                spans = context.spans[window.begin : window.end]
                spans_P2 += [(-1, -1), *spans]
                targets_S2.append(_target(example.target, spans))
            builder.end_example()
        return builder.build(
            of_samples={"span": np.array(targets_S2, np.int64).reshape(-1, 2)},
            of_places={"characters": np.array(spans_P2, np.int32).reshape(-1, 2)},
        )

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.token import SpanHead

        return SpanHead(width, dropout=dropout)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        bounds = features.place_offsets_S1
        can_be_none = NO_ANSWER in labels.classes
        answers, confidences = [], []
        for number, example in enumerate(examples):
            best = _Best(score=-np.inf, begin=0, end=0, share=0.0)
            none_score, none_share = np.inf, 0.0
            for sample in range(features.samples_E1[number], features.samples_E1[number + 1]):
                places = slice(bounds[sample], bounds[sample + 1])
                scores_P2 = outputs[0][places].astype(np.float64)
                none = float(scores_P2[0].sum())
                if none < none_score:
                    none_score, none_share = none, _share(scores_P2, 0, 0)
                found = _best_span(
                    scores_P2, features.of_places["characters"][places], task.answer_tokens
                )
                best = max(best, found, key=lambda one: one.score)
            is_none = can_be_none and none_score > best.score
            answers.append("" if is_none else example.texts[1][best.begin : best.end])
            confidences.append(none_share if is_none else best.share)
        return Predictions(answers=tuple(answers), confidence_E=np.array(confidences))


def question_room(room: int) -> int:
    """Tokens that are read of a question: the context keeps a quarter of what has room."""
    return min(QUESTION_TOKENS, room - max(room // 4, 1))


@dataclass(frozen=True, slots=True)
class _Best:
    score: float
    begin: int  # characters
    end: int
    share: float


def _best_span(scores_P2: Array, characters_P2: Array, longest: int) -> _Best:
    if len(scores_P2) < 2:
        return _Best(-np.inf, 0, 0, 0.0)
    starts = 1 + np.argsort(-scores_P2[1:, 0], kind="stable")[:_BEST]
    ends = 1 + np.argsort(-scores_P2[1:, 1], kind="stable")[:_BEST]
    lengths = ends[None, :] - starts[:, None] + 1
    sums = scores_P2[starts, 0][:, None] + scores_P2[ends, 1][None, :]
    sums = np.where((lengths >= 1) & (lengths <= longest), sums, -np.inf)
    place = int(sums.argmax())
    if sums.flat[place] == -np.inf:  # every end is before every start: the best token by itself
        start = end = 1 + int(scores_P2[1:].sum(axis=1).argmax())
    else:
        start, end = int(starts[place // len(ends)]), int(ends[place % len(ends)])
    return _Best(
        score=float(scores_P2[start, 0] + scores_P2[end, 1]),
        begin=int(characters_P2[start, 0]),
        end=int(characters_P2[end, 1]),
        share=_share(scores_P2, start, end),
    )


def _share(scores_P2: Array, start: int, end: int) -> float:
    """The probability that a window gives to a span."""
    highest_2 = scores_P2.max(axis=0)
    norms_2 = highest_2 + np.log(np.exp(scores_P2 - highest_2).sum(axis=0))
    return float(np.exp(scores_P2[start, 0] - norms_2[0] + scores_P2[end, 1] - norms_2[1]))


def _target(answers: Answers, spans: list[tuple[int, int]]) -> tuple[int, int]:
    """Among the places of a window."""
    if not answers.texts:
        return 0, 0
    begin = answers.starts[0]
    return target_of(Window(begin, begin + len(answers.texts[0])), spans)


def _read_answers(value: Any) -> Answers:
    """SQuAD's list of {text, answer_start}, or the hub's {text: […], answer_start: […]}."""
    if value is None:
        return Answers((), ())
    try:
        if isinstance(value, dict):
            texts, starts = value["text"], value["answer_start"]
        else:
            texts = [answer["text"] for answer in value]
            starts = [answer["answer_start"] for answer in value]
        read = Answers(tuple(map(str, texts)), tuple(map(int, starts)))
    except (KeyError, TypeError, ValueError) as err:
        raise BadRow("has no answers of the form {text: […], answer_start: […]}.") from err
    if len(read.texts) != len(read.starts):
        raise BadRow("has not one answer_start for each answer.")
    return read


def _place(there: str) -> str:
    return f"Its characters there are {there[:40]!r}; starts count characters from 0."


QA = Qa()
