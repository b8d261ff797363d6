"""The engine of one worker: torch alone, which is there at once. Nothing is divided."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.training.engine import Stepped
from orchestrator.training.optimizers import Share, build_optimizer

_FILE = "plain.pt"


class PlainEngine:
    """Weights are in fp32; in bf16 products are computed, as autocast chooses them."""

    def __init__(
        self,
        module: nn.Module,
        optim: Optim,
        *,
        precision: Precision,
        device: torch.device,
        share: Share = lambda _: 1.0,
    ) -> None:
        self.module = module.to(device)
        self._clip_norm = optim.clip_norm
        self._precision, self._device = precision, device
        self._optimizer = build_optimizer(self.module, optim, device=device, share=share)
        self._trained = [each for each in module.parameters() if each.requires_grad]
        self.module.train()

    def accumulate(self, *inputs: Any, is_last: bool) -> Tensor:
        with self._computing():
            loss, sums = self.module(*inputs)
        loss.backward()
        given: Tensor = sums
        return given

    def evaluate(self, *inputs: Any) -> Any:
        self.module.eval()
        try:
            with torch.inference_mode(), self._computing():
                return self.module(*inputs)
        finally:
            self.module.train()

    def step(self, rate: float) -> Stepped:
        gradients = [each.grad for each in self._trained if each.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        value = float(norm)
        is_finite = math.isfinite(value)
        if is_finite:
            if self._clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(self._trained, self._clip_norm, norm)
            for group in self._optimizer.param_groups:
                group["lr"] = rate * group["share"]
            self._optimizer.step()
        self._optimizer.zero_grad()
        return Stepped(grad_norm=value, is_applied=is_finite)

    def snapshot(self) -> dict[str, Any]:
        state = {
            "weights": {name: _copied(each) for name, each in self.module.state_dict().items()},
            "optimizer": {
                number: {name: _copied(value) for name, value in of_one.items()}
                for number, of_one in self._optimizer.state_dict()["state"].items()
            },
        }
        return {_FILE: state}

    def restore(self, folder: Path) -> None:
        state = torch.load(folder / _FILE, map_location=self._device)
        self.module.load_state_dict(state["weights"])
        own = self._optimizer.state_dict()  # its constants are the settings'
        self._optimizer.load_state_dict(own | {"state": state["optimizer"]})

    def weights(self) -> dict[str, Tensor]:
        return {name: _copied(each) for name, each in self.module.named_parameters()}

    def _computing(self) -> AbstractContextManager[object]:
        is_low = self._precision is Precision.BF16
        return torch.autocast(self._device.type, torch.bfloat16, enabled=is_low)


def _copied(value: Any) -> Any:
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value
