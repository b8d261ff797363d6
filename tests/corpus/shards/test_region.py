from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.shards.region import Region
from orchestrator.errors import StorageError

NUM_FILES = 6
calls = st.lists(st.lists(st.integers(0, NUM_FILES - 1), min_size=1, max_size=8), max_size=8)


def make_files(folder: Path) -> list[Path]:
    paths = [folder / f"file-{number}" for number in range(NUM_FILES)]
    for number, path in enumerate(paths):
        if not path.exists():
            path.write_bytes(bytes([number + 1]) * (3000 * number + 1))
    return paths


@given(calls, st.integers(1, NUM_FILES))
def test_reached_files_are_there_and_no_more_are_mapped_than_allowed(
    tmp_path: Path, calls: list[list[int]], at_most: int
) -> None:
    paths = make_files(tmp_path)
    sizes = [path.stat().st_size for path in paths]
    region = Region(paths, sizes, mapped_at_most=at_most)
    most = at_most  # one call may need more
    for files in calls:
        region.reach(np.asarray(files))
        for number in files:
            begin = int(region.begins_F[number])
            assert (region.bytes[begin : begin + sizes[number]] == number + 1).all()
        most = max(most, len(set(files)))
        assert Path("/proc/self/maps").read_text().count(f"{tmp_path}/file-") <= most


def test_no_file_stays_open(tmp_path: Path) -> None:
    paths = make_files(tmp_path)
    region = Region(paths, [path.stat().st_size for path in paths])
    region.reach(np.arange(NUM_FILES))
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    assert not [
        link for link in links if os.path.exists(link) and str(tmp_path) in os.readlink(link)
    ]


def test_a_file_that_became_shorter_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path,
) -> None:
    paths = make_files(tmp_path)
    region = Region(paths, [path.stat().st_size for path in paths])
    os.truncate(paths[3], 5)
    paths[4].unlink()
    for number, found in ((3, "has 5 bytes by now, not 9,001"), (4, "cannot be read: No such")):
        for _ in range(2):
            with pytest.raises(StorageError, match=found):
                region.reach(np.asarray([1, number]))
    region.reach(np.asarray([1]))
    assert region.bytes[region.begins_F[1]] == 2
