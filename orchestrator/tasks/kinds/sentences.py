"""One sample an example, of a text or a pair: what most kinds make. They add their targets."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example
from orchestrator.tasks.features import Builder
from orchestrator.tasks.tokens import TaskTokenizer


def encode_sentences(examples: Sequence[Example], tokenizer: TaskTokenizer, task: Task) -> Builder:
    firsts = tokenizer.ids([example.texts[0] for example in examples])
    pairs = [example for example in examples if len(example.texts) > 1]
    seconds = iter(tokenizer.ids([example.texts[1] for example in pairs]))
    builder = Builder()
    for example, first in zip(examples, firsts, strict=True):
        second = next(seconds) if len(example.texts) > 1 else None
        builder.add(tokenizer.frame(first, second, max_tokens=task.max_tokens))
        builder.end_example()
    return builder
