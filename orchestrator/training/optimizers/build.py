"""Which parameters are decayed, and the optimizer that the settings name.

The learning rate is 0 until an engine sets it, which it does before each step: DeepSpeed may take
a step of its own while it is set up, and that one must not move a weight.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from orchestrator.settings.optim import Optim, Optimizer
from orchestrator.training.optimizers.lamb import Lamb
from orchestrator.training.optimizers.stable_adamw import StableAdamW

# Where torch's AdamW has one kernel for a whole step.
_FUSED = ("cpu", "cuda")


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters of one dimension are not decayed; frozen ones are left out, tied ones are one."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = (
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    )
    return [group for group in groups if group["params"]]


def build_optimizer(
    module: nn.Module, optim: Optim, *, device: torch.device
) -> torch.optim.Optimizer:
    """`device`: where it will step, which under offload is not where the module is."""
    groups = parameter_groups(module, optim.weight_decay)
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
