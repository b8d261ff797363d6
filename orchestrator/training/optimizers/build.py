"""Which parameters are decayed, and the optimizer that the settings name.

The learning rate is 0 until an engine sets it, which it does before each step: DeepSpeed may take
a step of its own while it is set up, and that one must not move a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from orchestrator.settings.optim import Optim, Optimizer
from orchestrator.training.optimizers.lamb import Lamb
from orchestrator.training.optimizers.stable_adamw import StableAdamW

# Where torch's AdamW has one kernel for a whole step.
_FUSED = ("cpu", "cuda")


Share = Callable[[str], float]  # a parameter's name → its learning rate, as a share of the run's


def parameter_groups(
    module: nn.Module, weight_decay: float, share: Share = lambda _: 1.0
) -> list[dict[str, Any]]:
    """Parameters of one dimension are not decayed; frozen ones are left out, tied ones are one.

    Engines multiply the rate that they set by a group's `share`.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((-share(name), parameter.ndim <= 1), []).append(parameter)
    return [
        {
            "params": groups[key],
            "weight_decay": 0.0 if key[1] else weight_decay,
            "share": -key[0],
        }
        for key in sorted(groups)
    ]


def build_optimizer(
    module: nn.Module, optim: Optim, *, device: torch.device, share: Share = lambda _: 1.0
) -> torch.optim.Optimizer:
    """`device`: where it will step, which under offload is not where the module is."""
    groups = parameter_groups(module, optim.weight_decay, share)
    first, second = optim.betas
    match optim.kind:
        case Optimizer.ADAMW:
            fused = device.type in _FUSED
            return torch.optim.AdamW(
                groups, lr=0.0, betas=(first, second), eps=optim.eps, fused=fused
            )
        case Optimizer.LAMB:
            return Lamb(groups, betas=(first, second), eps=optim.eps)
        case Optimizer.STABLE_ADAMW:
            return StableAdamW(groups, betas=(first, second), eps=optim.eps)
