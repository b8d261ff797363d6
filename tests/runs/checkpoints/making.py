"""Checkpoints of a few bytes, made the way that a group of ranks makes them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.storage import Storage

Noted = list[tuple[str, dict[str, Any]]]


def content(step: int, rank: int) -> bytes:
    return f"weights of step {step}, rank {rank}, ".encode() * 20


def file_of(rank: int) -> str:
    return f"shard-{rank}.pt"


def write_rank(run: Storage, step: int, rank: int, *, attempt: int = 1) -> None:
    pen = Checkpoints(run).open_rank(step, rank, attempt=attempt)
    with pen.open(file_of(rank)) as file:
        file.write(content(step, rank))
    pen.finish()


def make(
    run: Storage, step: int, *, world: int = 2, attempt: int = 1, told: bool = True, **facts: Any
) -> Commit:
    """`told`: the ledger says so too."""
    for rank in range(world):
        write_rank(run, step, rank, attempt=attempt)
    catalogue = Checkpoints(run)
    catalogue.wait_for_ranks(step, world, attempt=attempt, should_give_up=lambda: True)
    commit = catalogue.commit(step, world=world, attempt=attempt, facts=facts)
    if told:
        tell(run, "checkpoint_committed", attempt=attempt, step=step)
    return commit


def tell(run: Storage, kind: str, *, attempt: int, **fields: Any) -> None:
    with closing(Ledger(run, attempt=attempt, writer="rank-000")) as ledger:
        ledger.record(kind, **fields)


def restore(run: Storage, *, attempt: int = 2) -> tuple[Commit | None, Noted]:
    """As a new attempt does it, with what it noted in the ledger."""
    noted: Noted = []
    with closing(Ledger(run, attempt=attempt, writer="attempt")) as ledger:

        def note(kind: str, **fields: Any) -> None:
            ledger.record(kind, **fields)
            noted.append((kind, fields))

        return Checkpoints(run).restore_point(note), noted


def path(step: int, name: str = layout.COMMIT) -> str:
    return f"{layout.checkpoint(step)}/{name}"


def flip_a_byte(run: Storage, at: str) -> None:
    data = bytearray(run.read(at))
    data[len(data) // 2] ^= 1
    run.write(at, bytes(data))
