"""DeepSpeed as an engine: ZeRO 0 to 3, on CPUs and GPUs. Nobody else imports it.

DeepSpeed averages gradients over workers and would divide by its own count of micro-batches; the
loss comes weighted already, so it is given one micro-batch a step, told which one is the last, and
its average is multiplied away.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from orchestrator.errors import StorageError
from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.settings.zero import BUCKET_ELEMENTS, Zero
from orchestrator.training.engine import Stepped
from orchestrator.training.optimizers import Share, attach_fragments, build_optimizer

_TAG = "state"


@dataclass(frozen=True, kw_only=True)
class Division:
    """What the engine is made with, beside the model."""

    zero: Zero
    precision: Precision
    optim: Optim
    world: int
    device: torch.device
    from_universal: bool = False  # the state that will be restored has another world's form
    share: Share = lambda _: 1.0  # of the learning rate, by a parameter's name


class ZeroEngine:
    def __init__(self, module: nn.Module, division: Division) -> None:
        self._division = division
        deepspeed = _deepspeed(division.device)
        is_offloaded = division.zero.offload_optimizer
        device = torch.device("cpu") if is_offloaded else division.device
        optimizer = build_optimizer(module, division.optim, device=device, share=division.share)
        count = sum(parameter.numel() for parameter in module.parameters())
        is_low = division.precision is not Precision.FP32
        exact = {name: each.detach().clone() for name, each in module.named_parameters() if is_low}
        self._engine, *_ = deepspeed.initialize(
            model=module, optimizer=optimizer, config=config_of(division, count)
        )
        self._engine.train()  # a model that was read from a directory comes without dropout
        self._attached = attach_fragments(optimizer, self._engine)
        self._set_masters(exact)
        self._engine.checkpoint_engine = self._files = _Files()
        self._engine._copy_recovery_script = lambda _: None  # files that no run of ours needs

    def _set_masters(self, exact: dict[str, Tensor]) -> None:
        """DeepSpeed makes the fp32 copies that are stepped from weights that it has rounded."""
        if not exact:
            return
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

        named = self.module.named_parameters()
        trained = {name: each for name, each in named if each.requires_grad}
        stage = self._division.zero.stage
        if stage == 0:
            for name, master in self._masters_of_whole().items():
                master.data.copy_(exact[name])
            return
        for name, parameter in trained.items():
            value = exact[name].to(self._division.device)
            if stage == 3:
                safe_set_local_fp32_param(parameter, _part_of(value, parameter))
            else:
                safe_set_full_fp32_param(parameter, value)

    def _masters_of_whole(self) -> dict[str, Tensor]:
        """Without ZeRO: the fp32 copies of what is trained; none where it computes in fp32."""
        if self._division.precision is Precision.FP32:
            return {}
        names = {id(each): name for name, each in self.module.named_parameters()}
        groups = (self._engine.optimizer.fp16_groups, self._engine.optimizer.fp32_groups)
        return {
            names[id(low)]: master
            for lows, masters in zip(*groups, strict=True)
            for low, master in zip(lows, masters, strict=True)
        }

    @property
    def module(self) -> nn.Module:
        module: nn.Module = self._engine.module
        return module

    def accumulate(self, *inputs: Any, is_last: bool) -> Tensor:
        self._engine.set_gradient_accumulation_boundary(is_last)
        loss, sums = self._engine(*inputs)
        self._engine.backward(loss * self._division.world, scale_wrt_gas=False)
        given: Tensor = sums
        return given

    def evaluate(self, *inputs: Any) -> Any:
        self._engine.eval()
        try:
            with torch.no_grad():
                return self._engine(*inputs)
        finally:
            self._engine.train()

    def step(self, rate: float) -> Stepped:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        if self._division.zero.stage == 0:
            return self._step_whole()
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        norm = math.nan if norm is None else float(norm)
        return Stepped(grad_norm=norm, is_applied=self._engine.was_step_applied())

    def _step_whole(self) -> Stepped:
        """Without ZeRO DeepSpeed looks neither at the norm nor whether it is finite."""
        parameters = [each for each in self.module.parameters() if each.grad is not None]
        norm = torch.nn.utils.get_total_norm(
            [each.grad for each in parameters if each.grad is not None]
        )
        scale = self._loss_scale()
        value = float(norm) / scale
        if not math.isfinite(value) and scale == 1:
            self._engine.zero_grad()
            return Stepped(grad_norm=value, is_applied=False)
        limit = self._division.optim.clip_norm
        if limit is not None and math.isfinite(value):
            torch.nn.utils.clip_grads_with_norm_(parameters, limit * scale, norm)
        self._engine.step()
        return Stepped(grad_norm=value, is_applied=self._engine.was_step_applied())

    def _loss_scale(self) -> float:
        if self._division.precision is not Precision.FP16:
            return 1.0
        return float(self._engine.optimizer.loss_scale)

    def snapshot(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:  # DeepSpeed makes folders; files come to us
            self._engine.save_checkpoint(folder, tag=_TAG, save_latest=False)
        return self._files.take()

    def weights(self) -> dict[str, Tensor]:
        masters = self._masters_of_whole() if self._division.zero.stage == 0 else None
        weights = {}
        for name, parameter in self.module.named_parameters():
            weight = _gathered(parameter) if masters is None else masters.get(name, parameter)
            weights[name] = weight.detach().to("cpu", torch.float32, copy=True)
        return weights

    def restore(self, folder: Path) -> None:
        found, _ = self._engine.load_checkpoint(str(folder.parent), tag=folder.name)
        if found is None:
            raise StorageError(f"DeepSpeed finds no checkpoint in {folder}.")
        self._attached.mend()


def _part_of(value: Tensor, parameter: Any) -> Tensor:
    """What ZeRO 3 gives this rank of a tensor; the last rank's part is filled up with zeros."""
    size = parameter.ds_tensor.numel()
    begin = size * torch.distributed.get_rank()
    part = value.flatten()[begin : begin + size]
    return torch.nn.functional.pad(part, (0, size - len(part)))


