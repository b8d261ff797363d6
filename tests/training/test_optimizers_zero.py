from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.divided import (
    CASES,
    FEW,
    RESUMED,
    SHAPES,
    STEPS,
    Case,
    convert,
    first_weight,
    gradient_of,
    rate_at,
    run_ranks,
)
from tests.training.papers import Reference

pytestmark = pytest.mark.processes

Found = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run_ranks(tmp_path_factory.mktemp("few"), "few")


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run_ranks(tmp_path_factory.mktemp("all"), "all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With checkpoints of two workers, as files of theirs and in the universal form."""
    return tmp_path_factory.mktemp("resumed")


@pytest.fixture(scope="module")
def resumed(folder: Path) -> Found:
    return run_ranks(folder, "resumed")


@pytest.fixture(scope="module")
def alone(folder: Path, resumed: Found) -> Found:
    for case in RESUMED:
        if case.stage:
            convert(folder, case)
    return run_ranks(folder, "alone", world=1)


@pytest.mark.parametrize("case", FEW, ids=str)
def test_steps_are_those_of_the_paper_however_parameters_are_divided(
    case: Case, few: Found
) -> None:
    check_against_paper(case, few[str(case)])


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_are_those_of_the_paper_in_every_stage_and_precision(
    case: Case, every: Found
) -> None:
    check_against_paper(case, every[str(case)])


@pytest.mark.long
@pytest.mark.parametrize("case", RESUMED, ids=str)
def test_resumed_on_as_many_workers_is_the_same_bit_for_bit(
    case: Case, every: Found, resumed: Found
) -> None:
    straight = every[str(case)]
    assert all(torch.equal(resumed[str(case)][name], straight[name]) for name in SHAPES)


@pytest.mark.long
@pytest.mark.parametrize("case", [case for case in RESUMED if case.stage], ids=str)
def test_resumed_on_fewer_workers_takes_the_same_steps(case: Case, alone: Found) -> None:
    check_against_paper(case, alone[str(case)])


def check_against_paper(case: Case, weights: dict[str, Tensor]) -> None:
    for name, shape in SHAPES.items():
        parameter = Reference(first_weight(name, shape))
        for number in range(1, STEPS + 1):
            parameter.step(case.kind, gradient_of(name, number), rate_at(number))
        found = weights[name].double()
        torch.testing.assert_close(found, parameter.weight, rtol=1e-6, atol=1e-7)
