"""A checkpoint exists when all its ranks have finished in this attempt, and not before."""

from __future__ import annotations

import json
import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.checkpoints.commit import Torn
from orchestrator.runs.storage import LocalStorage, Storage
from tests.runs.checkpoints.making import make, path, write_rank


@settings(max_examples=5)
@given(st.permutations(range(4)), st.integers(0, 10**6))
def test_only_the_last_rank_makes_it_whole_whichever_that_is(
    local: LocalStorage, order: list[int], step: int
) -> None:
    local.remove(layout.CHECKPOINTS)
    catalogue = Checkpoints(local)
    for written, rank in enumerate(order):
        with pytest.raises(OrchestratorError, match="was given up: rank") as caught:
            catalogue.wait_for_ranks(step, 4, attempt=1, should_give_up=lambda: True)
        missing = sorted(order[written:])
        plural = "s" if len(missing) > 1 else ""
        assert f"rank{plural} {', '.join(map(str, missing))} of 4 had not" in caught.value.message
        with pytest.raises(OrchestratorError, match="cannot be committed"):
            catalogue.commit(step, world=4, attempt=1, facts={})
        assert catalogue.steps() == []
        write_rank(local, step, rank)
    catalogue.wait_for_ranks(step, 4, attempt=1, should_give_up=lambda: True)
    catalogue.commit(step, world=4, attempt=1, facts={})
    assert catalogue.steps() == [step]
    assert catalogue.verify(step) == []


def test_who_waits_goes_on_when_the_others_have_finished(storage: Storage) -> None:
    write_rank(storage, 400, 0)
    waiter = threading.Thread(
        target=Checkpoints(storage).wait_for_ranks,
        args=(400, 2),
        kwargs={"attempt": 1, "should_give_up": lambda: False},
    )
    waiter.start()
    write_rank(storage, 400, 1)
    waiter.join(timeout=60)
    assert not waiter.is_alive()


def test_a_manifest_of_an_earlier_attempt_never_counts(storage: Storage) -> None:
    catalogue = Checkpoints(storage)
    for rank in range(3):
        write_rank(storage, 400, rank, attempt=1)
    for rank in (0, 2):
        write_rank(storage, 400, rank, attempt=2)
    with pytest.raises(OrchestratorError, match="given up: rank 1 of 3 had not"):
        catalogue.wait_for_ranks(400, 3, attempt=2, should_give_up=lambda: True)
    with pytest.raises(OrchestratorError, match="rank 1 of 3 have not"):
        catalogue.commit(400, world=3, attempt=2, facts={})
    write_rank(storage, 400, 1, attempt=2)
    catalogue.wait_for_ranks(400, 3, attempt=2, should_give_up=lambda: True)


def test_a_manifest_that_is_half_there_does_not_count(local: LocalStorage) -> None:
    """A file system without hard links or atomic names may show one."""
    write_rank(local, 400, 0)
    for data in (b"", b"{", b"[1]", b'{"schema":"orchestrator.checkpoint-rank/1"}'):
        local.write(path(400, layout.rank_manifest(0)), data)
        with pytest.raises(OrchestratorError, match="given up: rank 0 of 1"):
            Checkpoints(local).wait_for_ranks(400, 1, attempt=1, should_give_up=lambda: True)


def test_two_ranks_that_write_the_same_file_are_refused(local: LocalStorage) -> None:
    for rank in range(2):
        pen = Checkpoints(local).open_rank(400, rank, attempt=1)
        with pen.open("model.pt") as file:
            file.write(b"x")
        pen.finish()
    with pytest.raises(OrchestratorError, match=r"several ranks wrote model\.pt"):
        Checkpoints(local).commit(400, world=2, attempt=1, facts={})
    assert Checkpoints(local).steps() == []


facts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), facts, max_size=4), st.integers(0, 10**12))
def test_a_commit_comes_back_as_it_was(facts: dict[str, object], step: int) -> None:
    commit = Commit(
        step=step, attempt=2, world=2, time=1.5, size_bytes=7, ranks=("a", "b"), facts=facts
    )
    assert Commit.parse(commit.to_json()) == commit


@settings(max_examples=60)
@given(st.data())
def test_no_byte_of_a_commit_can_change_unseen(data: st.DataObject) -> None:
    commit = Commit(
        step=4, attempt=2, world=1, time=1.5, size_bytes=7, ranks=("a",), facts={"x": 1}
    )
    whole = bytearray(commit.to_json())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        assert Commit.parse(bytes(whole)) == commit  # the blank at its end
    except OrchestratorError as err:
        assert isinstance(err, Torn) or b"checkpoint/" in whole[:40]


def test_what_is_no_number_for_a_browser_is_null_in_a_commit(local: LocalStorage) -> None:
    commit = make(local, 400, validation_loss=math.nan, more={"all": [math.inf, 1.5]})
    assert commit.facts == {"validation_loss": None, "more": {"all": [None, 1.5]}}
    assert commit.validation_loss is None
    json.loads(local.read(path(400)), parse_constant=pytest.fail)