def _gathered(parameter: Any) -> Tensor:
    """The whole of what ZeRO divided; what is not trained has no fp32 copy."""
    from deepspeed import zero
    from deepspeed.utils import safe_get_full_fp32_param

    if parameter.requires_grad:
        whole: Tensor = safe_get_full_fp32_param(parameter)
        return whole
    if not hasattr(parameter, "ds_id"):
        return parameter.detach()  # type: ignore[no-any-return]
    with zero.GatheredParameters([parameter]):
        return parameter.detach().clone()  # type: ignore[no-any-return]


def config_of(division: Division, num_parameters: int) -> dict[str, Any]:
    """DeepSpeed's own words. Buckets are bounded as the memory estimates say."""
    zero, precision = division.zero, division.precision
    bucket = min(BUCKET_ELEMENTS, num_parameters + num_parameters % 2)  # odd ones are refused
    optimization: dict[str, Any] = {
        "stage": zero.stage,
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
        "overlap_comm": division.device.type == "cuda",
    }
    if zero.stage == 3:
        names = ("prefetch_bucket_size", "max_live_parameters", "max_reuse_distance")
        optimization |= {f"stage3_{name}": bucket for name in names}
        optimization["stage3_param_persistence_threshold"] = 0  # whole ones would not be counted
    if zero.offload_optimizer:
        optimization["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if zero.offload_parameters:
        optimization["offload_param"] = {"device": "cpu", "pin_memory": True}
    # Without ZeRO there are no sums in fp32 beside parameters in bf16.
    sums = precision if zero.stage == 0 else Precision.FP32
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": (division.optim.clip_norm or 0.0) if zero.stage else 0.0,
        "zero_optimization": optimization,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "data_types": {"grad_accum_dtype": sums.value},
        "bf16": {"enabled": precision is Precision.BF16},
        "fp16": {"enabled": precision is Precision.FP16},
        "checkpoint": {"load_universal": division.from_universal},
        "steps_per_print": None,
    }


class _Files:
    """In the place of DeepSpeed's writer: keeps copies, so that training goes on at once."""

    def __init__(self) -> None:
        self._taken: dict[str, Any] = {}

    def take(self) -> dict[str, Any]:
        taken, self._taken = self._taken, {}
        return taken

    def save(self, state_dict: Any, path: str) -> None:
        copies: dict[tuple[Any, ...], Tensor] = {}  # tied weights stay one

        def copy(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            key = (value.data_ptr(), value.dtype, value.shape, value.stride())
            if key not in copies:
                copies[key] = value.detach().to("cpu", copy=True)
            return copies[key]

        self._taken[Path(path).name] = tree_map(copy, state_dict)

    def load(self, path: str, map_location: Any = None) -> Any:
        return torch.load(path, map_location=map_location, weights_only=False)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        os.makedirs(path, exist_ok=exist_ok)

    def create(self, info: Any) -> None: ...

    def commit(self, info: Any) -> bool:
        return True

    def is_data_parallel_writer(self, rank: int) -> bool:
        return rank == 0

    def is_decoupled(self) -> bool:
        return False

    def set_commit_info(self, info: Any) -> None: ...

    def get_commit_info(self) -> None:
        return None

    def preserves_storage_sharing(self) -> bool:
        return False

    def cleanup(self) -> None: ...


def _deepspeed(device: torch.device) -> Any:
    """Imported once the device is known: DeepSpeed chooses its own as it is imported."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu" if device.type == "cpu" else "cuda")
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
    import deepspeed
    from deepspeed.utils import logger

    logger.setLevel(logging.WARNING)
    # Would be compiled at its first use, for which a compiler is needed: gloo does it as well.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if not deepspeed.comm.is_initialized():
        deepspeed.init_distributed("gloo" if device.type == "cpu" else "nccl", verbose=False)
    return deepspeed
