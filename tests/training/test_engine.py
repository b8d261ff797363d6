"""What the loop relies on in DeepSpeed: a gradient that is no number changes nothing."""

from __future__ import annotations

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.training.ranks import fork, join

pytestmark = pytest.mark.processes

CASES = [(stage, precision) for stage in range(4) for precision in ("fp32", "bf16")]


def trained(
    stage: int, precision: str, inputs: list[float]
) -> tuple[list[Any], list[float], list[float]]:
    """What each step said, the state after all of them, and the weights before the first."""
    import torch

    from orchestrator.settings.optim import Optim
    from orchestrator.settings.precision import Precision
    from orchestrator.settings.zero import Zero
    from orchestrator.training.zero import Division, ZeroEngine

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(4, 4)
            self.odd = torch.nn.Parameter(torch.randn(3))

        def forward(self, value: float) -> tuple[torch.Tensor, torch.Tensor]:
            weight = next(self.parameters())
            loss = self.line(torch.full((2, 4), value, dtype=weight.dtype)).float().square().sum()
            loss = loss + self.odd.float().square().sum()
            return loss, loss.detach()

    torch.manual_seed(0)
    net = Net()
    begun = [value for each in net.parameters() for value in each.flatten().tolist()]
    engine = ZeroEngine(
        net,
        Division(
            zero=Zero(stage=stage),
            precision=Precision(precision),
            optim=Optim(lr=0.1, clip_norm=1.0),
            world=1,
            device=torch.device("cpu"),
        ),
    )
    said = []
    for value in inputs:
        engine.accumulate(value, is_last=False)
        engine.accumulate(value, is_last=True)
        stepped = engine.step(0.1)
        said.append((stepped.grad_norm, stepped.is_applied))
    leaves = torch.utils._pytree.tree_leaves(engine.snapshot())
    tensors = [each for each in leaves if isinstance(each, torch.Tensor) and each.ndim]
    return said, [value for each in tensors for value in each.float().flatten().tolist()], begun


def train_all(folder: Path) -> None:
    warnings.simplefilter("ignore")
    from torch import distributed

    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    distributed.init_process_group("gloo", init_method=f"file://{folder}/m", rank=0, world_size=1)
    found = {}
    for stage, precision in CASES:
        clean = trained(stage, precision, [1.0, 2.0, 3.0])
        dirty = trained(stage, precision, [1.0, math.nan, 2.0, math.inf, 3.0])
        begun = trained(stage, precision, [])
        found[f"{stage}-{precision}"] = {"clean": clean, "dirty": dirty, "begun": begun}
    (folder / "found.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("engine")
    join([fork(train_all, folder)], [])
    answer: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return answer


@pytest.mark.parametrize(("stage", "precision"), CASES)
def test_a_step_without_a_finite_gradient_is_as_if_it_had_not_been(
    found: dict[str, Any], stage: int, precision: str
) -> None:
    case = found[f"{stage}-{precision}"]
    (clean, clean_weights, _), (dirty, dirty_weights, _) = case["clean"], case["dirty"]
    assert [applied for _, applied in clean] == [True] * 3
    assert [applied for _, applied in dirty] == [True, False, True, False, True]
    assert [said for said in dirty if said[1]] == clean
    assert not any(math.isfinite(norm) for norm, applied in dirty if not applied)
    assert dirty_weights == clean_weights != []


@pytest.mark.parametrize(("stage", "precision"), CASES)
def test_training_begins_with_the_weights_that_are_given_to_the_last_bit(
    found: dict[str, Any], stage: int, precision: str
) -> None:
    _, state, begun = found[f"{stage}-{precision}"]["begun"]
    assert set(begun) <= set(state)
