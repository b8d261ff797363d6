"""How a worker computes: what it trades for memory or time, and what a trace records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.units import Count


@dataclass(frozen=True, kw_only=True)
class Compute:
    checkpoint_activations: bool = setting(
        "Keep only what goes into each layer, and compute the rest again: less memory, a third "
        "more work",
        default=False,
    )
    compile: bool = setting(
        "Compile the layers with torch.compile: pays on GPUs after a minute", default=False
    )
    deterministic: bool = setting(
        "Only algorithms that give the same bits each time; on CPUs they are anyway", default=False
    )
    peak_tflops: float | None = setting(
        "What a worker's device could do at most, of which MFU is a share; null: that of a GPU "
        "that is known, or no MFU",
        default=None,
        bounds=Bounds(above=0),
    )
    tokens_per_s: Count | None = setting(
        "What a worker trains on in a second, from which `plan` tells the time; null: what the "
        "newest run alike did",
        default=None,
        bounds=Bounds(at_least=1),
    )


@dataclass(frozen=True, kw_only=True)
class Profile:
    steps: tuple[int, ...] = setting(
        "The first and the last step of a trace of rank 0, such as [20, 25]; empty: none",
        default=(),
        bounds=Bounds(at_least=1),
    )

    def findings(self) -> Iterator[Finding]:
        if self.steps and (len(self.steps) != 2 or self.steps[0] > self.steps[1]):
            yield Finding(
                key="steps",
                found=f"=[{', '.join(map(str, self.steps))}]",
                rule="must be two numbers, the second not below the first.",
                try_="[20, 25].",
            )
