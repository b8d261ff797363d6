from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.runs import disk

if TYPE_CHECKING:
    from tests.conftest import Disks


def test_a_whole_file_replaces_the_old_one_and_leaves_no_half_one(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    for data in (b"one", b"", b"three"):
        disk.write_whole(target, data)
        assert target.read_bytes() == data
    assert list(target.parent.iterdir()) == [target]


def test_a_file_is_created_once_and_leaves_no_half_one(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    assert [disk.create_whole(target, data) for data in (b"one", b"two")] == [True, False]
    assert target.read_bytes() == b"one"
    assert list(target.parent.iterdir()) == [target]


def test_halves_that_dead_writers_left_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in (".hidden", "a.00000000", ".env.production")]
    for path in kept:
        path.write_bytes(b"mine")
    disk.HalfFile(tmp_path / "deep" / "shard.arrow").write(b"half")
    disk.remove_halves(tmp_path)
    assert sorted(tmp_path.rglob("*")) == sorted([*kept, tmp_path / "deep"])


def test_a_file_that_does_not_fit_leaves_the_folder_as_it_was(disks: Disks) -> None:
    point = disks.mount("size=64k")
    disk.write_whole(point / "file", b"old")
    for write in (disk.write_whole, disk.create_whole):
        with pytest.raises(OSError, match="No space left"):
            write(point / "file", b"x" * 200_000)
    assert list(point.iterdir()) == [point / "file"]
    assert (point / "file").read_bytes() == b"old"


def test_memory_is_not_shared_by_nodes_whatever_the_folder_is_called(
    disks: Disks, tmp_path: Path
) -> None:
    point = disks.mount("size=64k")
    assert not disk.is_shared(point)
    assert not disk.is_shared(point / "not" / "there")
    assert disk.is_shared(tmp_path) == disk.is_shared(tmp_path / "nfs4")
