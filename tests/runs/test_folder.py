from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import OrchestratorError, RequestError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.code import CodeTree, read_tree, unpack
from orchestrator.runs.folder import RunFolder, create_run
from orchestrator.runs.ledger import Event
from orchestrator.runs.plan import Fingerprint, Plan
from orchestrator.runs.segments import StreamWriter
from orchestrator.runs.state import State
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.build import to_plain
from orchestrator.settings.code import Code
from orchestrator.settings.probe import ProbeJob

if TYPE_CHECKING:
    from tests.conftest import Disks

ID = "20261121-031522-tiny-aaaa"
OTHER = "20261121-031523-tiny-bbbb"
SECRET = "s3cr3t-value-0123"


def _files(storage: Storage, path: str = "") -> dict[str, bytes]:
    """Every file of a storage with what is in it, and every folder that is empty."""
    found: dict[str, bytes] = {}
    for entry in storage.list(path):
        name = f"{path}/{entry.name}" if path else entry.name
        below = _files(storage, name) if entry.is_dir else {name: storage.read(name)}
        found.update(below or {f"{name}/": b""})
    return found


# ----- made whole


def test_a_fresh_run_has_all_of_its_plan_and_waits(
    storage: Storage, plan: Plan, tmp_path: Path
) -> None:
    made = create_run(storage, ID, plan)
    run = RunFolder(open_storage(storage.uri), ID)
    assert (run.id, run.uri) == (made.id, made.uri)
    assert run.exists()
    assert run.job() == plan.job
    unpack(run.code(1), tmp_path / "unpacked")
    assert plan.code is not None
    assert list(read_tree(tmp_path / "unpacked", Code())[0].files) == list(plan.code.files)
    status = run.status()
    assert (status.state, status.attempt, status.tags) == (State.QUEUED, 0, ("first",))
    (created,) = run.events()
    assert (created.kind, created.attempt, created.fields["job"]) == ("created", 0, "probe")


def test_its_lineage_tells_what_was_typed_and_which_plan_it_was(
    local: LocalStorage, plan: Plan
) -> None:
    run = create_run(local, ID, replace(plan, parent={"run": OTHER}))
    lineage = run.lineage()
    assert plan.fingerprint is not None and plan.code is not None
    assert lineage["overrides"] == ["name=tiny", "tags=[first]"]
    assert lineage["plan_fingerprint"] == plan.fingerprint.whole
    assert lineage["code"] == {"files": 2, "fingerprint": plan.code.fingerprint}
    assert lineage["parent"] == {"run": OTHER}
    assert lineage["user"] == "ada"


