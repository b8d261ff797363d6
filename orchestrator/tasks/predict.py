"""Predictions of an encoder with a head, over features: what evaluation and `predict` run.

Examples are read in the order of their lengths, several at once; answers come in their own order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.kinds.kind import Predictions, kind_of
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.packed import pack

AT_ONCE = 4096  # tokens


def predict(
    model: TaskModel,
    features: Features,
    examples: Sequence[Example],
    labels: Labels,
    task: Task,
    *,
    on_group: Callable[[int], None] = lambda num_examples: None,
) -> Predictions:
    outputs = run(model, features, on_group=on_group)
    return kind_of(task).decode(outputs, features, examples, labels, task)


@torch.inference_mode()
def run(
    model: TaskModel,
    features: Features,
    *,
    on_group: Callable[[int], None] = lambda num_examples: None,
) -> tuple[Array, ...]:
    """The head's outputs for all examples, in their order."""
    device = next(model.parameters()).device
    order_E = np.argsort(-features.tokens_E, kind="stable")
    parts: list[tuple[Array, ...]] = []
    was_training = model.training
    model.eval()
    for chosen_E in features.groups(order_E, max_tokens=AT_ONCE):
        packed = pack(features, chosen_E).to(device)
        outputs = model(packed)
        parts.append(tuple(output.float().cpu().numpy() for output in outputs))
        on_group(len(chosen_E))
    model.train(was_training)
    return assembled(parts, order_E, features)


def assembled(
    parts: Sequence[tuple[Array, ...]], order_E: Array, features: Features
) -> tuple[Array, ...]:
    """What was put out group by group, in the examples' own order."""
    joined = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return tuple(_in_order(column, order_E, features) for column in joined)


def _in_order(column: Array, order_E: Array, features: Features) -> Array:
    """A row belongs to an example, a sample or a place: how many there are says to which."""
    per_sample = np.diff(features.samples_E1)
    per_place = np.diff(features.place_offsets_S1[features.samples_E1])
    sizes_E = next(
        sizes
        for sizes in (np.ones(len(features), np.int64), per_sample, per_place)
        if sizes.sum() == len(column)
    )
    ends = np.cumsum(sizes_E[order_E])
    begins_E = np.empty_like(ends)
    begins_E[order_E] = ends - sizes_E[order_E]
    rows = [np.arange(begin, begin + size) for begin, size in zip(begins_E, sizes_E, strict=True)]
    ordered: Array = column[np.concatenate(rows)]
    return ordered
