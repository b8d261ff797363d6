"""Which class of transformers computes what a head computes, and what its weights are called there.

`directory.py` writes and reads with it. A head that no class fits (one that reads several layers,
or comes from an extension) has no form: its weights go into a file of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, cast

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel

from orchestrator.encoder.encoder import Encoder
from orchestrator.settings.model import Family
from orchestrator.settings.transfer import Reading
from orchestrator.tasks.heads.head import Head
from orchestrator.tasks.heads.sentence import ClassHead, CosineHead, MultilabelHead, ScoreHead
from orchestrator.tasks.heads.several import ChoiceHead, EntailmentHead
from orchestrator.tasks.heads.token import JointHead, SpanHead, TagHead
from orchestrator.tasks.kinds.entailment import NLI
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.model import TaskModel

# As transformers calls what is predicted of a text.
Problem = Literal["single_label_classification", "multi_label_classification", "regression"]


class Shape(StrEnum):
    TEXT = "text"  # says something of a whole sample
    TOKENS = "tokens"
    SPAN = "span"
    CHOICE = "choice"
    VECTORS = "vectors"  # no head


@dataclass(frozen=True, kw_only=True)
class Form:
    shape: Shape
    class_name: str
    places: Mapping[str, str]  # how names begin: in the head → in the class
    names: tuple[str, ...] = ()  # of what it puts out
    problem: Problem | None = None


_POOLED = {"classifier.dense.": "{body}.pooler.dense.", "classifier.output.": "classifier."}
_TAGS = {"output.": "classifier."}
_SPANS = {"output.": "qa_outputs."}
_CLASSES: Mapping[Family, Mapping[Shape, tuple[str, Mapping[str, str]]]] = {
    Family.BERT: {
        Shape.TEXT: ("BertForSequenceClassification", _POOLED),
        Shape.TOKENS: ("BertForTokenClassification", _TAGS),
        Shape.SPAN: ("BertForQuestionAnswering", _SPANS),
        Shape.CHOICE: ("BertForMultipleChoice", _POOLED),
        Shape.VECTORS: ("BertModel", {}),
    },
    Family.ROBERTA: {
        Shape.TEXT: (
            "RobertaForSequenceClassification",
            {
                "classifier.dense.": "classifier.dense.",
                "classifier.output.": "classifier.out_proj.",
            },
        ),
        Shape.TOKENS: ("RobertaForTokenClassification", _TAGS),
        Shape.SPAN: ("RobertaForQuestionAnswering", _SPANS),
        Shape.CHOICE: ("RobertaForMultipleChoice", _POOLED),
        Shape.VECTORS: ("RobertaModel", {}),
    },
}
_ONE: Problem = "single_label_classification"
_SEVERAL: Problem = "multi_label_classification"
_SCORE: Problem = "regression"
Names = Callable[[Labels], tuple[str, ...]]
_HEADS: Mapping[type[Head], tuple[Shape, Names, Problem | None]] = {
    ClassHead: (Shape.TEXT, lambda labels: labels.classes, _ONE),
    MultilabelHead: (Shape.TEXT, lambda labels: labels.classes, _SEVERAL),
    ScoreHead: (Shape.TEXT, lambda labels: ("score",), _SCORE),
    EntailmentHead: (Shape.TEXT, lambda labels: NLI, _ONE),
    JointHead: (Shape.TEXT, lambda labels: labels.classes, _ONE),
    TagHead: (Shape.TOKENS, lambda labels: labels.tags, None),
    SpanHead: (Shape.SPAN, lambda labels: ("start", "end"), None),
    ChoiceHead: (Shape.CHOICE, lambda labels: (), None),
    CosineHead: (Shape.VECTORS, lambda labels: (), None),
}


def form_of(model: TaskModel, labels: Labels) -> Form | None:
    """None: no class of transformers computes what this head does, from what it reads."""
    known = _HEADS.get(type(model.head))
    if known is None or model.reading is not Reading.LAST:
        return None
    shape, names, problem = known
    return _form(model.encoder, shape, names(labels), problem)


def slots_form(encoder: Encoder, labels: Labels) -> Form:
    """Of the tags of intents with slots, which a class of intents has no place for."""
    return _form(encoder, Shape.TOKENS, labels.tags, None)


def body_form(encoder: Encoder) -> Form:
    return _form(encoder, Shape.VECTORS, (), None)


def model_in(form: Form, encoder: Encoder, head: Head) -> PreTrainedModel:
    """The class of transformers with these weights, in fp32: equal numbers, no copy in memory."""
    source = cast(PreTrainedModel, encoder.model.base_model)
    config = type(source.config).from_dict(source.config.to_dict())
    config.problem_type = form.problem
    if form.names:
        config.id2label = dict(enumerate(form.names))
        config.label2id = {name: number for number, name in enumerate(form.names)}
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            config.classifier_dropout = module.p
    with torch.device("meta"):
        made = cast(PreTrainedModel, getattr(transformers, form.class_name)(config))
    places = made.state_dict()
    prefix = "" if made.base_model is made else f"{made.base_model_prefix}."
    body = {f"{prefix}{name}": each for name, each in source.state_dict().items()}
    weights = {name: each for name, each in body.items() if name in places}
    own = {to_place(form, name): each for name, each in head.state_dict().items()}
    weights |= {place: each for place, each in own.items() if place is not None}
    if form.shape is Shape.VECTORS:
        weights = _new_pooler(places) | weights
    weights = {name: each.detach().float().cpu() for name, each in weights.items()}
    made.load_state_dict(weights, strict=True, assign=True)
    return made


def _new_pooler(places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Nobody trained one. Left out, transformers would invent another at every opening."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.zeros(empty.shape)
        if empty.ndim == 1
        else torch.randn(empty.shape, generator=generator) * 0.02
        for name, empty in sorted(places.items())
        if name.startswith("pooler.")
    }


def to_place(form: Form, name: str) -> str | None:
    """What a weight of the head is called in the class; None where the class has no place."""
    for begin, place in form.places.items():
        if name.startswith(begin):
            return place + name.removeprefix(begin)
    return None


def _form(encoder: Encoder, shape: Shape, names: tuple[str, ...], problem: Problem | None) -> Form:
    class_name, places = _CLASSES[encoder.settings.family][shape]
    body = cast(Any, encoder.model).base_model_prefix
    return Form(
        shape=shape,
        class_name=class_name,
        places={begin: place.format(body=body) for begin, place in places.items()},
        names=names,
        problem=problem,
    )
