from __future__ import annotations

from orchestrator.settings.build import build, check
from orchestrator.settings.finding import Finding
from orchestrator.settings.model import Model

SIZE = {"layers": 2, "hidden": 128, "heads": 2}


def _findings(**plain: object) -> list[Finding]:
    value, findings = build(Model, SIZE | plain, at="model")
    return findings if value is None else check(value, at="model")


def test_a_size_is_enough() -> None:
    assert _findings() == []
    assert Model(**SIZE).feed_forward == 512
    assert Model(**SIZE, intermediate=300).feed_forward == 300


def test_heads_divide_the_width_and_near_widths_are_shown() -> None:
    assert [str(finding) for finding in _findings(hidden=100, heads=12)] == [
        "model.hidden=100 is not a multiple of heads=12. Try hidden=96 or 108."
    ]
    assert [finding.try_ for finding in _findings(hidden=8, heads=12)] == ["hidden=12."]


def test_numbers_that_no_model_has_are_findings() -> None:
    wrong = dict(layers=0, dropout=1, attention_dropout=-0.1, layer_norm_eps=0, family="berd")
    assert {finding.key for finding in _findings(**wrong)} == {f"model.{key}" for key in wrong}
