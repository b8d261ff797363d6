"""Load of this process, its node and its GPUs: a few figures that cost well under a millisecond.

A rank samples now and then and writes them with its other metrics, as `system/rank/N/…`.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import Any

import psutil

_MIB = 2.0**20


class SystemSampler:
    """CPU shares are those since the last sample. GPUs by NVML, where pynvml and a GPU are."""

    def __init__(self, gpus: tuple[int, ...] | None = None) -> None:
        """`gpus` are NVML's numbers of those that are this process's own; None: all it may see."""
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()
        self._nvml, self._handles = _open_gpus(gpus)

    def sample(self) -> dict[str, float]:
        with self._process.oneshot():
            figures = {
                "cpu_percent": self._process.cpu_percent(),
                "memory_mib": self._process.memory_info().rss / _MIB,
                "threads": float(self._process.num_threads()),
            }
        memory = psutil.virtual_memory()
        figures["node/cpu_percent"] = psutil.cpu_percent()
        figures["node/memory_percent"] = memory.percent
        for number, handle in self._handles:
            with suppress(self._nvml.NVMLError):  # a figure that this GPU does not have
                self._add_gpu(figures, f"gpu/{number}", handle)
        return figures

    def _add_gpu(self, figures: dict[str, float], at: str, handle: Any) -> None:
        nvml = self._nvml
        rates, memory = (
            nvml.nvmlDeviceGetUtilizationRates(handle),
            nvml.nvmlDeviceGetMemoryInfo(handle),
        )
        figures[f"{at}/busy_percent"] = float(rates.gpu)
        figures[f"{at}/memory_mib"] = memory.used / _MIB
        figures[f"{at}/temperature_c"] = float(
            nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        )
        figures[f"{at}/power_w"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000


def named(rank: int, figures: dict[str, float]) -> dict[str, float]:
    return {f"system/rank/{rank}/{name}": value for name, value in figures.items()}


def _open_gpus(gpus: tuple[int, ...] | None) -> tuple[Any, list[tuple[int, Any]]]:
    try:
        pynvml: Any = importlib.import_module("pynvml")  # GPU nodes usually have it
    except ImportError:
        return None, []
    try:
        pynvml.nvmlInit()
        numbers = _visible(pynvml.nvmlDeviceGetCount()) if gpus is None else gpus
        return pynvml, [(n, pynvml.nvmlDeviceGetHandleByIndex(n)) for n in numbers]
    except pynvml.NVMLError:  # no driver, no GPU
        return None, []


def _visible(count: int) -> tuple[int, ...]:
    """CUDA_VISIBLE_DEVICES hides GPUs from CUDA, but not from NVML. Names (UUIDs) mean all."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        return tuple(range(count))
    numbers = [word.strip() for word in said.split(",") if word.strip()]
    if not all(number.isdigit() for number in numbers):
        return tuple(range(count))
    return tuple(int(number) for number in numbers if int(number) < count)
