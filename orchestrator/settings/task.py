"""A downstream task: where its examples are, what is predicted of them, and how that is measured.

`tasks/` reads the data and knows the kinds; `finetune`, `sweep` and `evaluate` name a task by
`task=` out of conf/task/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.names import Table
from orchestrator.settings.units import Count

TRAIN, VALIDATION, TEST = "train", "validation", "test"
NAME = Bounds(
    pattern=r"[a-z][a-z0-9_-]{0,39}",
    pattern_said="a lower-case letter, then letters, digits, - or _, at most 40 in all",
)

_KINDS = "orchestrator.tasks.kinds"
# Name → a tasks.kinds.kind.Kind; a user's extension registers more.
KINDS: Table[Any] = Table(
    "kind of task",
    {
        "classification": f"{_KINDS}.classification:CLASSIFICATION",
        "multilabel": f"{_KINDS}.multilabel:MULTILABEL",
        "regression": f"{_KINDS}.regression:REGRESSION",
        "similarity": f"{_KINDS}.similarity:SIMILARITY",
        "tagging": f"{_KINDS}.tagging:TAGGING",
        "intent_slots": f"{_KINDS}.intent_slots:INTENT_SLOTS",
        "qa": f"{_KINDS}.qa:QA",
        "choice": f"{_KINDS}.choice:CHOICE",
        "entailment": f"{_KINDS}.entailment:ENTAILMENT",
    },
)

_ROWS = "orchestrator.tasks.rows"
# Name → function of (Data, split) that yields rows; a user's extension registers more.
READERS: Table[Any] = Table(
    "kind of data",
    {
        "csv": f"{_ROWS}.files:csv_rows",
        "jsonl": f"{_ROWS}.files:jsonl_rows",
        "parquet": f"{_ROWS}.tables:parquet_rows",
        "dataset": f"{_ROWS}.tables:dataset_rows",
        "columns": f"{_ROWS}.conll:column_rows",
        "squad": f"{_ROWS}.squad:squad_rows",
        "factbook_sections": f"{_ROWS}.factbook:section_rows",
        "factbook_questions": f"{_ROWS}.factbook:question_rows",
    },
)

_METRICS = "orchestrator.tasks.metrics"
# Name → a tasks.metrics.metric.Metric; a user's extension registers more.
METRICS: Table[Any] = Table(
    "metric",
    {
        "accuracy": f"{_METRICS}.classes:ACCURACY",
        "f1": f"{_METRICS}.classes:F1",
        "macro_f1": f"{_METRICS}.classes:MACRO_F1",
        "micro_f1": f"{_METRICS}.classes:MICRO_F1",
        "macro_precision": f"{_METRICS}.classes:MACRO_PRECISION",
        "macro_recall": f"{_METRICS}.classes:MACRO_RECALL",
        "matthews": f"{_METRICS}.classes:MATTHEWS",
        "pearson": f"{_METRICS}.scores:PEARSON",
        "spearman": f"{_METRICS}.scores:SPEARMAN",
        "mean_squared_error": f"{_METRICS}.scores:MEAN_SQUARED_ERROR",
        "tag_accuracy": f"{_METRICS}.words:TAG_ACCURACY",
        "entity_f1": f"{_METRICS}.words:ENTITY_F1",
        "entity_precision": f"{_METRICS}.words:ENTITY_PRECISION",
        "entity_recall": f"{_METRICS}.words:ENTITY_RECALL",
        "intent_accuracy": f"{_METRICS}.words:INTENT_ACCURACY",
        "frame_accuracy": f"{_METRICS}.words:FRAME_ACCURACY",
        "exact_match": f"{_METRICS}.spans:EXACT_MATCH",
        "span_f1": f"{_METRICS}.spans:SPAN_F1",
    },
)


class Pooling(StrEnum):
    """What stands for a whole text."""

    CLS = "cls"  # the state of its first token
    MEAN = "mean"  # of the states of all


@dataclass(frozen=True, kw_only=True)
class Split:
    path: tuple[str, ...] = setting(
        "Files: paths, globs or URIs, .gz, .xz and .zst too", default=(), path=PathKind.FILE
    )
    name: str | None = setting(
        "Of a data set: what the split is called there; null: as it is called here", default=None
    )


@dataclass(frozen=True, kw_only=True)
class Data:
    kind: str = setting(
        "What the rows are in: csv, jsonl, parquet; columns (a word a line, as CoNLL); squad; "
        "dataset (on the hub, or saved); factbook_sections, factbook_questions"
    )
    hub: str | None = setting(
        "For kind=dataset: a name on the hub, or the folder of a saved data set",
        default=None,
        path=PathKind.FILE_OR_NAME,
    )
    subset: str | None = setting("Of a data set: its configuration", default=None)
    revision: str | None = setting(
        "Of a data set on the hub: a commit, tag or branch", default=None
    )
    splits: dict[str, Split] = setting(
        "train, validation and test; further ones are evaluated as validation is"
    )
    delimiter: str = setting("Of csv: what stands between fields", default=",")
    quotes: bool = setting('Of csv: whether fields may stand in "…"', default=True)
    encoding: str = setting("Of files", default="utf-8")
    group: str | None = setting(
        "The column of what examples have in common (a document, a person): a group is never "
        "divided between training and validation",
        default=None,
    )
    validation_share: float = setting(
        "What is cut off the training examples where there is no validation split",
        default=0.1,
        bounds=Bounds(above=0, at_most=0.5),
    )
    test_share: float = setting(
        "What is cut off before that where there is no test split",
        default=0.0,
        bounds=Bounds(at_least=0, at_most=0.5),
    )

    def findings(self) -> Iterator[Finding]:
        if self.kind not in READERS:
            yield Finding(
                key="kind",
                found=f"={self.kind}",
                rule="is not a kind of data.",
                try_=did_you_mean(self.kind, READERS),
            )
        if (self.kind == "dataset") != (self.hub is not None):
            found = "=null" if self.hub is None else f"={self.hub}"
            rule = f"does not go with kind={self.kind}: kind=dataset has a hub, others have files."
            yield Finding(key="hub", found=found, rule=rule)
        if TRAIN not in self.splits:
            known = ", ".join(self.splits) or "none"
            rule = f"must have {TRAIN}; it has {known}."
            yield Finding(key="splits", found="", rule=rule, try_="splits.train.path=[…].")
        for name, split in self.splits.items():
            if self.kind != "dataset" and not split.path:
                yield Finding(key=f"splits.{name}.path", found="=[]", rule="names no file.")
        if len(self.delimiter) != 1:
            rule = "must be one character."
            yield Finding(key="delimiter", found=f"={self.delimiter!r}", rule=rule)
        try:
            "".encode(self.encoding)
        except LookupError:
            rule = "is not an encoding that Python knows."
            yield Finding(key="encoding", found=f"={self.encoding}", rule=rule, try_="utf-8.")


@dataclass(frozen=True, kw_only=True)
class Task:
    name: str = setting("What it is called", bounds=NAME)
    kind: str = setting(
        "What is predicted: classification, multilabel, regression, similarity, tagging, "
        "intent_slots, qa, choice or entailment"
    )
    data: Data = setting("Where its examples are")
    columns: dict[str, str | tuple[str, ...]] = setting(
        "Role → column, where the column is called otherwise: text, pair, label, labels, score, "
        "words, tags, intent, question, context, answers, choices (a list column, or several)",
        factory=dict,
    )
    labels: tuple[str, ...] = setting(
        "The classes, in their order; empty: those of the training data, sorted", default=()
    )
    metrics: tuple[str, ...] = setting(
        "What is measured; models are chosen by the first. Empty: the usual ones of the kind",
        default=(),
    )
    max_tokens: Count = setting(
        "The longest sample, special tokens included", default=128, bounds=Bounds(at_least=8)
    )
    stride: Count = setting(
        "Of qa: tokens that windows over a long context have in common",
        default=128,
        bounds=Bounds(at_least=0),
    )
    answer_tokens: Count = setting(
        "Of qa: the longest answer", default=30, bounds=Bounds(at_least=1)
    )
    pooling: Pooling = setting("Of similarity: what stands for a text", default=Pooling.MEAN)
    hypothesis: str = setting(
        "Of entailment: a sentence that is true if the label in place of {} is right",
        default="This text is about {}.",
    )

    def findings(self) -> Iterator[Finding]:
        if self.kind not in KINDS:
            yield Finding(
                key="kind",
                found=f"={self.kind}",
                rule="is not a kind of task.",
                try_=did_you_mean(self.kind, KINDS),
            )
        for name in self.metrics:
            if name not in METRICS:
                rule, near = "is not a metric.", did_you_mean(name, METRICS)
                yield Finding(key="metrics", found=f"={name}", rule=rule, try_=near)
        if len(set(self.labels)) < len(self.labels):
            rule = "names a label twice."
            yield Finding(key="labels", found=f"=[{', '.join(self.labels)}]", rule=rule)
        if "{}" not in self.hypothesis:
            rule = "has no {} for the label to stand in."
            yield Finding(key="hypothesis", found=f"={self.hypothesis}", rule=rule)
        if self.kind == "qa" and self.stride * 2 > self.max_tokens:
            yield Finding(
                key="stride",
                found=f"={self.stride}",
                rule=f"is more than half of max_tokens={self.max_tokens}: windows would hardly "
                "move on.",
                try_=f"{self.max_tokens // 3}.",
            )
