"""Which optimizer, and its constants. Weight decay leaves parameters of one dimension alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding


class Optimizer(StrEnum):
    ADAMW = "adamw"
    LAMB = "lamb"
    STABLE_ADAMW = "stable_adamw"


class OnNan(StrEnum):
    STOP = "stop"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class Optim:
    kind: Optimizer = setting(
        "adamw; lamb: for very large batches; stable_adamw: tames updates where loss spikes",
        default=Optimizer.ADAMW,
    )
    lr: float = setting("The learning rate at its peak", default=1e-4, bounds=Bounds(above=0))
    betas: tuple[float, ...] = setting(
        "How slowly the means of gradients and of their squares forget",
        default=(0.9, 0.999),
        bounds=Bounds(at_least=0),
    )
    eps: float = setting(
        "Added to the root of the mean square", default=1e-6, bounds=Bounds(above=0)
    )
    weight_decay: float = setting(
        "Share of a weight that a step takes away, times the learning rate",
        default=0.01,
        bounds=Bounds(at_least=0),
    )
    clip_norm: float | None = setting(
        "The largest norm of the gradient of all parameters; null: any",
        default=1.0,
        bounds=Bounds(above=0),
    )
    on_nan: OnNan = setting(
        "A step whose gradient is not a number: stop fails the run before it changes a weight, "
        "skip leaves the step's update out",
        default=OnNan.STOP,
    )

    def findings(self) -> Iterator[Finding]:
        if len(self.betas) != 2 or max(self.betas) >= 1:
            yield Finding(
                key="betas",
                found=f"=[{', '.join(f'{beta:g}' for beta in self.betas)}]",
                rule="must be two numbers below 1.",
                try_="[0.9, 0.999].",
            )
