from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs import ids, layout
from orchestrator.runs.archive import KEEP, Archive, Candidate, PrunePolicy, prunable
from orchestrator.runs.folder import RunFolder, create_run
from orchestrator.runs.lease import Lease
from orchestrator.runs.plan import Plan
from orchestrator.runs.state import State
from orchestrator.runs.storage import LocalStorage, Storage

IDS = [f"20261121-03152{number}-tiny-aaa{number}" for number in range(5)]


def _age(folder: Path, seconds: float) -> None:
    """Folders after what is in them: a change inside makes them young again."""
    moment = time.time() - seconds
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        os.utime(path, (moment, moment))


# ----- listing


def test_runs_are_listed_oldest_first_and_nothing_else_is(storage: Storage, plan: Plan) -> None:
    archive = Archive(storage)
    assert archive.ids() == []
    assert archive.statuses() == []
    for run_id in reversed(IDS[:3]):
        create_run(storage, run_id, plan)
    storage.write(f"{IDS[3]}/code.zip", b"half made, or half deleted")
    storage.write("notes/job.yaml", b"no run's name")
    storage.write(IDS[4], b"a file")
    assert archive.ids() == IDS[:3]
    assert [run.id for run, _ in archive.statuses()] == IDS[:3]
    assert {status.state for _, status in archive.statuses()} == {State.QUEUED}


def test_within_a_second_it_is_not_the_name_that_makes_a_run_older(local: LocalStorage) -> None:
    first, second = "20261121-031522-zeta-2aaa", "20261121-031522-alpha-3aaa"
    for run_id in (first, second):
        local.write(f"{run_id}/{layout.JOB}", b"")
    assert Archive(local).ids() == [first, second]
    runs = [Candidate(id=run_id, state=State.FAILED, ended=0.0) for run_id in (second, first)]
    assert prunable(runs, PrunePolicy(keep_last=1, older_than_s=0), now=1.0) == [first]


def test_a_run_is_found_by_a_part_of_its_id(local: LocalStorage, plan: Plan) -> None:
    for run_id in IDS[:2]:
        create_run(local, run_id, plan)
    archive = Archive(local)
    assert archive.find("aaa0").id == IDS[0]
    assert archive.find("@last").id == IDS[1]
    with pytest.raises(NotFoundError, match="names 2 runs"):
        archive.find("tiny")
    with pytest.raises(RequestError, match="cannot name a run"):
        archive.find(f"../{IDS[0]}")


@pytest.mark.slow
def test_runs_can_be_listed_while_others_are_deleted(local: LocalStorage, plan: Plan) -> None:
    archive = Archive(local)
    for number in range(30):
        create_run(local, f"20261121-03{number:02d}00-tiny-aaaa", plan)
    names = archive.ids()

    def delete() -> None:
        for name in names[:-1]:
            archive.delete(RunFolder(local, name))

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        while thread.is_alive():
            assert names[-1] in [run.id for run, _ in archive.statuses()]
    finally:
        thread.join()
    assert archive.ids() == names[-1:]


# ----- deleting


def test_a_deleted_run_is_gone_and_its_neighbours_stay(storage: Storage, plan: Plan) -> None:
    archive = Archive(storage)
    runs = [create_run(storage, run_id, plan) for run_id in IDS[:3]]
    runs[1].storage.write("checkpoints/step-000001/COMMIT", b"")
    archive.delete(runs[1])
    assert archive.ids() == [IDS[0], IDS[2]]
    assert [entry.name for entry in storage.list()] == [IDS[0], IDS[2]]


@pytest.mark.parametrize("kind", ["attempt_started", "running", "recovering", "stopping"])
def test_a_run_that_is_not_over_cannot_be_deleted(
    local: LocalStorage, plan: Plan, kind: str
) -> None:
    run = create_run(local, IDS[0], plan)
    lease = Lease.acquire(run.storage)
    run.note(kind, attempt=1)
    with pytest.raises(RequestError, match="only a run that is over can be deleted") as caught:
        Archive(local).delete(run)
    assert caught.value.hint == f"orchestrator stop {IDS[0]}"
    assert run.exists()
    lease.release()
    run.note("failed", attempt=1)
    Archive(local).delete(run)
    assert not run.exists()


@pytest.mark.parametrize("kinds", [[], ["failed"]])
def test_a_driver_that_has_the_run_and_has_not_said_so_yet_keeps_it(
    local: LocalStorage, plan: Plan, kinds: list[str]
) -> None:
    """A fresh run that is just starting, and an ended one that is just being resumed."""
    run = create_run(local, IDS[0], plan)
    for kind in kinds:
        run.note(kind, attempt=1)
    lease = Lease.acquire(run.storage)
    with pytest.raises(RequestError, match="already has a driver"):
        Archive(local).delete(run)
    assert run.job() == plan.job
    lease.release()


