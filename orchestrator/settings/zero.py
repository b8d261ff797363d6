"""What ZeRO divides among the workers, and what it keeps in the host's memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding

# Elements that are reduced or gathered in one message: DeepSpeed is told so, and the memory of its
# buffers is estimated from it. Its own 500 million would take 2 GB for the smallest model.
BUCKET_ELEMENTS = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Zero:
    stage: int = setting(
        "What is divided: 0 nothing, 1 the optimizer's states, 2 gradients too, 3 parameters too",
        default=0,
        bounds=Bounds(at_least=0, at_most=3),
    )
    offload_optimizer: bool = setting(
        "Keep the optimizer's states in the host's memory, and step there", default=False
    )
    offload_parameters: bool = setting(
        "Keep parameters in the host's memory until a layer needs them", default=False
    )

    def findings(self) -> Iterator[Finding]:
        if self.offload_optimizer and self.stage == 0:
            yield Finding(
                key="offload_optimizer",
                found="=true",
                rule="needs zero.stage of 1 or more.",
                try_="zero.stage=2.",
            )
        if self.offload_parameters and self.stage < 3:
            yield Finding(
                key="offload_parameters",
                found="=true",
                rule=f"needs zero.stage=3; zero.stage={self.stage} keeps parameters whole.",
                try_="zero.stage=3.",
            )
        if self.offload_parameters and not self.offload_optimizer:
            yield Finding(
                key="offload_parameters",
                found="=true",
                rule="leaves the optimizer's states, six times as large, on the GPU.",
                try_="zero.offload_optimizer=true first.",
            )
