"""What ranks write: summed up on the way, seen when it is whole, and gone when it failed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow
import pytest
import torch
from xxhash import xxh3_128_hexdigest

from orchestrator.errors import OrchestratorError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.checkpoints.commit import RankManifest
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from tests.runs.checkpoints.making import make, path, restore, write_rank

if TYPE_CHECKING:
    from tests.conftest import Disks


def manifest(run: Storage, step: int, rank: int) -> RankManifest:
    return RankManifest.parse(run.read(path(step, layout.rank_manifest(rank))))


def test_what_torch_saves_is_loaded_again_and_summed_up(storage: Storage) -> None:
    state = {
        "weights": torch.randn(300, 500),
        "turned": torch.randn(40, 30).T,
        "half": torch.ones(7, dtype=torch.bfloat16),
        "none": torch.empty(0),
        "words": {"step": 400, "names": ["a"] * 5000},
    }
    pen = Checkpoints(storage).open_rank(400, 0, attempt=1)
    with pen.open("state.pt") as file:
        torch.save(state, file)
    with pen.open("old.pt") as file:
        torch.save(state, file, _use_new_zipfile_serialization=False)
    pen.finish()
    for name in ("state.pt", "old.pt"):
        data = storage.read(path(400, name))
        loaded = torch.load(io.BytesIO(data), weights_only=True)
        assert loaded["words"] == state["words"]
        for key in ("weights", "turned", "half", "none"):
            assert torch.equal(loaded[key], state[key])
        record = manifest(storage, 400, 0).files[name]
        assert (record.size_bytes, record.checksum) == (len(data), xxh3_128_hexdigest(data))


def test_an_upload_holds_little_and_is_done_with_what_it_was_given(s3_uri: str) -> None:
    far = open_storage(s3_uri)
    memory = bytearray(os.urandom(2**20) * 12)
    expected = bytes(memory) * 2
    pen, peak = Checkpoints(far).open_rank(400, 0, attempt=1), 0
    with pen.open("x") as file:
        before = pyarrow.total_allocated_bytes()
        for _ in range(2):
            file.write(memoryview(memory))
            peak = max(peak, pyarrow.total_allocated_bytes() - before)
        memory[:] = bytes(len(memory))
    assert peak < 2**24, "of 24 MiB"
    assert far.read(path(400, "x")) == expected


@pytest.mark.slow
def test_a_large_file_is_not_held_in_memory(local: LocalStorage) -> None:
    memory = bytes(2**27)
    pen = Checkpoints(local).open_rank(400, 0, attempt=1)
    tracemalloc.start()
    try:
        with pen.open("x") as file:
            file.write(memory)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**26
    assert local.size(path(400, "x")) == len(memory)


def test_an_error_takes_all_that_the_rank_has_written_with_it(storage: Storage) -> None:
    pen = Checkpoints(storage).open_rank(400, 0, attempt=1)
    with pen.open("whole") as file:
        file.write(b"x" * 100)
    with pytest.raises(ZeroDivisionError), pen.open("half") as file:
        file.write(b"x" * 100)
        raise ZeroDivisionError
    assert not [entry for entry in storage.list(layout.checkpoint(400)) if not entry.is_dir]


def test_a_full_disk_is_told_with_its_numbers_and_leaves_its_room(disks: Disks) -> None:
    """And not as torch tells it, of positions in a file."""
    point = disks.mount("size=4m")
    disk = open_storage(point)
    make(disk, 300)
    pen = Checkpoints(disk).open_rank(400, 0, attempt=1)
    with pen.open("small.pt") as file:
        torch.save(torch.zeros(300_000), file)
    told = r"large\.pt: no space left .* wanted, .* free\)"
    with pytest.raises(StorageError, match=told), pen.open("large.pt") as file:
        torch.save({"a": torch.zeros(300_000), "b": torch.zeros(3_000_000)}, file)
    assert [each.name for each in (point / layout.checkpoint(400)).iterdir()] == []
    found, _ = restore(disk)
    assert found is not None
    assert found.step == 300


def test_only_plain_names_that_are_free_are_taken(local: LocalStorage) -> None:
    pen = Checkpoints(local).open_rank(400, 0, attempt=1)
    with pen.open("mp_rank_00_model_states.pt"):
        pass
    taken = ("mp_rank_00_model_states.pt", layout.COMMIT, "rank-000.json", layout.UNIVERSAL)
    for name in (*taken, "", ".hidden", "a/b", "..", "/x", "a b"):
        with pytest.raises(ValueError, match="is no name for a further file"), pen.open(name):
            pass


def test_what_is_committed_is_never_written_again(storage: Storage) -> None:
    make(storage, 400)
    with pytest.raises(OrchestratorError, match="is committed already"):
        Checkpoints(storage).open_rank(400, 0, attempt=2)


WRITER = """
import sys
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.storage import open_storage

catalogue = Checkpoints(open_storage(sys.argv[1]))
pen = catalogue.open_rank(400, 0, attempt=1)
with pen.open("whole") as file:
    file.write(bytes(2**20))
with pen.open("half") as file:
    file.write(bytes(2**22))
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.faults
def test_a_killed_writer_leaves_nothing_that_the_next_attempt_would_see(
    local: LocalStorage,
) -> None:
    make(local, 300)
    write_rank(local, 400, 1)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, local.uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"writing\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    folder = local.path(layout.checkpoint(400))
    assert any(file.name.startswith(".half") for file in folder.iterdir())
    found, _ = restore(local)
    assert found is not None
    assert found.step == 300
    assert not folder.exists()
