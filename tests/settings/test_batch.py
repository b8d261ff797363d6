from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.settings.batch import Batch
from orchestrator.settings.build import build, check


def said(**plain: Any) -> list[str]:
    batch, findings = build(Batch, plain, at="batch")
    return [str(finding) for finding in (findings or check(batch, at="batch"))]


def test_the_defaults_are_right() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (
            {"global_tokens": 500_000},
            "batch.global_tokens=500000 is not a multiple of batch.pack_tokens=8192. "
            "Try 499712 (61 packs) or 507904 (62).",
        ),
        (
            {"global_tokens": 4096},
            "batch.global_tokens=4096 is not a multiple of batch.pack_tokens=8192. "
            "Try 8192 (1 pack).",
        ),
        (
            {"seq_len": 16384},
            "batch.pack_tokens=8192 is less than batch.seq_len=16384: a pack holds whole samples. "
            "Try 262144.",
        ),
        (
            {"micro_packs": 17},
            "batch.micro_packs=17 is more than the 16 packs of a step. "
            "Try 16, or a larger batch.global_tokens.",
        ),
        (
            {"ramp_tokens": "1M"},
            "batch.ramp_tokens=1000000 has no meaning without batch.start_tokens, from which the "
            "batch grows. Try batch.start_tokens=16384.",
        ),
        (
            {"start_tokens": 131072, "ramp_tokens": "1M"},
            "batch.start_tokens=131072 does not grow to batch.global_tokens=131072. Try null.",
        ),
        (
            {"start_tokens": 16384, "ramp_tokens": "100k"},
            "batch.ramp_tokens=100000 is less than one step of batch.global_tokens=131072: the "
            "batch would not grow but jump. Try 13107200.",
        ),
        (
            {"shorter_first": {512: 0.9}},
            "batch.shorter_first.512 is not shorter than batch.seq_len=512. "
            "Try batch.seq_len=1024.",
        ),
        (
            {"shorter_first": {"short": 0.9}},
            "batch.shorter_first.short must be named by a length of at least 8 tokens. "
            "Try {128: 0.9}.",
        ),
        (
            {"shorter_first": {128: 0.9, 256: 0.1}},
            "batch.shorter_first={128: 0.9, 256: 0.1} has shares of 1 together; below 1 leaves "
            "some of the run to batch.seq_len=512.",
        ),
    ],
)
def test_a_mistake_is_told_with_its_numbers(plain: dict[str, Any], told: str) -> None:
    assert said(**plain) == [told]


@given(st.integers(1, 2**30), st.integers(16, 2**16))
def test_what_a_finding_says_to_try_is_right(global_tokens: int, pack_tokens: int) -> None:
    batch = Batch(global_tokens=global_tokens, pack_tokens=pack_tokens, seq_len=16)
    for finding in batch.findings():
        for tried in finding.try_.split(" or "):
            tokens = int(tried.split()[0])
            better = Batch(global_tokens=tokens, pack_tokens=pack_tokens, seq_len=16)
            assert not list(better.findings())
