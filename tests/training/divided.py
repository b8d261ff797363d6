"""A rank of a plain process group that steps with DeepSpeed: run by test_optimizers_zero.

`run_ranks` runs a part of what is there to be run and leaves its weights in FOLDER/PART.pt.
Gradients do not depend on weights and are exact in bf16, so every way to divide must end with the
same fp32 weights.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.training.papers import BETAS, DECAY, EPS
from tests.training.ranks import fork, join, redirect

STEPS, SAVED = 5, 3
# An odd number of tensors, and borders between two ranks in the middle of one, of both kinds.
SHAPES = {
    "words": (11, 3),
    "up": (7, 3),
    "up_bias": (7,),
    "middle": (5, 7),
    "middle_bias": (5,),
    "down": (3, 5),
    "down_bias": (3,),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    kind: str
    stage: int
    precision: str = "fp32"
    offload: bool = False

    def __str__(self) -> str:
        offload = "-offload" if self.offload else ""
        return f"{self.kind}-zero{self.stage}-{self.precision}{offload}"


SCALED = ("lamb", "stable_adamw")
CASES = [
    *(
        Case(kind=kind, stage=stage, precision=precision)
        for kind, precision, stage in product(SCALED, ("fp32", "bf16"), range(4))
    ),
    *(
        Case(kind=kind, stage=stage, precision="bf16", offload=True)
        for kind, stage in product(SCALED, (1, 2, 3))
    ),
    # The first is one for which DeepSpeed takes a step of its own.
    *(Case(kind="adamw", stage=stage, precision="bf16") for stage in (0, 2, 3)),
]
RESUMED = [case for case in CASES if case.precision == "bf16" and not case.offload]
# In every test run; all others are for long ones.
FEW = [
    Case(kind="adamw", stage=0, precision="bf16"),
    Case(kind="stable_adamw", stage=1, precision="bf16"),
    Case(kind="lamb", stage=2),
    Case(kind="lamb", stage=3),
]


class Net(nn.Module):
    """The gradient of its loss is what `gradient_of` says, whatever its weights are."""

    def __init__(self) -> None:
        super().__init__()
        for name, shape in SHAPES.items():
            self.register_parameter(name, nn.Parameter(first_weight(name, shape)))

    def forward(self, step: int, share: float) -> Tensor:
        terms = [
            (getattr(self, name).float() * gradient_of(name, step) * share).sum() for name in SHAPES
        ]
        return torch.stack(terms).sum()


def first_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(list(SHAPES).index(name))
    weight = torch.randn(shape, generator=generator) * (1 + list(SHAPES).index(name))
    return weight.bfloat16().float()


def gradient_of(name: str, step: int) -> Tensor:
    """Of another size in each parameter; a hundred times as large in step 4."""
    index = list(SHAPES).index(name)
    generator = torch.Generator().manual_seed(1000 * step + index)
    eighths = torch.randint(-8, 9, SHAPES[name], generator=generator).float() / 8
    return eighths * 2.0**-index * (128 if step == 4 else 1)


def rate_at(step: int) -> float:
    return 0.01 * step


class Trained:
    """An engine with an optimizer of ours, as training sets it up."""

    def __init__(self, case: Case, rank: int, world: int, *, universal: bool = False) -> None:
        import deepspeed

        from orchestrator.settings.optim import Optim, Optimizer
        from orchestrator.training.optimizers import attach_fragments, build_optimizer

        self._case = case
        self._share = (0.5 if rank % 2 else 1.5) if world > 1 else 1.0  # 1 on average
        net = Net()
        optim = Optim(kind=Optimizer(case.kind), betas=BETAS, eps=EPS, weight_decay=DECAY)
        optimizer = build_optimizer(net, optim, device=torch.device("cpu"))
        self.engine, *_ = deepspeed.initialize(
            model=net, optimizer=optimizer, config=_config(case, universal=universal)
        )
        self.attached = attach_fragments(optimizer, self.engine)

    def step(self, number: int) -> None:
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate_at(number)
        self.engine.backward(self.engine(number, self._share))
        self.engine.step()

    def weights(self) -> dict[str, Tensor]:
        """fp32, whole. A collective."""
        from deepspeed.utils import safe_get_full_fp32_param

        named = dict(self.engine.module.named_parameters())
        if self._case.stage:
            found = {name: safe_get_full_fp32_param(named[name]) for name in SHAPES}
        elif self._case.precision == "fp32":
            found = named
        else:
            wrapper = self.engine.optimizer
            halves = [each for group in wrapper.fp16_groups for each in group]
            copies = [each for group in wrapper.fp32_groups for each in group]
            by_half = {id(half): copy for half, copy in zip(halves, copies, strict=True)}
            found = {name: by_half[id(named[name])] for name in SHAPES}
        return {name: weight.detach().clone() for name, weight in found.items()}


def _config(case: Case, *, universal: bool) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": case.stage, "reduce_bucket_size": 50}
    if case.stage == 3:
        zero["stage3_param_persistence_threshold"] = 0
        zero["sub_group_size"] = 30  # several of them
    if case.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 0.0,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "data_types": {"grad_accum_dtype": "fp32" if case.stage else case.precision},
        "bf16": {"enabled": case.precision == "bf16"},
        "checkpoint": {"load_universal": universal},
        "steps_per_print": None,
    }


def run_straight(case: Case, rank: int, world: int) -> dict[str, Tensor]:
    trained = Trained(case, rank, world)
    for number in range(1, STEPS + 1):
        trained.step(number)
    return trained.weights()


def run_resumed(case: Case, rank: int, world: int, folder: Path) -> dict[str, Tensor]:
    first = Trained(case, rank, world)
    for number in range(1, SAVED + 1):
        first.step(number)
    first.engine.save_checkpoint(str(folder / str(case)), tag="tag", save_latest=False)
    torch.distributed.barrier()
    return run_rest(case, rank, world, folder / str(case), universal=False)


def run_rest(
    case: Case, rank: int, world: int, folder: Path, *, universal: bool
) -> dict[str, Tensor]:
    trained = Trained(case, rank, world, universal=universal)
    path, _ = trained.engine.load_checkpoint(str(folder), tag="tag")
    assert path is not None
    trained.attached.mend()
    for number in range(SAVED + 1, STEPS + 1):
        trained.step(number)
    return trained.weights()


def rank_main(folder: Path, rank: int, world: int, part: str) -> None:
    redirect(_output(folder, part, rank))
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ["DS_ACCELERATOR"] = "cpu"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / f'meeting-{part}'}", rank=rank, world_size=world
    )
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # its build takes a compiler
    deepspeed.init_distributed("gloo", verbose=False)
    if part in ("few", "all"):
        chosen = FEW if part == "few" else CASES
        found = {str(case): run_straight(case, rank, world) for case in chosen}
    elif part == "resumed":
        found = {str(case): run_resumed(case, rank, world, folder) for case in RESUMED}
    else:
        found = {
            str(case): run_rest(case, rank, world, folder / f"{case}-universal", universal=True)
            for case in RESUMED
            if case.stage
        }
    if rank == 0:
        torch.save(found, folder / f"{part}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def run_ranks(folder: Path, part: str, *, world: int = 2) -> dict[str, dict[str, Tensor]]:
    """Case → weights at the end of its steps."""
    processes = [fork(rank_main, folder, rank, world, part) for rank in range(world)]
    join(processes, [_output(folder, part, rank) for rank in range(world)])
    found: dict[str, dict[str, Tensor]] = torch.load(folder / f"{part}.pt")
    return found


def _output(folder: Path, part: str, rank: int) -> Path:
    return folder / f"output-{part}-{rank}"


def convert(folder: Path, case: Case) -> None:
    """A saved checkpoint into DeepSpeed's form for any world."""
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal"]
    command += ["--input_folder", str(folder / str(case) / "tag")]
    command += ["--output_folder", str(folder / f"{case}-universal" / "tag")]
    command += ["--inject_missing_state", "--num_extract_workers", "1", "--num_merge_workers", "1"]
    environment = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
