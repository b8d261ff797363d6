"""Where a run's time goes, and how fast it is. The loop tells it what it does; rank 0 asks.

    tokens/s  = tokens that are no padding / time of the step, data wait included
    MFU       = FLOPs of the step / (time of the step × workers × peak of a worker's device)
    goodput   = time of steps that count / all time since the run began, attempts that were lost too

FLOPs are those of `encoder/counts.py`: matrix products, forward and backward, none of padding.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from orchestrator.settings.precision import Precision

_DIGITS = 7  # of what a clock says; further ones are noise that fills the disk
# TFLOP/s of dense matrix products in bf16 and fp16; in fp32 with TF32, half of it.
_PEAKS = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A10": 125.0,
    "V100": 125.0,
    "T4": 65.0,
}


def peak_flops(device: torch.device, precision: Precision) -> float | None:
    """None for a device that is not known: no share is better than a wrong one."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    peak = next((peak for part, peak in _PEAKS.items() if part in name), None)
    if peak is None:
        return None
    return peak * 1e12 * (0.5 if precision is Precision.FP32 else 1.0)


def memory_bytes(device: torch.device) -> int:
    """The most that this process held: on its GPU, or in all."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(kw_only=True)
class Meter:
    """All times are of this attempt, in seconds."""

    world: int
    peak: float | None  # FLOP/s of a worker
    spent_before_s: float = 0.0  # by attempts before this one
    trained_before_s: float = 0.0  # of that, by steps that count
    began: float = field(default_factory=time.monotonic)
    trained_s: float = 0.0
    by_kind: dict[str, float] = field(default_factory=dict)
    _step_began: float = 0.0
    _aside_s: float = 0.0  # since the step began, on something else

    def begin_step(self) -> None:
        self._step_began, self._aside_s = time.perf_counter(), 0.0

    @contextmanager
    def aside(self, kind: str) -> Iterator[None]:
        """Time that is no step's: a checkpoint, an evaluation."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - begin
            self.by_kind[kind] = self.by_kind.get(kind, 0.0) + took
            self._aside_s += took

    def end_step(self, *, tokens: int, flops: float, waited_s: float) -> dict[str, float]:
        """Figures of the step that ends now; `waited_s` is all that was waited for data so far."""
        step_s = time.perf_counter() - self._step_began - self._aside_s
        self.trained_s += step_s
        waited = waited_s - self.by_kind.get("data", 0.0)
        self.by_kind["data"] = waited_s
        figures = {
            "train/step_s": step_s,
            "train/tokens_per_s": tokens / step_s,
            "train/data_wait": min(1.0, waited / step_s),
            "train/checkpoint_stall": self.by_kind.get("checkpoint", 0.0) / self.elapsed_s,
            "train/goodput": self.goodput,
        }
        if self.peak is not None:
            figures["train/mfu"] = flops / (step_s * self.world * self.peak)
        return {name: float(f"{value:.{_DIGITS}g}") for name, value in figures.items()}

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began

    @property
    def spent_s(self) -> float:
        return self.spent_before_s + self.elapsed_s

    @property
    def goodput(self) -> float:
        return (self.trained_before_s + self.trained_s) / max(self.spent_s, 1e-9)
