"""The one global stream of packs, and which of them a rank takes.

A stream goes through the windows of an epoch, and through epochs without end. It keeps no state
that matters: each pack comes with the cursor from which the stream goes on. Nothing in it depends
on the world; a `Share` divides a step's packs among ranks and micro-batches by arithmetic alone.
The loader of `training` asks for steps; the audit and `corpus sample` ask for packs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.corpus.arrays import Int64s
from orchestrator.corpus.packs.window import (
    Corpus,
    Pack,
    Recipe,
    Window,
    empty_pack,
    num_windows,
    open_window,
)
from orchestrator.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The next pack: its place, and how many came before it in the run."""

    epoch: int = 0
    window: int = 0
    pack: int = 0  # in the window; may be one behind its last
    packs_total: int = 0

    def next_pack(self) -> Cursor:
        return replace(self, pack=self.pack + 1, packs_total=self.packs_total + 1)

    def next_window(self, num_windows: int) -> Cursor:
        """Of this epoch or the next. What is left of the window is passed over."""
        epochs, window = divmod(self.window + 1, num_windows)
        return replace(self, epoch=self.epoch + epochs, window=window, pack=0)


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one rank takes of a step's packs. All ranks together take each of them once."""

    packs_per_step: int
    micro_packs: int
    world: int
    rank: int

    @property
    def accumulation(self) -> int:
        """Micro-batches of every rank, those of weight zero included."""
        return -(-self.packs_per_step // (self.world * self.micro_packs))

    def slots(self) -> Int64s:
        """[accumulation, micro_packs]: numbers of packs in the step; -1 is a pack of weight zero.

        Micro-batches go round the ranks, so that those which run short do so only in the last.
        """
        first_A = (np.arange(self.accumulation) * self.world + self.rank) * self.micro_packs
        slots_AM = first_A[:, None] + np.arange(self.micro_packs)
        slots_AM[slots_AM >= self.packs_per_step] = -1
        return slots_AM


class Stream:
    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        if not corpus.num_documents:
            raise RequestError("The corpus has no document.")
        self.recipe = recipe
        self._corpus = corpus
        self._num_windows = num_windows(corpus.num_documents, recipe.window_documents)
        self._open: tuple[int, int, Window] | None = None  # the last, so that it is read once

    def packs(self, cursor: Cursor) -> Iterator[tuple[Pack, Cursor]]:
        """Each pack from the cursor on, with the cursor of the one after it."""
        while True:
            window, cursor = self._find(cursor)
            pack = window.pack(cursor.pack, index=cursor.packs_total)
            cursor = cursor.next_pack()
            yield pack, cursor

    def step(self, cursor: Cursor, share: Share) -> tuple[list[list[Pack]], Cursor]:
        """A rank's micro-batches of the step that begins at the cursor, and the next step's cursor.

        Every rank finds the same packs; only its own are laid out.
        """
        slots_AM = share.slots()
        own = set(slots_AM.ravel().tolist())
        packs = {-1: empty_pack(self.recipe.cutting.template, epoch=cursor.epoch)}
        for number in range(share.packs_per_step):
            window, cursor = self._find(cursor)
            if number in own:
                packs[number] = window.pack(cursor.pack, index=cursor.packs_total)
            cursor = cursor.next_pack()
        return [[packs[number] for number in row] for row in slots_AM.tolist()], cursor

    def _find(self, cursor: Cursor) -> tuple[Window, Cursor]:
        """The cursor moved to where there is a pack: windows may be at their end, or empty."""
        # The rest of this epoch and all of the next: that one has every document.
        for _ in range(2 * self._num_windows):
            window = self._window(cursor)
            if cursor.pack < len(window):
                return window, cursor
            cursor = cursor.next_window(self._num_windows)
        raise RequestError(
            f"None of the corpus's {self._corpus.num_documents} documents has any token."
        )

    def _window(self, cursor: Cursor) -> Window:
        if self._open is None or self._open[:2] != (cursor.epoch, cursor.window):
            self._open = None  # never two windows in memory
            window = open_window(self._corpus, self.recipe, cursor.epoch, cursor.window)
            self._open = (cursor.epoch, cursor.window, window)
        return self._open[2]
