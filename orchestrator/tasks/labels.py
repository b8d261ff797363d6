"""The names of classes and of tags, and their numbers: those of the training data, in order.

Made once from training examples; a trained head keeps them. Kinds say which names an example has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example


@dataclass(frozen=True, kw_only=True)
class Labels:
    classes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()  # of words

    @cached_property
    def class_ids(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}

    @cached_property
    def tag_ids(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.tags)}

    def plain(self) -> dict[str, list[str]]:
        return {"classes": list(self.classes), "tags": list(self.tags)}

    @staticmethod
    def of_plain(plain: dict[str, list[str]]) -> Labels:
        return Labels(classes=tuple(plain["classes"]), tags=tuple(plain["tags"]))


def labels_of(task: Task, kind: Any, training: Iterable[Example]) -> Labels:
    """`task.labels` names the classes, or the tags where there are no classes."""
    classes: set[str] = set()
    tags: set[str] = set()
    for example in training:
        classes.update(kind.class_names(example.target))
        tags.update(kind.tag_names(example.target))
    named = task.labels
    return Labels(
        classes=named if named and classes else _sorted(classes),
        tags=named if named and tags and not classes else _sorted(tags),
    )


def _sorted(names: set[str]) -> tuple[str, ...]:
    """Numbers by their size."""
    if names and all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))
