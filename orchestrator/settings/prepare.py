"""The `prepare` job: any text into a sharded corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.settings.corpus import Corpus
from orchestrator.settings.field import setting
from orchestrator.settings.job import Job


@dataclass(frozen=True, kw_only=True)
class PrepareJob(Job):
    kind: ClassVar[str] = "prepare"

    corpus: Corpus = setting("What is prepared")
