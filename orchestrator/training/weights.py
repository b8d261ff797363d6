"""Whole weights in fp32 out of the files of a checkpoint, whatever ZeRO divided and whoever wrote.

Where training computes in bf16 or fp16 the weights themselves are in fp32 beside it, and it is
those that are taken. Called by `exporting.py`. Without DeepSpeed: nothing of a file is executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from orchestrator.errors import StorageError
from orchestrator.settings.precision import Precision

PREFIX = "encoder.model."  # of the encoder's own model in the module that was trained
_WHOLE = "mp_rank_00_model_states.pt"
_OF_FIRST = f"zero_pp_rank_0_{_WHOLE}"
_STATES = "_optim_states.pt"
_COMPUTED_IN = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}


class _Opaque:
    """In the place of DeepSpeed's own classes: what their values say, without what they do."""

    start: int
    numel: int

    def __init__(self, *_: Any) -> None: ...


_CLASSES = (
    "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.zero.config.ZeroStageEnum",
    "deepspeed.utils.tensor_fragment.fragment_address",
)


def is_wanted(name: str) -> bool:
    """Of the files of a checkpoint: what weights are read from."""
    return name in (_WHOLE, _OF_FIRST) or name.endswith(_STATES)


def weights_of(folder: Path, stage: int, precision: Precision) -> dict[str, Tensor]:
    """By their names in the encoder's model. Weights that are tied are there once."""
    if stage == 0:
        weights = _undivided(folder, precision)
    elif stage == 3:
        weights = _by_parameter(folder)
    else:
        weights = _by_group(folder)
    return {name.removeprefix(PREFIX): weight for name, weight in weights}


Named = Iterator[tuple[str, Tensor]]


def _undivided(folder: Path, precision: Precision) -> Named:
    """Those in fp32 have no names: they lie as the optimizer's groups do, in the module's order."""
    states = _load(folder / _WHOLE)
    module = _once(states["module"], states["buffer_names"] or ())
    if precision is Precision.FP32:
        yield from module.items()
        return
    groups = states["optimizer"]["fp32_groups"]
    masters = iter([master for group in groups for master in group])
    ordered = sorted(module.items(), key=lambda item: item[1].ndim <= 1)  # as decay divides them
    for name, weight in ordered:
        master = next(masters, None)
        if master is None or not _is_rounded(weight, master, precision):
            raise _unreadable(folder / _WHOLE, f"its fp32 weights are not those of {name}")
        yield name, master.detach()
    if next(masters, None) is not None:
        raise _unreadable(folder / _WHOLE, "it has more fp32 weights than its module")


def _is_rounded(weight: Tensor, master: Tensor, precision: Precision) -> bool:
    return torch.equal(master.to(_COMPUTED_IN[precision]), weight)


def _once(module: Mapping[str, Tensor], buffers: Sequence[str]) -> dict[str, Tensor]:
    """Tied weights came out of one place, and were written as one."""
    seen: set[int] = set()
    weights = {}
    for name, weight in module.items():
        if name not in buffers and weight.data_ptr() not in seen:
            seen.add(weight.data_ptr())
            weights[name] = weight
    return weights


def _by_group(folder: Path) -> Named:
    """ZeRO 1 and 2: each rank has a piece of each group, cut anywhere; who has what is written."""
    shapes = _shapes(_load(folder / _WHOLE))
    pieces: dict[str, list[Tensor]] = {name: [] for name in shapes}
    for state in _ranks(folder):
        flats = state["single_partition_of_fp32_groups"]
        for flat, places in zip(flats, state["param_slice_mappings"], strict=True):
            for name, place in places.items():
                pieces[name].append(flat[place.start : place.start + place.numel])
    for name, shape in shapes.items():
        yield name, _joined(folder, name, pieces[name], shape)


def _by_parameter(folder: Path) -> Named:
    """ZeRO 3: each rank has an equal piece of each parameter, the last ones padded."""
    shapes = _shapes(_load(folder / _OF_FIRST))
    flats = [torch.cat(state["fp32_flat_groups"]) for state in _ranks(folder)]
    begin = 0
    for name, shape in shapes.items():
        size = -(-shape.numel() // len(flats))
        pieces = [flat[begin : begin + size] for flat in flats]
        yield name, _joined(folder, name, [torch.cat(pieces)[: shape.numel()]], shape)
        begin += size
    if any(len(flat) != begin for flat in flats):
        raise _unreadable(folder, f"its ranks hold {len(flats[0]):,} weights each, not {begin:,}")


def _shapes(states: Mapping[str, Any]) -> dict[str, torch.Size]:
    groups = states["param_shapes"]
    return {name: torch.Size(shape) for group in groups for name, shape in group.items()}


def _ranks(folder: Path) -> Iterator[Mapping[str, Any]]:
    """In the order of ranks. Mapped, so that moments, which nobody asks for, are not read."""
    paths = {_rank_of(path): path for path in folder.glob(f"*{_STATES}")}
    if sorted(paths) != list(range(len(paths))) or not paths:
        raise _unreadable(folder, f"it has the states of ranks {sorted(paths)}")
    for rank in range(len(paths)):
        yield _load(paths[rank])["optimizer_state_dict"]


def _rank_of(path: Path) -> int:
    return int(path.name.partition("zero_pp_rank_")[2].partition("_")[0])


def _joined(folder: Path, name: str, pieces: list[Tensor], shape: torch.Size) -> Tensor:
    found = sum(piece.numel() for piece in pieces)
    if found != shape.numel():
        raise _unreadable(folder, f"{name} has {found:,} of {shape.numel():,} weights")
    return torch.cat(pieces).view(shape)


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise _unreadable(path.parent, f"it has no {path.name}")
    try:
        with safe_globals([(_Opaque, name) for name in _CLASSES]):
            states: Mapping[str, Any] = torch.load(path, map_location="cpu", mmap=True)
    except (RuntimeError, UnpicklingError, EOFError) as err:
        said = (str(err).splitlines() or ["nothing is in it"])[0]
        raise _unreadable(path, said) from err
    return states


def _unreadable(place: Path, found: str) -> StorageError:
    return StorageError(f"{place} is not a checkpoint as this version writes it: {found}.")
