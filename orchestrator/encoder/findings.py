"""What of a model cannot be run where it is to run. Without torch: `plan` calls it.

What a directory given as `encoder=` does not fit is in `directory.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from orchestrator.settings.finding import Finding
from orchestrator.settings.model import Model

# Of attention on GPUs, in torch and in flash-attn alike.
_HEAD_SIZE_STEP = 8
_MAX_HEAD_SIZE = 256


def has_flash_attn() -> bool:
    """Here; workers may have other packages."""
    return find_spec("flash_attn") is not None


def position_findings(model: Model, *, seq_len: int) -> Iterator[Finding]:
    if model.max_positions < seq_len:
        yield Finding(
            key="model.max_positions",
            found=f"={model.max_positions}",
            rule=f"is less than seq_len={seq_len}: every token of a sample has its position.",
            try_=f"model.max_positions={seq_len}.",
        )


def attention_findings(model: Model, *, on_gpu: bool, flash_attn: bool) -> Iterator[Finding]:
    """On a CPU attention within packs takes all; on GPUs it is a kernel, with a kernel's limits."""
    if not on_gpu:
        return
    if model.attention_dropout > 0 and not flash_attn:
        yield Finding(
            key="model.attention_dropout",
            found=f"={model.attention_dropout:g}",
            rule="needs the package flash-attn on GPUs: PyTorch's attention within packs has no "
            "dropout.",
            try_="model.attention_dropout=0, or a cluster with flash-attn.",
        )
    if model.head_size % _HEAD_SIZE_STEP or model.head_size > _MAX_HEAD_SIZE:
        yield Finding(
            key="model.heads",
            found=f"={model.heads} of hidden={model.hidden} gives heads of size {model.head_size}",
            rule=f"and GPUs need a multiple of {_HEAD_SIZE_STEP}, at most {_MAX_HEAD_SIZE}.",
            try_=f"model.heads={max(model.hidden // 64, 1)}.",
        )


def compile_findings(*, on_gpu: bool, key: str) -> Iterator[Finding]:
    """torch.compile writes C++ for a CPU, and Triton with a launcher in C for a GPU."""
    compilers = ("gcc", "clang", "cc") if on_gpu else ("g++", "clang++", "c++")
    if not any(map(shutil.which, compilers)):
        yield Finding(
            key=key,
            found="=true",
            rule=f"needs a compiler, and none of {', '.join(compilers)} is there.",
            try_=f"{key}=false, or an image with a compiler.",
        )
    if on_gpu and find_spec("triton") is None:
        rule = "needs the package triton on GPUs, and it is not installed."
        yield Finding(key=key, found="=true", rule=rule, try_=f"{key}=false.")
