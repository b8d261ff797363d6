"""A slice of a split, answered by a model that a process keeps open for the next one.

`cluster/evaluate.py` runs `answer_slice` as tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from orchestrator.encoder.nearby import nearby
from orchestrator.settings.extensions import import_extensions
from orchestrator.tasks.directory import TaskDirectory, open_task_directory
from orchestrator.tasks.evaluation import Said, SliceWork
from orchestrator.tasks.fitted import fit
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.predict import predict


def answer_slice(work: SliceWork, tell: Callable[[int], None]) -> Said:
    opened = fit(_open(work.model, work.extensions, work.device), work.task, work.labels)
    kind = kind_of(work.task)
    features = kind.encode(work.examples, work.labels, opened.tokenizer, work.task)
    done = 0

    def count(num_examples: int) -> None:
        nonlocal done
        done += num_examples
        tell(done)

    predictions = predict(
        opened.model, features, work.examples, work.labels, work.task, on_group=count
    )
    num_truncated = round(features.truncated_share * len(work.examples))
    return Said(predictions=predictions, num_truncated=num_truncated)


@lru_cache(maxsize=2)
def _open(model: str, extensions: tuple[str, ...], device: str) -> TaskDirectory:
    import_extensions(extensions, Path.cwd())
    with nearby(model) as folder:
        opened = open_task_directory(folder)
    opened.model.to(device)
    return opened
