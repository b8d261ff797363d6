from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RequestError, StorageError
from orchestrator.runs.storage import LocalStorage, Storage, open_storage

if TYPE_CHECKING:
    from tests.conftest import Disks


def test_a_file_is_there_when_it_is_whole_and_not_before(storage: Storage) -> None:
    storage.write("x", b"old")
    writer = storage.open_writer("x")
    pieces = [os.urandom(size) for size in (1, 0, 70_000)]
    for piece in pieces:
        writer.write(piece)
        assert storage.read("x") == b"old"
        assert [entry.name for entry in storage.list()] == ["x"]
    writer.close()
    writer.abandon()  # too late
    assert storage.read("x") == b"".join(pieces)


@settings(max_examples=10)
@given(st.lists(st.binary(max_size=50)))
def test_pieces_make_the_file_that_they_are_together(
    local: LocalStorage, pieces: list[bytes]
) -> None:
    writer = local.open_writer("a/b")
    for piece in pieces:
        writer.write(memoryview(piece))
    writer.close()
    assert local.read("a/b") == b"".join(pieces)


def test_an_abandoned_file_is_gone(storage: Storage) -> None:
    writer = storage.open_writer("a/x")
    writer.write(b"half")
    writer.abandon()
    writer.abandon()
    assert storage.list("a") == []


def test_a_full_disk_abandons_the_file_and_tells_the_numbers(disks: Disks) -> None:
    point = disks.mount("size=256k")
    disk = open_storage(point)
    disk.write("x", b"old")
    writer = disk.open_writer("x")
    with pytest.raises(StorageError, match=r"x: no space .* \(97\.7 KiB wanted, .* free\)"):
        for _ in range(3):
            writer.write(b"n" * 100_000)
    assert [path.name for path in point.iterdir()] == ["x"]
    assert disk.read("x") == b"old"


def test_a_place_that_cannot_be_written_is_told_at_once(local: LocalStorage) -> None:
    local.write("file", b"x")
    with pytest.raises(StorageError, match="below something that is not a folder"):
        local.open_writer("file/x")
    with pytest.raises(RequestError, match="does not name anything below"):
        local.open_writer("../x")
