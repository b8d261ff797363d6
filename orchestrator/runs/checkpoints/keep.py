"""Which checkpoints stay and why: a pure function of their steps and validation losses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.settings.checkpoint import Checkpoint

Losses = Mapping[int, float | None]  # step → validation loss, where it was taken


@dataclass(frozen=True, kw_only=True)
class Keep:
    last: int
    best: int = 0
    every: int | None = None

    @classmethod
    def of(cls, settings: Checkpoint) -> Keep:
        return cls(last=settings.keep_last, best=settings.keep_best, every=settings.keep_every)


def kept_because(losses: Losses, keep: Keep) -> dict[int, list[str]]:
    """Step → reasons, for the steps that stay. The newest always does."""
    reasons: dict[int, list[str]] = defaultdict(list)
    for step in sorted(losses)[-max(keep.last, 1) :]:
        reasons[step].append("last")
    # Of equal losses the first: the later ones may only repeat it, until the next evaluation.
    taken = sorted((loss, step) for step, loss in losses.items() if loss is not None)
    for _, step in taken[: keep.best]:
        reasons[step].append("best")
    for step in losses:
        if keep.every is not None and step % keep.every == 0:
            reasons[step].append("every")
    return dict(reasons)


def retired(losses: Losses, keep: Keep) -> list[int]:
    """Steps that go, oldest first."""
    return sorted(set(losses) - set(kept_because(losses, keep)))
