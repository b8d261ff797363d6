"""Law 9: whatever a dead attempt leaves, the newest whole checkpoint is found, and it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RequestError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, Keep, State
from orchestrator.runs.ids import new_id
from orchestrator.runs.ledger import read_events
from orchestrator.runs.segments import StreamWriter
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from tests.runs.checkpoints.making import (
    content,
    file_of,
    flip_a_byte,
    make,
    path,
    restore,
    write_rank,
)
from tests.s3 import S3Server


def test_the_newest_whole_one_is_taken_as_it_was_committed(storage: Storage) -> None:
    for step in (50, 1_000_000, 300):
        commit = make(storage, step, cursor={"pack": step})
    assert commit.step == 300
    found, noted = restore(storage)
    assert found is not None
    assert (found.step, found.facts, found.world) == (1_000_000, {"cursor": {"pack": 1_000_000}}, 2)
    assert noted == []
    assert Checkpoints(storage).steps() == [50, 300, 1_000_000]


# ----- torn ones

Damage = Callable[[Storage], None]


def edit(at: str, old: bytes, new: bytes) -> Damage:
    def act(run: Storage) -> None:
        data = run.read(at)
        assert old in data
        run.write(at, data.replace(old, new))

    return act


SHARD, RANK = path(400, file_of(1)), path(400, layout.rank_manifest(1))
SIZE = len(content(400, 1))
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a flipped byte": (lambda run: flip_a_byte(run, SHARD), "rank 1's shard-1.pt has checksum "),
    "a file cut short": (
        lambda run: run.write(SHARD, run.read(SHARD)[:312]),
        f"rank 1's shard-1.pt has 312 of {SIZE:,} bytes",
    ),
    "a missing file": (lambda run: run.remove(SHARD), "rank 1's shard-1.pt is missing"),
    "a folder in a file's place": (
        lambda run: (run.remove(SHARD), run.write(f"{SHARD}/x", b"x"))[0],
        "rank 1's shard-1.pt is a folder",
    ),
    "an edited manifest": (
        edit(RANK, b'"attempt": 1', b'"attempt": 7'),
        "rank-001.json has checksum ",
    ),
    "a missing manifest": (lambda run: run.remove(RANK), "rank-001.json is missing"),
    "COMMIT cut short": (
        lambda run: run.write(path(400), run.read(path(400))[:-20]),
        "COMMIT is not JSON",
    ),
    "an empty COMMIT": (lambda run: run.write(path(400), b""), "COMMIT is not JSON"),
    "no text in COMMIT": (lambda run: run.write(path(400), b"\x80\xff" * 9), "COMMIT is not JSON"),
    "an edited COMMIT": (
        edit(path(400), b'"world":2', b'"world":1'),
        "COMMIT has the checksum of other content",
    ),
    "another file as COMMIT": (
        lambda run: run.write(path(400), b'{"step":400}'),
        "COMMIT has schema None, not orchestrator.checkpoint/1",
    ),
    "COMMIT of another step": (
        lambda run: run.write(path(400), run.read(path(300))),
        "COMMIT is that of step 300",
    ),
    "COMMIT lost": (lambda run: run.remove(path(400)), "COMMIT is missing"),
}


ON_BOTH = ("a flipped byte", "a missing file", "COMMIT lost")


@pytest.mark.parametrize(
    ("place", "name"), [*(("local", name) for name in DAMAGES), *(("s3", name) for name in ON_BOTH)]
)
def test_a_torn_one_is_passed_over_in_words_and_put_aside(
    request: pytest.FixtureRequest, place: str, name: str
) -> None:
    if place == "local":
        storage: Storage = request.getfixturevalue("local")
    else:
        storage = open_storage(request.getfixturevalue("s3_uri"))
    damage, said = DAMAGES[name]
    make(storage, 300)
    make(storage, 400)
    damage(storage)
    found, [(kind, fields)] = restore(storage)
    assert found is not None
    assert found.step == 300
    assert kind == "checkpoint_quarantined"
    assert fields["problems"][0].startswith(said)
    assert (fields["step"], fields["goes_on_from"], fields["steps_repeated"]) == (400, 300, 100)
    assert fields["message"].startswith(f"checkpoints/step-000400 is torn ({said}")
    assert fields["message"].endswith("Resuming from step 300 instead; 100 steps will be repeated.")
    left = {entry.name for entry in storage.list(fields["went_to"])}
    assert file_of(0) in left, "what is torn stays to be looked at"
    assert storage.list(layout.checkpoint(400)) == [], "and is in nobody's way"
    assert restore(storage, attempt=3)[1] == [], "it is said once"


def test_all_that_is_wrong_is_told_and_the_message_stays_short(local: LocalStorage) -> None:
    make(local, 100)
    make(local, 200, world=6)
    for rank in range(5):
        local.remove(path(200, file_of(rank)))
    _, [(_, fields)] = restore(local)
    assert fields["problems"] == [f"rank {rank}'s shard-{rank}.pt is missing" for rank in range(5)]
    assert "shard-2.pt is missing; and 2 more)" in fields["message"]


def test_several_torn_ones_are_each_told(local: LocalStorage) -> None:
    for step in (100, 200, 300):
        make(local, step)
    for step in (200, 300):
        flip_a_byte(local, path(step, file_of(0)))
    found, noted = restore(local)
    assert found is not None
    assert found.step == 100
    assert [(fields["step"], fields["steps_repeated"]) for _, fields in noted] == [
        (300, 200),
        (200, 100),
    ]


def test_a_lost_folder_is_told_from_the_ledger(local: LocalStorage) -> None:
    make(local, 300)
    make(local, 400)
    local.remove(layout.checkpoint(400))
    found, [(kind, fields)] = restore(local)
    assert found is not None
    assert (found.step, kind, fields["step"]) == (300, "checkpoint_missing", 400)
    assert "is missing, which the ledger says was made" in fields["message"]
    assert restore(local, attempt=3)[1] == [], "it is said once"


def test_what_was_retired_is_not_missed(local: LocalStorage) -> None:
    for step in (100, 200, 300):
        make(local, step)
    assert Checkpoints(local).retire(Keep(last=1)) == [100, 200]
    found, noted = restore(local)
    assert found is not None
    assert (found.step, noted) == (300, [])


def test_one_that_is_made_again_after_it_was_torn_is_missed_again_when_it_is_lost(
    local: LocalStorage,
) -> None:
    make(local, 300)
    make(local, 400)
    flip_a_byte(local, path(400, file_of(0)))
    restore(local, attempt=2)
    make(local, 400, attempt=2)
    found, noted = restore(local, attempt=3)
    assert found is not None
    assert (found.step, found.attempt, noted) == (400, 2, [])
    local.remove(layout.checkpoint(400))
    _, [(kind, fields)] = restore(local, attempt=4)
    assert (kind, fields["step"]) == ("checkpoint_missing", 400)


def test_a_clock_that_is_slow_makes_nothing_lost_of_what_was_told(local: LocalStorage) -> None:
    """The second attempt ran where it is yesterday."""
    make(local, 300)
    make(local, 400, told=False)
    for attempt, moment, kind in (
        (1, 500.0, "checkpoint_committed"),
        (2, 100.0, "checkpoint_missing"),
    ):
        line = {
            "seq": 1,
            "attempt": attempt,
            "writer": "x",
            "time": moment,
            "kind": kind,
            "step": 500,
        }
        with closing(StreamWriter(local, layout.EVENTS, attempt=attempt, writer="x")) as stream:
            stream.append(json.dumps(line).encode())
    found, noted = restore(local, attempt=3)
    assert found is not None
    assert (found.step, noted) == (400, [])


# ----- nothing to go on from


def test_a_run_without_any_begins_and_what_was_half_written_is_gone(storage: Storage) -> None:
    assert restore(storage) == (None, [])
    write_rank(storage, 400, 0)
    write_rank(storage, 400, 3)
    found, [(kind, fields)] = restore(storage)
    assert found is None
    assert (kind, fields["steps"]) == ("checkpoint_leftovers_removed", [400])
    assert Checkpoints(storage).all() == []


def test_half_written_ones_are_removed_beside_a_whole_one(storage: Storage) -> None:
    """Their ranks would be taken for those of the next attempt."""
    make(storage, 300)
    write_rank(storage, 400, 1)
    found, [(_, fields)] = restore(storage)
    assert found is not None
    assert (found.step, fields["steps"]) == (300, [400])
    assert [each.step for each in Checkpoints(storage).all()] == [300]


def test_when_none_is_whole_the_run_refuses_to_begin_again_and_touches_nothing(
    storage: Storage,
) -> None:
    for step in (300, 400):
        make(storage, step, told=step == 300)
    flip_a_byte(storage, path(300, file_of(0)))
    storage.remove(path(400, file_of(1)))
    for attempt in (2, 3):
        with pytest.raises(RequestError) as caught:
            restore(storage, attempt=attempt)
        said = str(caught.value)
        assert "has no whole checkpoint to go on from:" in said
        assert "\n  checkpoints/step-000300 is torn (rank 0's shard-0.pt has checksum" in said
        assert "\n  checkpoints/step-000400 is torn (rank 1's shard-1.pt is missing)" in said
    assert Checkpoints(storage).steps() == [300, 400]
    storage.write(path(400, file_of(1)), content(400, 1))  # put back
    found, noted = restore(storage, attempt=4)
    assert found is not None
    assert (found.step, noted) == (400, [])


def test_when_all_are_gone_the_ledger_still_knows_that_there_were_some(local: LocalStorage) -> None:
    make(local, 300)
    make(local, 400)
    local.remove(layout.CHECKPOINTS)
    for attempt in (2, 3):
        with pytest.raises(RequestError, match="step-000400 is missing, which the ledger says"):
            restore(local, attempt=attempt)


def test_one_of_a_newer_version_is_refused_and_not_thrown_away(local: LocalStorage) -> None:
    make(local, 300)
    make(local, 400)
    newer = local.read(path(400)).replace(b"checkpoint/1", b"checkpoint/2")
    local.write(path(400), newer)
    with pytest.raises(RequestError) as caught:
        restore(local)
    assert f"COMMIT of {local.uri} has schema orchestrator.checkpoint/2; this" in str(caught.value)
    assert local.read(path(400)) == newer
    assert Checkpoints(local).verify(400)[0].startswith("COMMIT has schema orchestrator.check")


# ----- deaths in between


def test_what_is_half_retired_or_half_put_aside_is_no_loss(local: LocalStorage) -> None:
    for step in (100, 200, 300):
        make(local, step)
    local.remove(path(100))
    flip_a_byte(local, path(300, file_of(0)))
    local.move(path(300), f"{layout.quarantined(300, 1)}/{layout.COMMIT}")
    found, noted = restore(local)
    assert found is not None
    assert found.step == 200
    assert [kind for kind, _ in noted] == ["checkpoint_quarantined", "checkpoint_leftovers_removed"]
    states = [(each.step, each.state) for each in Checkpoints(local).all()]
    assert states == [(200, State.COMMITTED), (300, State.QUARANTINED), (300, State.QUARANTINED)]


def lose(run: Storage, step: int) -> None:
    run.remove(layout.checkpoint(step))


def tear(run: Storage, step: int) -> None:
    flip_a_byte(run, path(step, file_of(0)))


def tear_commit(run: Storage, step: int) -> None:
    run.write(path(step), b"{")


MISHAPS = {"lose": lose, "tear": tear, "tear_commit": tear_commit}


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["make", "make", "retire", "half", *MISHAPS]), max_size=12))
def test_no_history_ends_at_step_0_but_one_without_a_commit(
    local: LocalStorage, history: list[str]
) -> None:
    """Whatever happened to the newest one, the next attempt goes on from the newest whole one."""
    run = local.child(new_id("pretrain"))
    whole: list[int] = []
    made = step = 0
    for attempt, act in enumerate(history, start=1):
        if act == "make":
            step, made = step + 100, made + 1
            make(run, step, attempt=attempt)
            whole.append(step)
        elif act == "retire":
            gone = Checkpoints(run).retire(Keep(last=2))
            whole = [each for each in whole if each not in gone]
        elif act == "half":
            write_rank(run, step + 100, 1, attempt=attempt)
        elif whole:
            MISHAPS[act](run, whole.pop())
        if made and not whole:
            with pytest.raises(RequestError, match="no whole checkpoint to go on from"):
                restore(run, attempt=attempt + 1)
            return
        found, _ = restore(run, attempt=attempt + 1)
        assert (found.step if found else 0) == (whole[-1] if whole else 0)
        assert Checkpoints(run).steps() == whole
        step = whole[-1] if whole else 0


class Dead(BaseException):
    """Not an Exception: nobody may survive it."""


class Dying(LocalStorage):
    """Whoever works on it dies at the n-th change; a folder that was to be removed is half gone."""

    def __init__(self, alive: LocalStorage, changes: int) -> None:
        super().__init__(alive.uri, alive._fs, alive._root)
        self._left = changes

    def _change(self, path: str = "") -> None:
        self._left -= 1
        if self._left < 0:
            files = self.list(path) if path and self.path(path).is_dir() else []
            for entry in files[1::2]:
                super().remove(f"{path}/{entry.name}")
            raise Dead

    def write(self, path: str, data: bytes) -> None:
        self._change()
        super().write(path, data)

    def open_writer(self, path: str):  # type: ignore[no-untyped-def]
        self._change()
        return super().open_writer(path)

    def move(self, path: str, target: str) -> None:
        self._change()
        super().move(path, target)

    def remove(self, path: str) -> None:
        self._change(path)
        super().remove(path)


@pytest.mark.slow
def test_whenever_a_rank_dies_the_next_attempt_has_a_whole_checkpoint(local: LocalStorage) -> None:
    """At each single change of the storage: of writing, committing, retiring, putting aside."""
    deaths, is_done = 0, False
    while not is_done:
        run = local.child(f"run-{deaths}")
        assert isinstance(run, LocalStorage)
        for step in (100, 200, 300):
            make(run, step, world=1)
        tear(run, 300)
        dying = Dying(run, deaths)
        try:
            found = Checkpoints(dying).restore_point(lambda kind, **fields: None)
            assert found is not None
            assert found.step == 200
            make(dying, 300, attempt=2, told=False)
            make(dying, 400, attempt=2, told=False)
            assert Checkpoints(dying).retire(Keep(last=1)) == [100, 200, 300]
            is_done = True
        except Dead:
            deaths += 1
        committed = Checkpoints(run).steps()
        found, _ = restore(run, attempt=3)
        assert found is not None
        assert found.step >= 200
        assert found.step == max(step for step in committed if not _is_torn(run, step))
        left = Checkpoints(run).all(verify=True)
        usable = [each for each in left if each.state is not State.QUARANTINED]
        assert {each.state for each in usable} == {State.WHOLE}
        assert usable[-1].step == found.step
    assert deaths > 15


def _is_torn(run: Storage, step: int) -> bool:
    return bool(Checkpoints(run).verify(step))


@pytest.mark.faults
def test_a_storage_that_goes_away_tears_nothing(s3_uri: str) -> None:
    server = S3Server()
    near = open_storage(s3_uri)
    for step in (300, 400):
        make(near, step, world=12)
    bucket = s3_uri.partition("?")[0]
    far = open_storage(f"{bucket}?endpoint_override=http://{server.endpoint}&region=us-east-1")

    def go_away(done: int, total: int) -> None:
        if done < total / 2:
            server.stop()

    with pytest.raises(StorageError):
        Checkpoints(far).verify(400, go_away)
    noted: list[str] = []
    with pytest.raises(StorageError):
        Checkpoints(far).restore_point(lambda kind, **fields: noted.append(kind))
    assert noted == []
    assert Checkpoints(near).steps() == [300, 400]
    assert [event.kind for event in read_events(near)] == ["checkpoint_committed"] * 2
