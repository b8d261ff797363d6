from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.encoder.findings import attention_findings, compile_findings, position_findings
from orchestrator.settings.model import Model

MINI = Model(layers=4, hidden=256, heads=4)


def test_a_cpu_has_attention_for_every_model() -> None:
    odd = replace(MINI, heads=256)
    assert list(attention_findings(odd, on_gpu=False, flash_attn=False)) == []


def test_dropout_of_attention_needs_flash_attn_on_gpus() -> None:
    (finding,) = attention_findings(MINI, on_gpu=True, flash_attn=False)
    assert str(finding) == (
        "model.attention_dropout=0.1 needs the package flash-attn on GPUs: PyTorch's attention "
        "within packs has no dropout. Try model.attention_dropout=0, or a cluster with flash-attn."
    )
    assert list(attention_findings(MINI, on_gpu=True, flash_attn=True)) == []
    without = replace(MINI, attention_dropout=0.0)
    assert list(attention_findings(without, on_gpu=True, flash_attn=False)) == []


@pytest.mark.parametrize(("hidden", "heads"), [(256, 64), (1024, 2)])
def test_heads_on_gpus_have_sizes_that_kernels_know(hidden: int, heads: int) -> None:
    model = replace(MINI, hidden=hidden, heads=heads)
    (finding,) = attention_findings(model, on_gpu=True, flash_attn=True)
    assert f"gives heads of size {hidden // heads}" in str(finding)
    assert finding.try_ == f"model.heads={hidden // 64}."


def test_samples_longer_than_positions_are_a_finding() -> None:
    assert list(position_findings(MINI, seq_len=512)) == []
    (finding,) = position_findings(MINI, seq_len=513)
    assert str(finding).endswith("Try model.max_positions=513.")


def test_compiling_without_a_compiler_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = compile_findings(on_gpu=False, key="compile")
    assert str(finding).startswith("compile=true needs a compiler, and none of g++, clang++, c++")
    compiler = tmp_path / "g++"
    compiler.touch(mode=0o755)
    assert list(compile_findings(on_gpu=False, key="compile")) == []
