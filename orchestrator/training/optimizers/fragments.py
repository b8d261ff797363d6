"""Where DeepSpeed has put the parameters: read from its engine, once, after it is initialised.

Stages 1 and 2 lay a group's parameters end to end and give each rank an equal run of that; stage 3
gives each rank an equal run of each parameter. Either way a rank steps on flat tensors in fp32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from orchestrator.training.optimizers.pieces import Fragment, Fragments
from orchestrator.training.optimizers.scaled import Scaled


@dataclass(frozen=True, kw_only=True)
class Attached:
    """An optimizer within DeepSpeed's engine."""

    optimizer: torch.optim.Optimizer
    constants: tuple[Mapping[str, Any], ...]  # of its groups, as the settings say

    def mend(self) -> None:
        """Call it after each `load_checkpoint`.

        DeepSpeed puts a checkpoint's constants in the place of the settings', and from a universal
        one in stage 3 gives all groups those of the first, decay included, and to all tensors one
        and the same count of steps, which then grows by as many as there are tensors.
        """
        for group, constants in zip(self.optimizer.param_groups, self.constants, strict=True):
            group.update(constants)
        is_fused = self.optimizer.defaults.get("fused")
        for tensor, state in self.optimizer.state.items():
            if "step" in state:
                device = tensor.device if is_fused else torch.device("cpu")
                step = torch.as_tensor(state["step"], dtype=torch.float32)
                state["step"] = step.to(device, copy=True)


def attach_fragments(optimizer: torch.optim.Optimizer, engine: Any) -> Attached:
    """Call it between `deepspeed.initialize`, which was given the optimizer, and the first step."""
    stage = engine.zero_optimization_stage()
    if stage == 0:
        # Of the step that DeepSpeed takes by itself where it keeps fp32 copies: it would be counted
        # as a step of ours, and the moments' first corrections would be wrong.
        optimizer.state.clear()
    elif isinstance(optimizer, Scaled):
        flats = _stage_3(engine.optimizer) if stage == 3 else _stages_1_and_2(engine.optimizer)
        optimizer.attach(_numbered(flats, engine.device))
    return Attached(
        optimizer=optimizer,
        constants=tuple(
            {name: value for name, value in group.items() if name not in ("params", "lr")}
            for group in optimizer.param_groups
        ),
    )


Located = tuple[int, int, int]  # elements of a whole parameter, start and length of its run here
Flat = tuple[Tensor, list[Located]]  # with all its parameters, also where nothing of one is here


def _numbered(flats: Iterable[Flat], device: torch.device) -> Fragments:
    """Every rank goes through all parameters in the same order."""
    sizes: list[int] = []
    fragments: dict[Tensor, tuple[Fragment, ...]] = {}
    for flat, located in flats:
        fragments[flat] = tuple(
            Fragment(parameter=number, start=start, length=length)
            for number, (_, start, length) in enumerate(located, start=len(sizes))
            if length > 0
        )
        sizes += [size for size, _, _ in located]
    return Fragments(of=fragments, sizes=tuple(sizes), device=device)


def _stages_1_and_2(wrapper: Any) -> Iterator[Flat]:
    # In bf16, stage 1 has a wrapper of its own with another name for the same thing.
    groups = wrapper.bit16_groups if hasattr(wrapper, "bit16_groups") else wrapper.bf16_groups
    for group, parameters in zip(wrapper.optimizer.param_groups, groups, strict=True):
        (flat,) = group["params"]
        yield flat, [_within_partition(parameter) for parameter in parameters]


def _within_partition(parameter: Any) -> Located:
    if parameter._hp_mapping is None:  # another rank's
        return parameter.numel(), 0, 0
    address = parameter._hp_mapping.get_hp_fragment_address()
    return parameter.numel(), address.start, address.numel


def _stage_3(wrapper: Any) -> Iterator[Flat]:
    flats = wrapper.fp32_partitioned_groups_flat
    for flat, parameters in zip(flats, wrapper.fp16_groups, strict=True):
        located: list[Located] = []
        begin = 0
        for parameter in parameters:
            size, share = parameter.ds_numel, parameter.partition_numel()
            rank = distributed.get_rank(parameter.ds_process_group)
            # The last ranks' shares end in padding, or are nothing else.
            located.append((size, begin, min(share, size - rank * share)))
            begin += share
        yield flat, located
