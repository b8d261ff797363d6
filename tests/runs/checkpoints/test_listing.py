"""Every checkpoint is shown as what it is: committed, whole, torn, half written, put aside."""

from __future__ import annotations

from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, State
from orchestrator.runs.storage import LocalStorage
from tests.runs.checkpoints.making import (
    content,
    file_of,
    flip_a_byte,
    make,
    path,
    restore,
    write_rank,
)


def test_each_is_shown_as_what_it_is(local: LocalStorage) -> None:
    catalogue = Checkpoints(local)
    assert catalogue.all() == []
    for step in (100, 200, 300):
        make(local, step, validation_loss=step / 100)
    flip_a_byte(local, path(300, file_of(0)))
    restore(local)
    make(local, 300, attempt=2)
    flip_a_byte(local, path(200, file_of(1)))
    write_rank(local, 400, 1)
    local.write(f"{layout.universal(100)}/x", b"derived")

    shown = catalogue.all()
    assert [(each.step, each.state) for each in shown] == [
        (100, State.COMMITTED),
        (200, State.COMMITTED),
        (300, State.COMMITTED),
        (400, State.UNCOMMITTED),
        (300, State.QUARANTINED),
    ]
    first = shown[0]
    assert first.commit is not None
    assert first.commit.validation_loss == 1.0
    assert first.size_bytes == sum(len(content(100, rank)) for rank in range(2))
    assert first.time == first.commit.time > 1.6e9
    assert shown[3].size_bytes >= len(content(400, 1))

    verified = catalogue.all(verify=True)
    assert [each.state for each in verified] == [
        *(State.WHOLE, State.TORN, State.WHOLE, State.UNCOMMITTED, State.QUARANTINED)
    ]
    assert "rank 1's shard-1.pt has checksum" in verified[1].problems[0]


def test_one_whose_commit_is_torn_is_torn_without_looking_further(local: LocalStorage) -> None:
    make(local, 100)
    local.write(path(100), b"[]")
    [shown] = Checkpoints(local).all()
    assert (shown.state, shown.commit) == (State.TORN, None)
    assert shown.problems == ("COMMIT has schema None, not orchestrator.checkpoint/1",)


def test_verifying_tells_how_far_it_is(local: LocalStorage) -> None:
    make(local, 100, world=5)
    told: list[tuple[int, int]] = []
    assert Checkpoints(local).verify(100, lambda done, total: told.append((done, total))) == []
    total = sum(len(content(100, rank)) for rank in range(5))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (total, total)
