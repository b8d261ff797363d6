"""The `finetune` job: an encoder into a model for a task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.precision import Precision
from orchestrator.settings.task import Task
from orchestrator.settings.training import TrainingJob
from orchestrator.settings.transfer import Transfer
from orchestrator.settings.units import Count, Seconds


@dataclass(frozen=True, kw_only=True)
class ExampleBatch:
    examples: Count = setting(
        "Examples of a step, all workers together", default=32, bounds=Bounds(at_least=1)
    )
    pack_examples: Count = setting(
        "Examples that a worker computes at once; dropout and gradients follow from it, and not "
        "from how many workers there are",
        default=16,
        bounds=Bounds(at_least=1),
    )
    pack_tokens: Count = setting(
        "And the most tokens that these have together; a longer example goes alone",
        default=8192,
        bounds=Bounds(at_least=16),
    )

    def findings(self) -> Iterator[Finding]:
        if self.pack_examples > self.examples:
            yield Finding(
                key="pack_examples",
                found=f"={self.pack_examples}",
                rule=f"is more than the batch.examples={self.examples} of a step.",
                try_=f"{self.examples}.",
            )


@dataclass(frozen=True, kw_only=True)
class EpochBudget:
    epochs: float = setting(
        "How often each example is read; a part of one too", default=3.0, bounds=Bounds(above=0)
    )
    max_duration: Seconds | None = setting(
        "Time of training, all attempts together; null: any", default=None, bounds=Bounds(above=0)
    )


@dataclass(frozen=True, kw_only=True)
class TaskEvaluation:
    every_epochs: float = setting(
        "Epochs from one measurement of the validation split to the next",
        default=1.0,
        bounds=Bounds(above=0),
    )
    patience: int | None = setting(
        "Training ends when so many measurements in a row are no better than the best; null: never",
        default=None,
        bounds=Bounds(at_least=1),
    )
    test: bool = setting(
        "Measure the test split too, once, with the model that was best on the validation split",
        default=True,
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneJob(TrainingJob):
    kind: ClassVar[str] = "finetune"

    task: Task = setting("What is learned")
    encoder: str = setting(
        "What it starts from: a run, or a directory of Hugging Face's", path=PathKind.FILE_OR_NAME
    )
    num_seeds: int = setting(
        "How often it is done, with `seed` and those that follow; their median and spread are told",
        default=1,
        bounds=Bounds(at_least=1, at_most=100),
    )
    transfer: Transfer = setting("What of the encoder is trained, and how", factory=Transfer)
    batch: ExampleBatch = setting("Examples of a step", factory=ExampleBatch)
    budget: EpochBudget = setting("When it ends", factory=EpochBudget)
    evaluation: TaskEvaluation = setting("How it is measured", factory=TaskEvaluation)

    @property
    def trains_alone(self) -> bool:
        """With torch and without DeepSpeed. Never a matter of how many workers an attempt got:
        their checkpoints have different forms.
        """
        is_whole = self.cluster.num_workers == 1 and self.zero.stage == 0
        return is_whole and self.precision is not Precision.FP16
