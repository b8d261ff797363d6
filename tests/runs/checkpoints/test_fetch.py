"""Reading a checkpoint: as it lies on a disk, and from an object store a copy that is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.storage import LocalStorage, open_storage
from tests.runs.checkpoints.making import content, file_of, flip_a_byte, make, path


def test_on_a_disk_nothing_is_copied(local: LocalStorage, tmp_path: Path) -> None:
    make(local, 400)
    there = Checkpoints(local).fetch(400, tmp_path / "copy")
    assert there == local.path(layout.checkpoint(400))
    assert (there / file_of(1)).read_bytes() == content(400, 1)
    assert not (tmp_path / "copy").exists()


def test_from_a_store_come_the_files_that_are_wanted(s3_uri: str, tmp_path: Path) -> None:
    far = open_storage(s3_uri)
    make(far, 400, world=3)
    catalogue = Checkpoints(far)
    there = catalogue.fetch(400, tmp_path / "all")
    assert {file.name: file.read_bytes() for file in there.iterdir()} == {
        file_of(rank): content(400, rank) for rank in range(3)
    }
    some = catalogue.fetch(400, tmp_path / "some", lambda name: name == file_of(2))
    assert [file.name for file in some.iterdir()] == [file_of(2)]


def test_a_copy_that_is_not_what_was_written_is_refused(s3_uri: str, tmp_path: Path) -> None:
    far = open_storage(s3_uri)
    make(far, 400)
    flip_a_byte(far, path(400, file_of(1)))
    size = f"{len(content(400, 1)):,}"
    said = rf"step-000400/shard-1\.pt.* is torn: {size} bytes with checksum .* were {size} with"
    with pytest.raises(StorageError, match=said):
        Checkpoints(far).fetch(400, tmp_path / "copy")
    assert not (tmp_path / "copy" / file_of(1)).exists()
    far.remove(path(400, file_of(1)))
    with pytest.raises(StorageError, match=r"shard-1\.pt.* is missing"):
        Checkpoints(far).fetch(400, tmp_path / "copy")
    far.remove(path(400, layout.rank_manifest(0)))
    with pytest.raises(StorageError, match=r"is torn: rank-000\.json is missing"):
        Checkpoints(far).fetch(400, tmp_path / "copy")


def test_a_step_that_was_never_committed_is_not_found(local: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="step-000400/COMMIT does not exist"):
        Checkpoints(local).fetch(400, tmp_path)
