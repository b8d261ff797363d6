"""What every job has that trains: pretraining and fine-tuning are one loop."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.settings.checkpoint import Checkpoint
from orchestrator.settings.compute import Compute, Profile
from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.job import Job
from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.settings.schedule import Schedule
from orchestrator.settings.zero import Zero


@dataclass(frozen=True, kw_only=True)
class TrainingJob(Job):
    seed: int = setting(
        "Of new weights, of the order in which it reads, of masks and dropout",
        default=1,
        bounds=Bounds(at_least=0, at_most=2**31 - 1),
    )
    optim: Optim = setting("The optimizer", factory=Optim)
    schedule: Schedule = setting("The learning rate over the run", factory=Schedule)
    zero: Zero = setting("What workers divide among them", factory=Zero)
    precision: Precision = setting(
        "What it computes in: fp32, bf16, fp16 (GPUs)", default=Precision.FP32
    )
    compute: Compute = setting("How a worker computes", factory=Compute)
    checkpoint: Checkpoint = setting("How often it is made safe", factory=Checkpoint)
    profile: Profile = setting("A trace of some steps", factory=Profile)
