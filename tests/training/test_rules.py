from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.packs.stream import Share
from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.build import build, check
from orchestrator.settings.checkpoint import Checkpoint
from orchestrator.settings.cluster import Cluster
from orchestrator.settings.evaluation import Evaluation
from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.settings.schedule import Schedule
from orchestrator.settings.zero import Zero
from orchestrator.training.rules import idle_share, training_findings, training_warnings


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """The nouns of any job that trains."""

    batch: Batch = field(default_factory=Batch)
    optim: Optim = field(default_factory=Optim)
    schedule: Schedule = field(default_factory=Schedule)
    zero: Zero = field(default_factory=Zero)
    precision: Precision = Precision.FP32
    budget: Budget = field(default_factory=lambda: Budget(steps=1000))
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    evaluation: Evaluation = field(default_factory=Evaluation)
    cluster: Cluster = field(default_factory=Cluster)


def job_of(plain: dict[str, Any]) -> TrainJob:
    job, findings = build(TrainJob, plain)
    assert job is not None and not findings and not check(job), (findings, check(job))
    return job


GPU = {"gpus_per_worker": 1}
ENDLESS = {"max_duration": "1h"}


def test_a_job_of_defaults_breaks_no_rule() -> None:
    assert list(training_findings(job_of({}), max_positions=512)) == []
    assert list(training_warnings(job_of({}))) == []


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (
            {"precision": "fp16"},
            "precision=fp16 needs GPUs, and cluster.gpus_per_worker=0. Try precision=bf16.",
        ),
        (
            {"zero": {"stage": 2, "offload_optimizer": True}},
            "zero.offload_optimizer=true takes memory off a GPU, and cluster.gpus_per_worker=0. "
            "Try zero.offload_optimizer=false.",
        ),
        (
            {"batch": {"seq_len": 1024, "pack_tokens": 16384}},
            "batch.seq_len=1024 is more than the 512 positions of the model. Try 512.",
        ),
        (
            {"cluster": {"num_workers": 20, "min_workers": 2}},
            "cluster.num_workers=20 is more than the 16 micro-batches of a step of 16 packs: 4 "
            "workers would never have any. Try cluster.num_workers=16 or "
            "batch.global_tokens=163840.",
        ),
        (
            {"cluster": {"num_workers": 6}, "batch": {"micro_packs": 4}},
            "cluster.num_workers=6 is more than the 4 micro-batches of a step of 16 packs: 2 "
            "workers would never have any. Try cluster.num_workers=4 or "
            "batch.global_tokens=196608.",
        ),
        (
            {"schedule": {"warmup": 1000}},
            "schedule.warmup=1000 steps is all of the run's 1000 steps of 131072000 nominal "
            "tokens. Try 0.01, a share of them.",
        ),
        (
            {"schedule": {"kind": "wsd", "warmup": 600, "decay": 500}},
            "schedule.decay=500 and schedule.warmup=600 are more than the run's 1000 steps",
        ),
        (
            {"batch": {"start_tokens": 16384, "ramp_tokens": "1G"}},
            "batch.ramp_tokens=1000000000 is all of the run's 1000 steps of 16384000 nominal "
            "tokens: it would end before the batch has grown. Try 1638400.",
        ),
        (
            {"budget": ENDLESS},
            "schedule.kind=linear goes by the end of the run, which budget.max_duration alone "
            "does not tell. Try budget.steps=… or budget.tokens=…, or schedule.kind=constant.",
        ),
        (
            {"budget": ENDLESS, "schedule": {"kind": "constant"}},
            "schedule.warmup=0.01 goes by the end of the run, which budget.max_duration alone "
            "does not tell. Try budget.steps=… or budget.tokens=…, or a count of steps.",
        ),
        (
            {
                "budget": ENDLESS,
                "schedule": {"kind": "constant", "warmup": 10},
                "batch": {"shorter_first": {128: 0.9}},
            },
            "batch.shorter_first goes by the end of the run",
        ),
        (
            {"checkpoint": {"keep_best": 1}},
            "checkpoint.keep_best=1 goes by the validation loss, and evaluation.every_steps=null "
            "never takes it. Try evaluation.every_steps=1000.",
        ),
    ],
)
def test_a_broken_rule_is_told_with_its_numbers(plain: dict[str, Any], told: str) -> None:
    (finding,) = training_findings(job_of(plain), max_positions=512)
    assert str(finding).startswith(told)


@pytest.mark.parametrize(
    "plain",
    [
        *({"optim": {"kind": "lamb"}, "zero": {"stage": stage}} for stage in range(4)),
        {"optim": {"kind": "stable_adamw"}, "zero": {"stage": 3}},
        {"zero": {"stage": 3, "offload_optimizer": True}, "cluster": GPU, "precision": "fp16"},
        {"cluster": {"num_workers": 16, "min_workers": 1}},
        {"budget": ENDLESS, "schedule": {"kind": "constant", "warmup": 10}},
        {"budget": {"tokens": "1G", "max_duration": "1h"}, "schedule": {"kind": "wsd"}},
        {"batch": {"start_tokens": 16384, "ramp_tokens": "10M"}},
        {"batch": {"shorter_first": {128: 0.9}}},
        {"checkpoint": {"keep_best": 1}, "evaluation": {"every_steps": 100}},
    ],
)
def test_what_a_user_may_ask_for(plain: dict[str, Any]) -> None:
    assert list(training_findings(job_of(plain), max_positions=512)) == []


def test_any_length_will_do_for_a_model_without_positions() -> None:
    job = job_of({"batch": {"seq_len": 8192}})
    assert list(training_findings(job, max_positions=None)) == []


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (
            {"cluster": {"num_workers": 8, "min_workers": 2}},
            "7 workers with batch.micro_packs=1 compute 16 packs in 3 rounds and idle for 24%",
        ),
        (
            {
                "cluster": {"num_workers": 4},
                "batch": {"start_tokens": 16384, "ramp_tokens": "10M"},
            },
            "4 workers idle for 50% of the first steps: batch.start_tokens=16384 is 2 packs.",
        ),
        (
            {"budget": {"steps": 10, "max_duration": "1h"}},
            "budget.max_duration may end the run before schedule.kind=linear has come down",
        ),
    ],
)
def test_what_is_allowed_but_costs_something_is_a_warning(plain: dict[str, Any], told: str) -> None:
    assert list(training_findings(job_of(plain), max_positions=512)) == []
    (warning,) = training_warnings(job_of(plain))
    assert warning.startswith(told)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 4))
def test_the_idle_share_is_what_the_ranks_together_have_of_weight_zero(
    packs: int, world: int, micro_packs: int
) -> None:
    slots = [
        Share(packs_per_step=packs, micro_packs=micro_packs, world=world, rank=rank).slots()
        for rank in range(world)
    ]
    empty = sum(int((slots_AM < 0).sum()) for slots_AM in slots)
    assert idle_share(packs, world * micro_packs) == pytest.approx(
        empty / sum(slots_AM.size for slots_AM in slots)
    )
