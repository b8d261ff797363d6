"""Load of every rank, its node and its GPU, beside what training measures: `system/rank/N/…`.

Each rank's `SystemWriter` samples now and then in a thread of its own and writes to a file of its
own, at the step that the rank reached last. A sample costs well under a millisecond.
"""

from __future__ import annotations

import importlib
import threading
from contextlib import suppress
from functools import partial
from typing import Any

import psutil

from orchestrator.errors import StorageError
from orchestrator.runs.storage import Storage
from orchestrator.tracking.metrics import MetricsWriter

EVERY_S = 10.0
_WRITER = "system"
_MIB = 2.0**20
_LAST_S = 5.0  # for the last sample, where the storage does not answer


def is_system(writer: str) -> bool:
    """Whether a file of metrics has no more than these."""
    return writer.startswith(f"{_WRITER}-")


class SystemWriter:
    """From its making until `close`. It writes nothing before the first `beat`: a line at step 0
    would say that this attempt began again from there."""

    def __init__(
        self, run: Storage, *, attempt: int, rank: int, gpu: str | None, every_s: float = EVERY_S
    ) -> None:
        self._rank = rank
        self._sampler = SystemSampler(gpu)
        self._every_s = every_s
        writer = f"{_WRITER}-{rank:03d}"
        self._open = partial(MetricsWriter, run, attempt=attempt, writer=writer)
        self._step: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_on, daemon=True, name="system")
        self._thread.start()

    def beat(self, step: int) -> None:
        """A step was made. Costs nothing."""
        self._step = step

    def close(self) -> None:
        """With a last sample: runs of a few seconds have one as well."""
        self._over.set()
        self._thread.join(timeout=_LAST_S)

    def _write_on(self) -> None:
        metrics: MetricsWriter | None = None
        is_over = False
        while not is_over:
            is_over = self._over.wait(self._every_s)
            if self._step is None:
                continue
            # What a storage that is away for a while does not get is missing, and no more than it.
            with suppress(StorageError, OSError):
                metrics = metrics or self._open()
                metrics.write(self._step, named(self._rank, self._sampler.sample()))
        if metrics is not None:
            with suppress(StorageError, OSError):
                metrics.close()


class SystemSampler:
    """CPU shares are those since the last sample. The GPU by NVML, where pynvml is installed."""

    def __init__(self, gpu: str | None = None) -> None:
        """`gpu` is the UUID of this process's own, as CUDA and NVML both know it; None: no GPU."""
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()
        self._nvml, self._handle = _open_gpu(gpu)

    def sample(self) -> dict[str, float]:
        with self._process.oneshot():
            figures = {
                "cpu_percent": self._process.cpu_percent(),
                "memory_mib": self._process.memory_info().rss / _MIB,
                "threads": float(self._process.num_threads()),
            }
        figures["node/cpu_percent"] = psutil.cpu_percent()
        figures["node/memory_percent"] = psutil.virtual_memory().percent
        if self._handle is not None:
            figures |= self._of_gpu()
        return figures

    def _of_gpu(self) -> dict[str, float]:
        """Without those figures that this kind of GPU, or a slice of one, does not have."""
        nvml, handle, figures = self._nvml, self._handle, dict[str, float]()
        with suppress(nvml.NVMLError):
            figures["gpu/busy_percent"] = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with suppress(nvml.NVMLError):
            figures["gpu/memory_mib"] = nvml.nvmlDeviceGetMemoryInfo(handle).used / _MIB
        with suppress(nvml.NVMLError):
            kind = nvml.NVML_TEMPERATURE_GPU
            figures["gpu/temperature_c"] = float(nvml.nvmlDeviceGetTemperature(handle, kind))
        with suppress(nvml.NVMLError):
            figures["gpu/power_w"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        return figures


def named(rank: int, figures: dict[str, float]) -> dict[str, float]:
    return {f"system/rank/{rank}/{name}": value for name, value in figures.items()}


def _open_gpu(uuid: str | None) -> tuple[Any, Any]:
    """NVML and the GPU's handle there. By its UUID: the two number GPUs differently."""
    if uuid is None:
        return None, None
    try:
        pynvml: Any = importlib.import_module("pynvml")  # an extra: orchestrator[gpu]
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
    except pynvml.NVMLError:  # no driver, or a name that it does not know
        return None, None