def test_no_secret_of_the_environment_is_in_any_file(
    local: LocalStorage, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later override can hide what an earlier one gave away: job.yaml is clean then."""
    monkeypatch.setenv("PLANTED_TOKEN", SECRET)
    typed = (f"note={SECRET}", "note=x", f"tags=[{SECRET}]")
    create_run(local, ID, replace(plan, overrides=typed))
    files = _files(local)
    assert {path.rpartition("/")[2] for path in files} >= {"job.yaml", "lineage.json", "code.zip"}
    assert not [path for path, data in files.items() if SECRET.encode() in data]


# ----- or not at all


@dataclass(frozen=True, kw_only=True)
class CodeThatFails(CodeTree):
    error: BaseException

    def zip(self) -> bytes:
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), SystemExit(1)])
def test_a_run_that_is_interrupted_while_it_is_made_leaves_nothing(
    storage: Storage, plan: Plan, error: BaseException
) -> None:
    assert plan.code is not None
    code = CodeThatFails(root=plan.code.root, files={}, size_bytes=0, error=error)
    storage.write("another/file", b"x")
    with pytest.raises(type(error)):
        create_run(storage, ID, replace(plan, code=code))
    assert list(_files(storage)) == ["another/file"]


def test_a_file_edited_after_the_plan_leaves_no_run(storage: Storage, plan: Plan) -> None:
    assert plan.code is not None
    (plan.code.root / "notes.txt").write_text("edited")
    with pytest.raises(RequestError, match=r"notes\.txt was changed after the plan"):
        create_run(storage, ID, plan)
    assert _files(storage) == {}


def test_whichever_file_a_full_disk_refuses_the_run_is_whole_or_nothing(
    disks: Disks, plan: Plan
) -> None:
    """A disk with room for one more file each time, until a whole run fits."""
    outcomes = []
    for num_inodes in range(2, 20):
        storage = open_storage(disks.mount(f"size=1m,nr_inodes={num_inodes}"))
        try:
            run = create_run(storage, ID, plan)
        except StorageError as err:
            assert "no space left on the device" in err.message
            assert _files(storage) == {}
            outcomes.append(False)
        else:
            assert run.job() == plan.job
            assert run.status().state is State.QUEUED
            outcomes.append(True)
            break
    assert outcomes[-1]
    assert len(outcomes) >= 5


def test_a_disk_too_small_for_the_code_leaves_nothing(disks: Disks, plan: Plan) -> None:
    assert plan.code is not None
    root = plan.code.root
    (root / "weights.bin").write_bytes(os.urandom(100_000))
    tree, _ = read_tree(root, Code())
    storage = open_storage(disks.mount("size=64k"))
    with pytest.raises(StorageError, match=r"code\.zip: no space left on the device"):
        create_run(storage, ID, replace(plan, code=tree))
    assert _files(storage) == {}


def test_a_read_only_place_is_told_as_such(disks: Disks, plan: Plan) -> None:
    point = disks.mount("size=1m")
    disks.make_read_only(point)
    with pytest.raises(StorageError, match=r"code\.zip cannot be written: read-only file system"):
        create_run(open_storage(point), ID, plan)


def test_a_place_below_a_file_is_told_as_such(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="below something that is not a folder"):
        create_run(open_storage(tmp_path / "file"), ID, plan)
    assert (tmp_path / "file").read_bytes() == b""


def test_a_run_that_is_there_already_is_refused_and_untouched(storage: Storage, plan: Plan) -> None:
    create_run(storage, ID, plan)
    before = _files(storage)
    other = replace(plan, job=ProbeJob(name="other"))
    with pytest.raises(RequestError, match=f"{ID}.* is there already"):
        create_run(storage, ID, other)
    assert _files(storage) == before


@pytest.mark.parametrize("run_id", ["..", "../x", "/etc", "a/../..", "", "."])
def test_an_id_cannot_lead_outside_of_the_storage(local: LocalStorage, run_id: str) -> None:
    with pytest.raises(RequestError, match="does not name anything below"):
        RunFolder(local, run_id)


# ----- what is read back


def test_notes_of_many_commands_at_once_are_all_kept(storage: Storage) -> None:
    run = RunFolder(storage, ID)
    threads = [
        threading.Thread(target=lambda n=n: run.note("noted", text=str(n))) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.status().notes) == [str(number) for number in range(8)]
    assert len(storage.list(f"{ID}/{layout.EVENTS}")) == 8


def test_an_attempt_runs_the_newest_code_that_was_taken_up_to_it(storage: Storage) -> None:
    run = RunFolder(storage, ID)
    run.storage.write(layout.CODE, b"first")
    run.storage.write(layout.code_of_attempt(3), b"third")
    assert [run.code(attempt) for attempt in range(1, 6)] == [b"first"] * 2 + [b"third"] * 3


def test_what_an_attempt_must_be_is_what_was_submitted_for_it_whatever_the_clocks_said(
    local: LocalStorage,
) -> None:
    run = RunFolder(local, ID)
    prints = {n: Fingerprint(settings=f"s{n}", code="c", packages={}) for n in (1, 3)}
    moments = {1: 500.0, 3: 100.0}  # the second submission came from a machine whose clock is slow
    for attempt, fingerprint in prints.items():
        stream = StreamWriter(run.storage, layout.EVENTS, attempt=attempt, writer="client")
        event = Event(
            seq=1,
            attempt=attempt,
            writer="client",
            time=moments[attempt],
            kind="submitted",
            fields={"fingerprint": to_plain(fingerprint)},
        )
        stream.append(json.dumps(event.to_plain()).encode())
        stream.close()
    assert run.expected(1) == run.expected(2) == prints[1]
    assert run.expected(3) == run.expected(4) == prints[3]


def test_a_run_that_was_never_submitted_has_nothing_to_expect(local: LocalStorage) -> None:
    run = RunFolder(local, ID)
    run.note("created")
    with pytest.raises(OrchestratorError, match="was never submitted"):
        run.expected(1)


def test_only_committed_checkpoints_are_checkpoints(storage: Storage) -> None:
    run = RunFolder(storage, ID)
    assert run.checkpoint_steps() == []
    for step in (400, 1_000_000, 50):
        run.storage.write(f"{layout.checkpoint(step)}/{layout.COMMIT}", b"")
    run.storage.write(f"{layout.checkpoint(500)}/rank-000.json", b"")
    run.storage.write(f"{layout.CHECKPOINTS}/step-000600", b"a file")
    run.storage.write(f"{layout.CHECKPOINTS}/other/{layout.COMMIT}", b"")
    assert run.checkpoint_steps() == [50, 400, 1_000_000]
