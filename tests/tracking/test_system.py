from __future__ import annotations

import math

from orchestrator.tracking.system import SystemSampler, named


def test_a_sample_is_numbers_that_metrics_can_hold() -> None:
    sampler = SystemSampler()
    held = bytearray(64 * 2**20)
    figures = sampler.sample()
    assert {"cpu_percent", "memory_mib", "node/cpu_percent", "node/memory_percent"} <= set(figures)
    assert all(math.isfinite(value) and value >= 0 for value in figures.values())
    assert figures["memory_mib"] > len(held) / 2**20 / 2
    assert set(named(3, figures)) == {f"system/rank/3/{name}" for name in figures}
