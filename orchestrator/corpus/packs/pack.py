"""Samples → packs: which samples of a window share a row of at most `pack_tokens` tokens.

Best fit: each sample goes to the fullest pack that has room for it. Long ones come in keyed order,
so that a pack is a random mixture; the shortest, a twentieth of the tokens, come last, the longest
of them first, and fill the gaps that the long ones left. `window.py` calls this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.corpus.arrays import Int64s, Uint64s, offsets
from orchestrator.corpus.keys import Purpose, draw, key_of
from orchestrator.errors import RequestError

_FILLING_SHARE = 0.05  # of the tokens


@dataclass(frozen=True, kw_only=True)
class Packing:
    samples_S: Int64s  # those of the first pack, then those of the next
    offsets_P1: Int64s  # into samples

    def __len__(self) -> int:
        return len(self.offsets_P1) - 1

    def samples_of(self, pack: int) -> Int64s:
        return self.samples_S[self.offsets_P1[pack] : self.offsets_P1[pack + 1]]


def pack(sizes_S: Int64s, ids_S: Uint64s, *, pack_tokens: int, seed: int, epoch: int) -> Packing:
    """The same packs in the same order for the same set of samples, however these are ordered."""
    numbers_S = draw(key_of(seed, Purpose.SAMPLES, epoch), ids_S)
    if len(sizes_S) and sizes_S.max() > pack_tokens:
        raise RequestError(
            f"A sample has {sizes_S.max()} tokens and batch.pack_tokens={pack_tokens}.",
            hint="A pack must hold at least one sample of seq_len tokens.",
        )
    arrivals = _arrivals(sizes_S, numbers_S)
    packs_S = np.empty(len(sizes_S), np.int64)
    packs_S[arrivals] = best_fit(sizes_S[arrivals].tolist(), pack_tokens)
    num_packs = int(packs_S.max(initial=-1)) + 1
    # A pack's own samples know best what it is: its number must not depend on how it came about.
    least_P = np.full(num_packs, 2**64 - 1, np.uint64)
    np.minimum.at(least_P, packs_S, numbers_S)
    ranks_P = np.empty(num_packs, np.int64)
    order_P = np.argsort(draw(key_of(seed, Purpose.PACKS, epoch), least_P), kind="stable")
    ranks_P[order_P] = np.arange(num_packs)
    ranks_S = ranks_P[packs_S]
    return Packing(
        samples_S=np.lexsort((numbers_S, ranks_S)),
        offsets_P1=offsets(np.bincount(ranks_S, minlength=num_packs)),
    )


def best_fit(sizes: list[int], capacity: int) -> list[int]:
    """The pack of each, in the order given. Of packs with equal room, the one filled last.

    A pack is opened when none has room, so only the newest can have room for the largest sample.
    The rooms of all others are bits of one integer: the least that is large enough is its lowest
    bit from `size` on.
    """
    largest = max(sizes, default=0)
    packs_with_room: list[list[int]] = [[] for _ in range(largest)]
    rooms = 0
    newest, newest_room = -1, 0  # no pack is newest once its room is a bit
    num_packs = 0
    chosen = []
    for size in sizes:
        fitting = rooms >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            packs = packs_with_room[room]
            number = packs.pop()
            if not packs:
                rooms ^= 1 << room
        elif newest_room:
            room, number, newest_room = newest_room, newest, 0
        else:
            room, number = capacity, num_packs
            num_packs += 1
        room -= size
        if room >= largest:
            newest, newest_room = number, room
        elif room:
            packs_with_room[room].append(number)
            rooms |= 1 << room
        chosen.append(number)
    return chosen


def _arrivals(sizes_S: Int64s, numbers_S: Uint64s) -> Int64s:
    by_size = np.lexsort((numbers_S, sizes_S))
    tokens_S = np.cumsum(sizes_S[by_size])
    num_filling = int(np.searchsorted(tokens_S, _FILLING_SHARE * sizes_S.sum()))
    filling, long = by_size[:num_filling], by_size[num_filling:]
    return np.concatenate([long[np.argsort(numbers_S[long], kind="stable")], filling[::-1]])
