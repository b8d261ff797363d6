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
    place = torch.device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(_seed_of(seed, step, pack_index))
        yield


def _seed_of(*parts: int) -> int:
    """PyTorch's CPU generator keeps 32 bits of its seed only: they must all be well mixed."""
    packed = struct.pack(f"<{len(parts)}q", *parts)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")
