"""Dropout that depends on the pack, not on who runs it or on what ran before (law 3).

Training runs the forward pass of each pack within `keyed_dropout`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def keyed_dropout(
    seed: int, step: int, pack_index: int, device: torch.device | str = "cpu"
) -> Iterator[None]:
    """The generators that dropout draws from, CPU's and the device's, are seeded; then put back.

    Activation checkpointing keeps the state in which each layer began, so that what it computes
    again in the backward pass, outside of this context, has the same dropout.
    """
    generators = _generators(torch.device(device))
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(_key_of(seed, step, pack_index))
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _generators(device: torch.device) -> list[torch.Generator]:
    if device.type != "cuda":
        return [torch.default_generator]
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]


def _key_of(*parts: int) -> int:
    """PyTorch's CPU generator keeps 32 bits of its seed only, so all of them must be mixed well."""
    packed = struct.pack(f"<{len(parts)}q", *parts)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")
