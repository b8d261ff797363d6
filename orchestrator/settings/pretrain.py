"""The `pretrain` job: a prepared corpus into an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.checkpoint import Checkpoint
from orchestrator.settings.compute import Compute, Profile
from orchestrator.settings.corpus import Corpus
from orchestrator.settings.evaluation import Evaluation
from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.job import Job
from orchestrator.settings.model import Model
from orchestrator.settings.objective import Objective
from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.settings.schedule import Schedule
from orchestrator.settings.units import Bytes
from orchestrator.settings.zero import Zero


@dataclass(frozen=True, kw_only=True)
class PretrainJob(Job):
    kind: ClassVar[str] = "pretrain"

    seed: int = setting(
        "Of new weights, the order of text, masks and dropout",
        default=1,
        bounds=Bounds(at_least=0, at_most=2**31 - 1),
    )
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
    optim: Optim = setting("The optimizer", factory=Optim)
    schedule: Schedule = setting("The learning rate over the run", factory=Schedule)
    zero: Zero = setting("What workers divide among them", factory=Zero)
    precision: Precision = setting(
        "What it computes in: fp32, bf16, fp16 (GPUs)", default=Precision.FP32
    )
    compute: Compute = setting("How a worker computes", factory=Compute)
    budget: Budget = setting("When it ends")
    checkpoint: Checkpoint = setting("How often it is made safe", factory=Checkpoint)
    evaluation: Evaluation = setting("How often the validation loss is taken", factory=Evaluation)
    profile: Profile = setting("A trace of some steps", factory=Profile)
