"""The steps of a fine-tune: examples in a keyed order, and how a step is divided into packs.

All of it follows from settings and the examples' lengths. Workers share the packs of a step, so a
step is the same for any number of them. The cursor counts examples; an epoch's last step is what is
left of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from orchestrator.corpus.arrays import Int64s
from orchestrator.corpus.keys import Purpose, draw, key_of, sum_of
from orchestrator.corpus.packs.order import Order
from orchestrator.corpus.packs.stream import Cursor
from orchestrator.settings.finetune import ExampleBatch


@dataclass(frozen=True, kw_only=True)
class Batches:
    tokens_E: Int64s  # of each example
    batch: ExampleBatch
    seed: int

    @property
    def num_examples(self) -> int:
        return len(self.tokens_E)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_examples // self.batch.examples)

    def step(self, cursor: Cursor) -> tuple[list[Int64s], Cursor]:
        """The packs of the step that begins at the cursor, and the cursor after it."""
        end = min(cursor.pack + self.batch.examples, self.num_examples)
        order = Order(count=self.num_examples, seed=self.seed, epoch=cursor.epoch)
        chosen = order.between(cursor.pack, end)
        after = replace(cursor, pack=end, packs_total=cursor.packs_total + len(chosen))
        if end == self.num_examples:
            after = replace(after, epoch=cursor.epoch + 1, pack=0)
        return self._divided(chosen), after

    def fed_hash(self, epoch: int, chosen: Int64s) -> int:
        return sum_of(draw(key_of(self.seed, Purpose.FED, epoch), chosen))

    def _divided(self, chosen: Int64s) -> list[Int64s]:
        """Examples of about the same length go together."""
        ordered = chosen[np.argsort(-self.tokens_E[chosen], kind="stable")]
        packs: list[Int64s] = []
        begin = room = 0
        for place, size in enumerate(self.tokens_E[ordered].tolist()):
            is_full = place - begin == self.batch.pack_examples or size > room
            if place == 0 or is_full:
                if place:
                    packs.append(ordered[begin:place])
                begin, room = place, self.batch.pack_tokens
            room -= size
        packs.append(ordered[begin:])
        return packs


def share_of(packs: list[Int64s], *, world: int, rank: int) -> list[tuple[int, Int64s, bool]]:
    """A rank's packs with their numbers; it takes as many as the others, the last maybe in vain."""
    rounds = -(-len(packs) // world)
    numbers = [round_ * world + rank for round_ in range(rounds)]
    return [
        (number, packs[number], True) if number < len(packs) else (number, packs[-1][:1], False)
        for number in numbers
    ]
