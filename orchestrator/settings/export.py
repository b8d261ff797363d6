"""The `export` job: a checkpoint of a pretraining run into a directory of Hugging Face's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.job import Job


@dataclass(frozen=True, kw_only=True)
class ExportJob(Job):
    kind: ClassVar[str] = "export"

    encoder: str = setting("The run whose weights are exported", path=PathKind.FILE_OR_NAME)
    checkpoint: str = setting(
        "Which of its checkpoints: last, best (by validation loss), or a step",
        default="last",
        bounds=Bounds(pattern=r"last|best|\d+", pattern_said="last, best or the number of a step"),
    )
