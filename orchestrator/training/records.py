"""What rank 0 writes while a run trains: numbers, what a step consumed, a line to look at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from orchestrator.corpus.packs.audit import StepRecord
from orchestrator.errors import StorageError
from orchestrator.runs.samples import write_samples
from orchestrator.runs.steps import StepWriter
from orchestrator.settings.units import format_bytes, format_count, format_duration
from orchestrator.tracking.metrics import MetricsWriter
from orchestrator.training.material import Measured
from orchestrator.training.port import WorkerPort
from orchestrator.training.standing import Standing

_LINE_EVERY_S = 10.0


class Records:
    """On ranks other than 0 it does nothing."""

    def __init__(self, port: WorkerPort, *, num_steps: int | None) -> None:
        self._port = port
        self._num_steps = num_steps
        self._is_mute = port.rank > 0
        self._lined = 0.0
        if not self._is_mute:
            self._metrics = MetricsWriter(port.run, attempt=port.attempt, writer="rank-000")
            self._steps = StepWriter(port.run, attempt=port.attempt)

    def step(self, record: StepRecord, standing: Standing, values: Mapping[str, float]) -> None:
        if self._is_mute:
            return
        self._steps.write(record.to_plain())
        self._metrics.write(standing.step, values, tokens=standing.tokens)
        self._port.show("training", standing.step, self._num_steps, "steps")
        if time.monotonic() - self._lined >= _LINE_EVERY_S or standing.step == self._num_steps:
            self._lined = time.monotonic()
            print(self._line(standing.step, values), flush=True)

    def evaluation(self, standing: Standing, measured: Measured) -> None:
        if self._is_mute:
            return
        values = measured.values
        self._metrics.write(standing.step, values, tokens=standing.tokens)
        told = [f"{name.removeprefix('eval/')} {value:.4g}" for name, value in values.items()]
        print(f"step {standing.step}: validation " + ", ".join(told), flush=True)
        if measured.samples:
            with suppress(StorageError):  # the next ones will do: they are to look at only
                write_samples(self._port.run, step=standing.step, samples=measured.samples)

    def flush(self) -> None:
        """Before a COMMIT: what is written so far survives a crash."""
        if not self._is_mute:
            self._metrics.flush()
            self._steps.flush()

    def close(self) -> None:
        if not self._is_mute:
            self._metrics.close()
            self._steps.close()

    def _line(self, step: int, values: Mapping[str, float]) -> str:
        columns = [
            f"step {step}/{self._num_steps}" if self._num_steps else f"step {step}",
            f"loss {values['train/loss']:.3f}",
            f"lr {values['train/lr']:.2g}",
            f"{format_count(values['train/tokens_per_s'])} tok/s",
            *([f"mfu {values['train/mfu']:.0%}"] if "train/mfu" in values else []),
            f"data wait {values['train/data_wait']:.0%}",
            f"ckpt {values['train/checkpoint_stall']:.0%}",
            f"mem {format_bytes(values['train/memory_bytes'])}",
        ]
        if self._num_steps:
            left_s = (self._num_steps - step) * values["train/step_s"]
            columns.append(f"eta {format_duration(left_s)}")
        return " | ".join(columns)
