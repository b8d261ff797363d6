from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import NotFoundError, RequestError, StorageError
from orchestrator.runs.storage import LocalStorage, Storage, open_storage

if TYPE_CHECKING:
    from tests.conftest import Disks

# ----- laws of every storage


def test_what_was_written_is_read(storage: Storage) -> None:
    for size in (0, 1, 70_000):
        data = os.urandom(size)
        storage.write("a/b.bin", data)
        assert storage.read("a/b.bin") == data
        assert storage.size("a/b.bin") == size
        assert storage.exists("a/b.bin")


def test_a_part_is_read_from_its_start_and_ends_where_the_file_does(storage: Storage) -> None:
    storage.write("x", b"0123456789")
    for start in range(12):
        for size in (None, 0, 3, 99):
            end = None if size is None else start + size
            assert storage.read("x", start=start, size=size) == b"0123456789"[start:end]


def test_create_makes_a_file_once_and_never_touches_one_that_is_there(storage: Storage) -> None:
    assert storage.create("leases/1", b"mine") is True
    assert storage.create("leases/1", b"yours") is False
    assert storage.read("leases/1") == b"mine"


def test_a_listing_is_sorted_and_shows_folders_and_sizes(storage: Storage) -> None:
    assert storage.list() == []
    assert storage.list("nowhere") == []
    for path in ("b", "a/y", "a/x", "c"):
        storage.write(path, path.encode())
    shown = [(entry.name, entry.is_dir) for entry in storage.list()]
    assert shown == [("a", True), ("b", False), ("c", False)]
    assert [(entry.name, entry.size_bytes) for entry in storage.list("a")] == [("x", 3), ("y", 3)]
    assert all(entry.modified > 1.6e9 for entry in storage.list("a"))


def test_removing_takes_a_file_or_a_whole_folder_and_nothing_beside_it(storage: Storage) -> None:
    for path in ("run/a/b", "run/c", "run-2/c"):
        storage.write(path, b"x")
    storage.remove("run/c")
    storage.remove("nowhere")
    assert [entry.name for entry in storage.list("run")] == ["a"]
    storage.remove("run")
    assert storage.list("run") == []
    assert not storage.exists("run/a/b")
    assert storage.exists("run-2/c")


def test_a_child_sees_its_part_and_can_be_opened_by_its_uri(storage: Storage) -> None:
    for name in ("run", "with space", "per%cent", "ha#sh", "que?ry=1&x", "plus+", "ü"):
        child = storage.child("deep").child(name)
        child.write("x", name.encode())
        assert storage.read(f"deep/{name}/x") == name.encode()
        assert open_storage(child.uri).read("x") == name.encode()


def test_what_is_moved_is_there_and_no_longer_here(storage: Storage) -> None:
    for path in ("run/a/b", "run/c", "run-2/c"):
        storage.write(path, path.encode())
    storage.move("run/c", "new/place/d")
    assert storage.read("new/place/d") == b"run/c"
    storage.move("run", "moved")
    assert storage.list("run") == []
    assert storage.read("moved/a/b") == b"run/a/b"
    assert storage.exists("run-2/c")
    with pytest.raises(NotFoundError, match="nowhere"):
        storage.move("nowhere", "moved/x")


def test_what_a_store_will_not_copy_itself_goes_through_here(s3_uri: str) -> None:
    far = open_storage(s3_uri)
    data = os.urandom(1_000_000)
    far.write("large", data)
    far.copy_limit_bytes = len(data) - 1
    far.move("large", "moved")
    assert far.read("moved") == data
    assert not far.exists("large")


def test_a_folder_can_remove_itself(storage: Storage) -> None:
    child = storage.child("run")
    child.write("a/b", b"x")
    child.remove("")
    assert child.list() == []
    assert not child.exists("a/b")
    assert [entry.name for entry in storage.list()] == []


def test_no_path_leads_outside(storage: Storage) -> None:
    storage.write("a/b", b"x")
    reading = (storage.read, storage.exists, storage.size, storage.list, storage.remove)
    writing = (storage.write, storage.create)
    up = ("..", "../x", "a/../../x", "a/..", "/etc/passwd", "/", "//host/x")
    for path in (*up, ".", "a/./b", "a//b", "a/", "\0", "a\0b"):
        for read in (*reading, storage.child):
            with pytest.raises(RequestError, match="does not name anything below"):
                read(path)
        for write in writing:
            with pytest.raises(RequestError, match="does not name anything below"):
                write(path, b"x")
    with pytest.raises(RequestError, match="does not name anything below"):
        storage.child("")
    assert storage.read("a/b") == b"x"


def test_a_missing_file_is_told_with_its_whole_name(storage: Storage) -> None:
    with pytest.raises(NotFoundError) as caught:
        storage.child("run").read("job.yaml")
    shown = str(caught.value)
    assert "/run/job.yaml" in shown
    assert shown == f"{storage.uri_of('run/job.yaml')} does not exist."


def test_checking_for_writability_leaves_no_file_behind(storage: Storage) -> None:
    assert storage.check_writable() is None
    assert storage.list() == []


# ----- a local disk


