"""The one global stream of packs, and which of them a rank takes.

A stream goes through the windows of an epoch, and through epochs without end. It keeps no state
that matters: each pack comes with the cursor from which the stream goes on. Nothing in it depends
on the world; a `Share` divides a step's packs among ranks and micro-batches by arithmetic alone.
The loader of `training` asks for steps; the audit and `corpus sample` ask for packs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """The next pack: its place, and how many came before it in the run."""

    epoch: int = 0
    window: int = 0
    pack: int = 0  # in the window; may be one behind its last
    packs_total: int = 0

    def __post_init__(self) -> None:
        if min(self.epoch, self.window, self.pack) < 0 or self.pack > self.packs_total:
            raise RequestError(f"No run has a cursor at {self}.")

    @classmethod
    def from_plain(cls, plain: object) -> Cursor:
        """Whole or not at all: what lost a number must not become the beginning of a run."""
        names = {field.name for field in fields(cls)}
        values = dict(plain) if isinstance(plain, Mapping) else {}
        if set(values) != names or not all(type(value) is int for value in values.values()):
            rule = f"it has whole numbers for {', '.join(sorted(names))}, and nothing else."
            raise RequestError(f"{plain!r} is no cursor: {rule}")
        return cls(**values)

    def to_plain(self) -> dict[str, int]:
        return asdict(self)

    def __str__(self) -> str:
        place = f"epoch {self.epoch}, window {self.window}, pack {self.pack}"
        return f"{place} (pack {self.packs_total} of the run)"

    @property
    def opening(self) -> Cursor:
        """The first place of its window."""
        return replace(self, pack=0, packs_total=self.packs_total - self.pack)

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
        self._mixture = recipe.mixture_of(corpus)
        self._num_windows = num_windows(self._mixture.num_reads, recipe.window_documents)
        self._open: tuple[Cursor, Window] | None = None  # the last, so that it is read once

    def packs(self, cursor: Cursor) -> Iterator[tuple[Pack, Cursor]]:
        """Each pack from the cursor on, with the cursor of the one after it."""
        for window, place in self.places(cursor):
            yield window.pack(place.pack, index=place.packs_total), place.next_pack()

    def step(self, cursor: Cursor, share: Share) -> tuple[list[list[Pack]], Cursor]:
        """A rank's micro-batches of the step that begins at the cursor, and the next step's cursor.

        Every rank finds the same packs; only its own are laid out.
        """
        slots_AM = share.slots()
        own = set(slots_AM.ravel().tolist())
        packs = {-1: empty_pack(self.recipe.cutting.template, epoch=cursor.epoch)}
        places = islice(self.places(cursor), share.packs_per_step)
        for number, (window, place) in enumerate(places):
            if number in own:
                packs[number] = window.pack(place.pack, index=place.packs_total)
            cursor = place.next_pack()
        return [[packs[number] for number in row] for row in slots_AM.tolist()], cursor

    def places(self, cursor: Cursor) -> Iterator[tuple[Window, Cursor]]:
        """The window and the place of each pack from the cursor on. Nothing is laid out."""
        while True:
            window, place = self._find(cursor)
            yield window, place
            cursor = place.next_pack()

    def _find(self, cursor: Cursor) -> tuple[Window, Cursor]:
        """The cursor moved to where there is a pack: windows may be at their end, or empty."""
        # The rest of this epoch, and then as many as read every document.
        for _ in range((1 + self._mixture.num_epochs) * self._num_windows):
            window = self._window(cursor)
            if cursor.pack < len(window):
                return window, cursor
            cursor = cursor.next_window(self._num_windows)
        raise RequestError(
            f"None of the corpus's {self._corpus.num_documents} documents has any token."
        )

    def _window(self, cursor: Cursor) -> Window:
        opening = cursor.opening
        if self._open is None or self._open[0] != opening:
            if cursor.window >= self._num_windows:
                raise _foreign(cursor, f"an epoch has {self._num_windows} windows")
            self._open = None  # never two windows in memory
            window = open_window(
                self._corpus,
                self.recipe,
                epoch=opening.epoch,
                window=opening.window,
                packs_before=opening.packs_total,
            )
            self._open = (opening, window)
        window = self._open[1]
        if cursor.pack > len(window):
            raise _foreign(cursor, f"that window has {len(window)} packs")
        return window


def _foreign(cursor: Cursor, found: str) -> RequestError:
    return RequestError(
        f"The cursor at {cursor} is not of this stream: {found}.",
        hint="A run goes on with the corpus, the mixture and the batch that it began with.",
    )
