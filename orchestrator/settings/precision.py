"""What numbers are computed in. Where it is not fp32, the optimizer keeps fp32 copies."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"

    @property
    def size_bytes(self) -> int:
        return 4 if self is Precision.FP32 else 2
