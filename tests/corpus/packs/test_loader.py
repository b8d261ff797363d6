from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.arrays import Int64s
from orchestrator.corpus.packs.cut import Documents
from orchestrator.corpus.packs.loader import Loader
from orchestrator.corpus.packs.stream import Cursor, Share, Stream
from orchestrator.corpus.packs.window import Pack
from orchestrator.errors import RequestError, StorageError
from tests.corpus.packs.synthetic import ListCorpus, a_recipe, realistic, same

CORPUS, RECIPE = realistic(40), a_recipe(seq_len=24, pack_tokens=64)
SHARE = Share(packs_per_step=3, micro_packs=2, world=1, rank=0)


class BrokenCorpus:
    """So many windows can be read of it."""

    def __init__(self, corpus: ListCorpus, windows: int) -> None:
        self._corpus, self._left = corpus, windows
        self.num_documents = corpus.num_documents

    def read(self, indices_D: Int64s) -> Documents:
        if not self._left:
            raise StorageError("shard 7 is gone")
        self._left -= 1
        return self._corpus.read(indices_D)


def a_loader(
    *,
    stream: Stream | None = None,
    share: Share = SHARE,
    cursor: Cursor | None = None,
    transform: Callable[[list[Pack]], object] = lambda packs: packs,
    ahead: int = 2,
) -> Loader:
    stream = stream or Stream(CORPUS, RECIPE)
    return Loader(stream, lambda _: share, cursor or Cursor(), transform=transform, ahead=ahead)


def num_threads() -> int:
    return sum(thread.name == "loader" for thread in threading.enumerate())


def steps(share: Share, cursor: Cursor, count: int) -> list[tuple[list[list[Pack]], Cursor]]:
    stream, found = Stream(CORPUS, RECIPE), []
    for _ in range(count):
        packs, cursor = stream.step(cursor, share)
        found.append((packs, cursor))
    return found


@given(
    st.builds(
        Share,
        packs_per_step=st.integers(1, 5),
        micro_packs=st.integers(1, 3),
        world=st.integers(1, 3),
        rank=st.just(0),
    ),
    st.integers(0, 4),
    st.integers(1, 4),
)
def test_a_loader_gives_the_steps_of_the_stream(share: Share, skipped: int, ahead: int) -> None:
    for rank in range(share.world):
        share = replace(share, rank=rank)
        expected = steps(share, Cursor(), skipped + 5)
        start = expected[skipped - 1][1] if skipped else Cursor()
        with a_loader(share=share, cursor=start, ahead=ahead) as loader:
            for (packs, cursor), (found, found_cursor) in zip(
                expected[skipped:], islice(loader, 5), strict=True
            ):
                assert cursor == found_cursor
                for row, found_row in zip(packs, found, strict=True):
                    assert all(same(*pair) for pair in zip(row, found_row, strict=True))
    assert num_threads() == 0


def test_the_transform_runs_in_the_thread_once_for_each_micro_batch() -> None:
    seen: list[tuple[str, list[int]]] = []

    def hashes(packs: list[Pack]) -> list[int]:
        found = [pack.fed_hash() for pack in packs]
        seen.append((threading.current_thread().name, found))
        return found

    with a_loader(transform=hashes) as loader:
        loaded = [batches for batches, _ in islice(loader, 4)]
    expected = [
        [[pack.fed_hash() for pack in row] for row in packs]
        for packs, _ in steps(SHARE, Cursor(), 4)
    ]
    assert loaded == expected
    assert {name for name, _ in seen} == {"loader"}
    assert [found for _, found in seen[:8]] == [row for rows in expected for row in rows]


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_no_more_steps_are_made_than_there_is_room_for(ahead: int) -> None:
    """Whenever the thread makes a micro-batch, it is of a step within `ahead` of those taken."""
    taken, most = 0, 0
    made = 0
    is_full = threading.Event()

    def count(packs: list[Pack]) -> None:
        nonlocal made, most
        made += 1
        most = max(most, -(-made // SHARE.accumulation) - taken)
        if made == ahead * SHARE.accumulation:
            is_full.set()

    with a_loader(transform=count, ahead=ahead) as loader:
        assert is_full.wait(60)  # without anyone asking
        for _ in islice(loader, 10):
            # What was taken a moment ago made room before this line: so one more may be there.
            taken += 1
    assert ahead <= most <= ahead + 1


def test_an_error_meets_the_loop_at_its_own_step() -> None:
    """As many whole steps as a stream without a thread would have made, then the same error."""
    stream = Stream(BrokenCorpus(CORPUS, 2), RECIPE)
    expected, cursor = 0, Cursor()
    with pytest.raises(StorageError):
        while True:
            _, cursor = stream.step(cursor, SHARE)
            expected += 1
    assert expected > 0
    found = []
    stream = Stream(BrokenCorpus(CORPUS, 2), RECIPE)
    with a_loader(stream=stream, ahead=3) as loader:
        with pytest.raises(StorageError, match="shard 7 is gone"):
            for step in loader:
                found.append(step)
        with pytest.raises(StorageError, match="shard 7 is gone"):
            next(loader)  # and who asks again is not left waiting
    assert len(found) == expected and found[-1][1] == cursor
    assert num_threads() == 0


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_an_error_of_the_transform_meets_the_loop_too(error: type[BaseException]) -> None:
    cursors = [cursor for _, cursor in steps(SHARE, Cursor(), 2)]

    def fail_in_the_third(packs: list[Pack]) -> None:
        if packs[0].index >= cursors[1].packs_total:
            raise error("bad mask")

    found = []
    with a_loader(transform=fail_in_the_third) as loader, pytest.raises(error, match="bad mask"):
        for _, cursor in loader:
            found.append(cursor)
    assert found == cursors


def test_a_loop_that_stops_leaves_no_thread() -> None:
    with a_loader():
        pass
    with a_loader() as loader:
        next(loader)
    with pytest.raises(KeyError), a_loader() as loader:
        for _ in loader:
            raise KeyError
    broken = Stream(BrokenCorpus(CORPUS, 0), RECIPE)
    with a_loader(stream=broken):  # nobody ever asks
        pass
    assert num_threads() == 0


def test_closing_does_not_wait_for_the_rest_of_a_step() -> None:
    """Of a thousand micro-batches, five seconds of work, the one in work is finished."""
    made = 0
    is_begun = threading.Event()

    def work(packs: list[Pack]) -> None:
        nonlocal made
        made += 1
        is_begun.set()
        time.sleep(0.005)

    share = Share(packs_per_step=1000, micro_packs=1, world=1, rank=0)
    with a_loader(share=share, transform=work) as loader:
        assert is_begun.wait(60)
    assert made < 1000
    with pytest.raises(RuntimeError, match="inside its with statement"):
        next(loader)


def test_waiting_is_what_the_loop_spends_in_the_loader() -> None:
    """All of it, and nothing else."""
    waits = []
    outside = 0.0
    with a_loader(transform=lambda packs: time.sleep(0.002)) as loader:
        begin = time.perf_counter()
        for _ in islice(loader, 5):
            waits.append(loader.waited_s)
            slept = time.perf_counter()
            time.sleep(0.004)
            outside += time.perf_counter() - slept
        whole = time.perf_counter() - begin
    assert all(one <= other for one, other in pairwise(waits))
    assert 0 < loader.waited_s <= whole - outside


def test_a_loader_without_room_is_refused() -> None:
    with pytest.raises(RequestError, match="ahead=0"):
        a_loader(ahead=0)
    assert np.isclose(a_loader().waited_s, 0)
