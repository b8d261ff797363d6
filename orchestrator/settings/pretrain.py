"""The `pretrain` job: a prepared corpus into an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.corpus import Corpus
from orchestrator.settings.evaluation import Evaluation
from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.model import Model
from orchestrator.settings.objective import Objective
from orchestrator.settings.training import TrainingJob
from orchestrator.settings.units import Bytes


@dataclass(frozen=True, kw_only=True)
class PretrainJob(TrainingJob):
    kind: ClassVar[str] = "pretrain"

    corpus: Corpus = setting("What it reads; prepared before, with the same settings")
    corpus_cache: Bytes = setting(
        "Room on a node's disk for copies of corpora that lie on an object store",
        default=100 * 2**30,
        bounds=Bounds(at_least=0),
    )
    model: Model = setting("What is trained, where it does not start from `encoder`")
    encoder: str | None = setting(
        "The weights that it starts from: a run, or a directory of Hugging Face's; null: new ones",
        default=None,
        path=PathKind.FILE_OR_NAME,
    )
    objective: Objective = setting("What it predicts", factory=Objective)
    batch: Batch = setting("Tokens of a step", factory=Batch)
    budget: Budget = setting("When it ends")
    evaluation: Evaluation = setting("How often the validation loss is taken", factory=Evaluation)
