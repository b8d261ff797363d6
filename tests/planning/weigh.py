"""What DeepSpeed really holds, by the bytes of all live tensors: run by test_memory under torchrun.

On the CPU, where device and host are one. Writes weights.json into the folder that is given.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import weakref
from pathlib import Path
from typing import Any

import deepspeed
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # its build takes a compiler

BUCKET = 2_000_000
MICRO_BATCHES = 2
BOUNDED = ("stage3_prefetch_bucket_size", "stage3_max_live_parameters")


class Scale(TorchDispatchMode):
    """Counts storages from the operation that makes them to their end."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive or not size:
            return
        self._alive.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size


class Net(nn.Module):
    def __init__(self, words: int = 4000, hidden: int = 256, layers: int = 6) -> None:
        super().__init__()
        self.words = nn.Embedding(words, hidden)
        self.up = nn.ModuleList([nn.Linear(hidden, 4 * hidden) for _ in range(layers)])
        self.down = nn.ModuleList([nn.Linear(4 * hidden, hidden) for _ in range(layers)])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states = self.words(ids)
        for up, down in zip(self.up, self.down, strict=True):
            states = states + down(torch.relu(up(states)))
        return (states.float() ** 2).mean()


def weigh(stage: int, precision: str, sums: str, offload: bool, folder: Path) -> dict[str, Any]:
    scale = Scale()
    with scale:
        net = Net()
        count = sum(parameter.numel() for parameter in net.parameters())
        config: dict[str, Any] = {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": MICRO_BATCHES,
            "gradient_clipping": 1.0,
            "zero_force_ds_cpu_optimizer": False,
            "zero_optimization": {"stage": stage, "reduce_bucket_size": BUCKET},
            "data_types": {"grad_accum_dtype": sums},
            "bf16": {"enabled": precision == "bf16"},
        }
        if stage == 3:
            bounds = dict.fromkeys((*BOUNDED, "stage3_max_reuse_distance"), BUCKET)
            config["zero_optimization"].update(bounds)
        if offload:
            config["zero_optimization"]["offload_optimizer"] = {"device": "cpu"}
        groups = [
            {"params": [p for p in net.parameters() if p.ndim > 1]},
            {"params": [p for p in net.parameters() if p.ndim < 2]},
        ]
        optimizer = torch.optim.AdamW(groups, fused=True)
        engine, *_ = deepspeed.initialize(model=net, optimizer=optimizer, config=config)
        del groups, optimizer, net
        ids = torch.randint(0, 4000, (2, 16))
        for _ in range(2):
            scale.most = scale.now
            for _ in range(MICRO_BATCHES):
                engine.backward(engine(ids))
                engine.step()
            gc.collect()
    engine.save_checkpoint(str(folder), tag="tag")
    torch.distributed.barrier()
    files = (folder / "tag").glob("*")
    return {
        **{"stage": stage, "precision": precision, "sums": sums, "offload": offload},
        **{"count": count, "held": scale.now / count, "peak": scale.most / count},
        "checkpoint_bytes": sum(file.stat().st_size for file in files),
    }


def main(folder: Path) -> None:
    deepspeed.init_distributed("gloo", verbose=False)
    rows = []
    kinds = (("fp32", "fp32"), ("bf16", "bf16"), ("bf16", "fp32"))
    for number, (stage, (precision, sums), offload) in enumerate(
        itertools.product(range(4), kinds, (False, True))
    ):
        if stage > 0 or (precision == sums and not offload):
            rows.append(weigh(stage, precision, sums, offload, folder / str(number)))
            gc.collect()
    if torch.distributed.get_rank() == 0:
        (folder / "weights.json").write_text(json.dumps(rows))
    torch.distributed.barrier()
    sys.stdout.flush()
    os._exit(0)  # DeepSpeed's threads and hooks are of no more use


if __name__ == "__main__":
    main(Path(sys.argv[1]))