def test_checking_for_writability_leaves_no_folder_behind(local: LocalStorage) -> None:
    assert local.check_writable() is None
    assert not local.path().parent.exists()
    local.write("x", b"")
    assert local.check_writable() is None
    assert [entry.name for entry in local.list()] == ["x"]


def test_of_many_that_create_the_same_file_exactly_one_does(local: LocalStorage) -> None:
    for round_ in range(5):
        start = threading.Barrier(8)
        won: list[int] = []

        def create(number: int, path: str, start: threading.Barrier, won: list[int]) -> None:
            start.wait()
            if local.create(path, str(number).encode()):
                won.append(number)

        threads = [
            threading.Thread(target=create, args=(number, f"lease-{round_}", start, won))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert local.read(f"lease-{round_}") == str(won[0]).encode()


def test_a_reader_never_sees_half_a_file(local: LocalStorage) -> None:
    whole = {letter * 50_000 for letter in (b"a", b"b", b"c")}
    local.write("x", min(whole))
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            for data in whole:
                local.write("x", data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            assert local.read("x") in whole
            assert [entry.name for entry in local.list()] == ["x"]
    finally:
        is_over.set()
        writer.join()


def test_what_is_below_a_file_is_refused_and_not_taken_for_there(local: LocalStorage) -> None:
    local.write("file", b"x")
    for path in ("file/x", "file/x/y"):
        with pytest.raises(StorageError, match="below something that is not a folder"):
            local.write(path, b"x")
        with pytest.raises(StorageError, match="below something that is not a folder"):
            local.create(path, b"x")
    assert local.read("file") == b"x"


def test_a_full_disk_keeps_the_old_file_whole_and_says_so(disks: Disks) -> None:
    disk = open_storage(disks.mount("size=256k"))
    disk.write("x", b"old")
    for act in (disk.write, disk.create):
        with pytest.raises(StorageError, match=r"no space left on the device \(.* free\)"):
            act("x" if act == disk.write else "y", b"n" * 1_000_000)
    assert disk.read("x") == b"old"
    assert [entry.name for entry in disk.list()] == ["x"]
    assert disk.check_writable() is None


def test_a_read_only_disk_is_refused_by_its_reason(disks: Disks) -> None:
    point = disks.mount("size=256k")
    disk = open_storage(point)
    disk.write("x", b"old")
    disks.make_read_only(point)
    with pytest.raises(StorageError, match="cannot be written: read-only file system"):
        disk.write("x", b"new")
    reason = disk.check_writable()
    assert reason is not None
    assert "read-only file system" in reason
    assert disk.read("x") == b"old"


def test_a_memory_disk_is_not_shared_by_nodes(disks: Disks) -> None:
    disk = open_storage(disks.mount("size=256k") / "not there yet")
    assert isinstance(disk, LocalStorage)
    assert not disk.is_shared()


# ----- opening


@pytest.mark.parametrize("name", ["runs", "with space", "a%20b", "ha#sh", "que?ry", "s3:odd", "ü"])
def test_a_path_or_its_file_uri_opens_the_same_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    by_path, by_uri = open_storage(folder), open_storage(folder.as_uri())
    by_path.write("x", b"here")
    assert (folder / "x").read_bytes() == b"here"
    assert by_uri.read("x") == b"here"
    assert by_path.uri == by_uri.uri == str(folder)


def test_a_relative_path_is_taken_from_here_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage("runs")
    monkeypatch.chdir("/")
    storage.write("x", b"y")
    assert (tmp_path / "runs" / "x").exists()


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_storage("~/runs").uri == str(tmp_path / "runs")


@pytest.mark.parametrize(
    "uri",
    [
        *("nope://bucket/x", "s3://[bucket/x", "~nobody-of-that-name/runs", "s3://"),
        *("s3://bucket/x?colour=red", "http://host/x"),
    ],
)
def test_what_cannot_be_opened_is_a_mistake_of_the_request(uri: str) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        open_storage(uri).list()


def test_a_password_in_the_uri_is_refused_and_not_repeated() -> None:
    with pytest.raises(RequestError) as caught:
        open_storage("s3://AKIAXXXX:hunter2secret@bucket/x")
    assert "hunter2secret" not in str(caught.value)
    assert "AWS_ACCESS_KEY_ID" in str(caught.value)


def test_a_store_that_does_not_answer_is_an_error_and_not_an_empty_list(s3_uri: str) -> None:
    dead = open_storage("s3://bucket/x?endpoint_override=http://127.0.0.1:9&region=us-east-1")
    reason = dead.check_writable()
    assert reason is not None
    assert reason.startswith("s3://bucket/x/.write-check-")


def test_a_bucket_that_is_not_there_cannot_be_written(s3_uri: str) -> None:
    other = open_storage(s3_uri.replace("s3://bucket-", "s3://other-bucket-"))
    reason = other.check_writable()
    assert reason is not None
    assert "does not exist" in reason


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12))
def test_any_name_of_a_child_comes_back_from_its_uri(name: str) -> None:
    if name not in (".", ".."):
        child = open_storage("/nowhere").child(name)
        assert open_storage(child.uri).uri == child.uri == f"/nowhere/{name}"
