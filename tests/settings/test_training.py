"""The smaller nouns of training jobs, and the groups of conf/ that set them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.settings.budget import Budget
from orchestrator.settings.build import build, check
from orchestrator.settings.bundled import bundled
from orchestrator.settings.checkpoint import Checkpoint
from orchestrator.settings.evaluation import Evaluation
from orchestrator.settings.optim import Optim
from orchestrator.settings.schedule import Schedule
from orchestrator.settings.zero import Zero

NOUNS: dict[str, type] = {
    "optim": Optim,
    "schedule": Schedule,
    "zero": Zero,
    "budget": Budget,
    "checkpoint": Checkpoint,
    "evaluation": Evaluation,
}
CHOICES = [path for name in NOUNS for path in sorted((bundled("conf") / name).glob("*.yaml"))]


def said(name: str, plain: Any) -> list[str]:
    noun, findings = build(NOUNS[name], plain, at=name)
    return [str(finding) for finding in (findings or check(noun, at=name))]


@pytest.mark.parametrize("path", CHOICES, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_every_choice_of_a_group_is_a_whole_noun_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert said(path.parent.name, yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("name", "plain", "told"),
    [
        ("optim", {"betas": [0.9]}, "optim.betas=[0.9] must be two numbers below 1."),
        ("optim", {"betas": [0.9, 1]}, "optim.betas=[0.9, 1] must be two numbers below 1."),
        ("optim", {"lr": 0}, "optim.lr=0 must be above 0."),
        (
            "schedule",
            {"kind": "wsd", "warmup": 0.3, "decay": 0.8},
            "schedule.decay=0.8 and schedule.warmup=0.3 are 1.1 of the run. Try 0.7 at most.",
        ),
        ("zero", {"stage": 4}, "zero.stage=4 must be at most 3."),
        (
            "zero",
            {"offload_optimizer": True},
            "zero.offload_optimizer=true needs zero.stage of 1 or more. Try zero.stage=2.",
        ),
        (
            "zero",
            {"stage": 2, "offload_optimizer": True, "offload_parameters": True},
            "zero.offload_parameters=true needs zero.stage=3; zero.stage=2 keeps parameters whole.",
        ),
        (
            "zero",
            {"stage": 3, "offload_parameters": True},
            "zero.offload_parameters=true leaves the optimizer's states, six times as large, on",
        ),
        (
            "budget",
            {},
            "budget.steps=null with budget.tokens=null and budget.max_duration=null never ends. "
            "Try budget.steps=1000.",
        ),
        (
            "checkpoint",
            {"every": None},
            "checkpoint.every=null with checkpoint.every_steps=null saves nothing before the end",
        ),
    ],
)
def test_a_mistake_is_told_with_its_numbers(name: str, plain: dict[str, Any], told: str) -> None:
    (only,) = said(name, plain)
    assert only.startswith(told)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("budget", {"tokens": "10B"}),
        ("budget", {"max_duration": "1d"}),
        ("checkpoint", {"every": None, "every_steps": 100}),
        ("checkpoint", {"every": "30m", "keep_last": 1, "keep_best": 3, "keep_every": "10k"}),
        ("evaluation", {"every_steps": 1000, "packs": 8}),
        ("schedule", {"kind": "wsd", "counted_in": "tokens", "warmup": "3B", "decay": "50B"}),
        ("zero", {"stage": 3, "offload_optimizer": True, "offload_parameters": True}),
        ("optim", {"clip_norm": None}),
    ],
)
def test_what_a_user_may_ask_for(name: str, plain: dict[str, Any]) -> None:
    assert said(name, plain) == []