def test_the_first_thing_to_go_is_what_makes_it_a_run(
    local: LocalStorage, plan: Plan, tmp_path: Path
) -> None:
    """Whatever stops a deletion half-way, no half run is listed."""
    run = create_run(local, IDS[0], plan)
    run.storage.remove(layout.JOB)
    archive = Archive(local)
    assert archive.ids() == []
    with pytest.raises(NotFoundError):
        archive.find(IDS[0])
    archive.delete(run)
    assert local.list() == []


# ----- leftovers


def test_what_is_being_made_right_now_is_no_leftover(storage: Storage) -> None:
    storage.write(f"{IDS[0]}/code.zip", b"x")
    assert Archive(storage).leftovers() == []


def test_only_folders_that_nobody_touched_for_an_hour_are_leftovers(
    local: LocalStorage, plan: Plan
) -> None:
    for run_id in IDS[:4]:
        run = create_run(local, run_id, plan)
        if run_id != IDS[3]:
            run.storage.remove(layout.JOB)
    local.write("notes/x", b"")
    for run_id, age_s in zip([*IDS[:4], "notes"], [7200, 60, 7200, 7200, 7200], strict=True):
        _age(local.path(run_id), age_s)
    deep = next(local.path(f"{IDS[2]}/events").iterdir())
    os.utime(deep)
    assert Archive(local).leftovers() == [IDS[0]]


# ----- pruning

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        id=st.integers(0, 12).map(lambda number: f"run-{number:02d}"),
        state=st.sampled_from(State),
        ended=st.none() | st.integers(0, 100).map(float),
        tags=st.sampled_from([(), ("x",), (KEEP,), ("x", KEEP)]),
        parent=st.none() | st.integers(0, 12).map(lambda number: f"run-{number:02d}"),
    ),
    max_size=10,
    unique_by=lambda run: run.id,
)
POLICIES = st.builds(
    PrunePolicy,
    keep_last=st.integers(0, 6),
    older_than_s=st.integers(0, 60).map(float),
    states=st.lists(st.sampled_from(State), unique=True).map(tuple),
)
NOW = 100.0


@given(CANDIDATES, POLICIES)
def test_only_what_matches_every_condition_may_go(
    runs: list[Candidate], policy: PrunePolicy
) -> None:
    going = prunable(runs, policy, now=NOW)
    assert going == sorted(set(going), key=ids.when)
    newest = (
        sorted((run.id for run in runs), key=ids.when)[-policy.keep_last :]
        if policy.keep_last
        else []
    )
    for run in runs:
        if run.id in going:
            assert run.id not in newest
            assert KEEP not in run.tags
            assert run.state in policy.states and run.state.is_over
            assert run.ended is not None and NOW - run.ended >= policy.older_than_s


@given(CANDIDATES, POLICIES)
def test_no_parent_of_what_is_kept_goes(runs: list[Candidate], policy: PrunePolicy) -> None:
    going = prunable(runs, policy, now=NOW)
    assert not {run.parent for run in runs if run.id not in going} & set(going)


@given(CANDIDATES, POLICIES)
def test_everything_that_may_go_goes_and_the_order_of_the_list_is_nothing(
    runs: list[Candidate], policy: PrunePolicy
) -> None:
    going = prunable(runs, policy, now=NOW)
    assert prunable(list(reversed(runs)), policy, now=NOW) == going
    alone = [replace(run, parent=None) for run in runs]
    newest = (
        sorted((run.id for run in runs), key=ids.when)[-policy.keep_last :]
        if policy.keep_last
        else []
    )
    matching = [
        run.id
        for run in alone
        if run.id not in newest
        and KEEP not in run.tags
        and run.state in policy.states
        and run.state.is_over
        and run.ended is not None
        and NOW - run.ended >= policy.older_than_s
    ]
    assert prunable(alone, policy, now=NOW) == sorted(matching, key=ids.when)
    assert set(going) <= set(matching)


@given(CANDIDATES, POLICIES, st.integers(0, 5), st.integers(0, 50))
def test_a_more_careful_policy_lets_nothing_more_go(
    runs: list[Candidate], policy: PrunePolicy, more: int, longer: int
) -> None:
    careful = replace(
        policy, keep_last=policy.keep_last + more, older_than_s=policy.older_than_s + longer
    )
    going = prunable(runs, policy, now=NOW)
    assert set(prunable(runs, careful, now=NOW)) <= set(going)
    assert set(going) <= set(prunable(runs, policy, now=NOW + longer))


def test_by_default_twenty_runs_and_a_month_are_kept() -> None:
    runs = [
        Candidate(id=f"run-{number:02d}", state=State.FINISHED, ended=0.0) for number in range(25)
    ]
    day = 86400.0
    assert prunable(runs, PrunePolicy(), now=29 * day) == []
    assert prunable(runs, PrunePolicy(), now=31 * day) == [f"run-{n:02d}" for n in range(5)]
