from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import StorageError
from orchestrator.runs.segments import SEGMENT_BYTES, SegmentName, StreamReader, StreamWriter
from orchestrator.runs.storage import LocalStorage, Storage, open_storage

if TYPE_CHECKING:
    from tests.conftest import Disks


def _writer(storage: Storage, writer: str = "w", attempt: int = 1) -> StreamWriter:
    return StreamWriter(storage, "events", attempt=attempt, writer=writer)


def _lines(storage: Storage) -> list[bytes]:
    return [line for _, line in StreamReader(storage, "events").read_new()]


NAMES = st.builds(
    SegmentName,
    attempt=st.integers(0, 9999),
    writer=st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True),
    segment=st.integers(1, 9999),
    suffix=st.sampled_from(["jsonl", "log"]),
)


@given(NAMES)
def test_a_name_is_read_back_from_a_files_name(name: SegmentName) -> None:
    assert SegmentName.parse(str(name)) == name


@given(st.lists(NAMES))
def test_file_names_sort_by_attempt_and_within_a_writer_by_segment(
    names: list[SegmentName],
) -> None:
    shown = [SegmentName.parse(text) for text in sorted(map(str, names))]
    attempts = [name.attempt for name in shown if name]
    assert attempts == sorted(attempts)
    for writer in {(name.attempt, name.writer, name.suffix) for name in names}:
        own = [n.segment for n in shown if n and (n.attempt, n.writer, n.suffix) == writer]
        assert own == sorted(own)


def test_other_files_are_not_read(storage: Storage) -> None:
    for name in ("notes.txt", "1-w-1.jsonl", "0001-w-0001.log", "0001-w-0001.jsonl.tmp"):
        storage.write(f"events/{name}", b"not ours\n")
    assert _lines(storage) == []


def test_lines_are_read_in_the_order_in_which_they_were_written(storage: Storage) -> None:
    lines = [f"line {number} é".encode() for number in range(50)]
    writer = _writer(storage)
    for line in lines:
        writer.append(line)
    writer.close()
    assert _lines(storage) == lines


def test_a_durable_line_is_there_when_append_returns(storage: Storage) -> None:
    writer = _writer(storage)
    for number in range(5):
        writer.append(str(number).encode(), durable=True)
        assert _lines(storage) == [str(n).encode() for n in range(number + 1)]
    writer.close()


def test_everything_is_there_after_a_flush(storage: Storage) -> None:
    writer = _writer(storage)
    for number in range(5):
        writer.append(str(number).encode())
    writer.flush()
    assert len(_lines(storage)) == 5
    writer.close()
    writer.close()
    assert len(_lines(storage)) == 5


def test_a_reader_gets_each_line_once(storage: Storage) -> None:
    reader = StreamReader(storage, "events")
    writers = [_writer(storage, "a"), _writer(storage, "b")]
    seen: list[bytes] = []
    for number in range(6):
        writers[number % 2].append(str(number).encode(), durable=True)
        seen += [line for _, line in reader.read_new()]
        assert reader.read_new() == []
    assert seen == [str(number).encode() for number in range(6)]
    for writer in writers:
        writer.close()


def test_no_line_is_lost_where_a_full_segment_is_followed_by_the_next(storage: Storage) -> None:
    lines = [f"{number:06d}".encode() * 3000 for number in range(40)]
    assert sum(map(len, lines)) > 2 * SEGMENT_BYTES
    reader = StreamReader(storage, "events")
    writer = _writer(storage)
    seen: list[bytes] = []
    for number, line in enumerate(lines):
        writer.append(line)
        if number % 7 == 0:
            seen += [line for _, line in reader.read_new()]
    writer.close()
    assert seen + [line for _, line in reader.read_new()] == lines
    assert len(storage.list("events")) == (1 if storage.is_local else 3)


def test_a_writer_that_comes_back_adds_and_erases_nothing(storage: Storage) -> None:
    for number in range(3):
        writer = _writer(storage)
        writer.append(str(number).encode(), durable=True)
        writer.close()
    assert _lines(storage) == [b"0", b"1", b"2"]


def test_a_writer_that_died_without_a_word_loses_nothing_that_was_durable(
    storage: Storage,
) -> None:
    first = _writer(storage)
    first.append(b"durable", durable=True)
    second = _writer(storage)
    second.append(b"after", durable=True)
    assert _lines(storage) == [b"durable", b"after"]
    second.close()
    first.close()


def test_nothing_is_written_after_the_end(storage: Storage) -> None:
    writer = _writer(storage)
    writer.append(b"before")
    writer.close()
    with pytest.raises(ValueError, match="is closed"):
        writer.append(b"after", durable=True)
    writer.flush()
    assert _lines(storage) == [b"before"]


def test_lines_of_many_threads_stay_whole(storage: Storage) -> None:
    writer = _writer(storage)

    def write(letter: str) -> None:
        for _ in range(20):
            writer.append((letter * 500).encode())

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    lines = _lines(storage)
    assert sorted(lines) == sorted((letter * 500).encode() for letter in "abcd" for _ in range(20))


def test_a_line_without_its_end_is_not_there_yet(local: LocalStorage) -> None:
    reader = StreamReader(local, "events")
    writer = _writer(local)
    writer.append(b"whole", durable=True)
    path = local.path("events/0001-w-0001.jsonl")
    with open(path, "ab") as file:
        file.write(b"half")
    assert [line for _, line in reader.read_new()] == [b"whole"]
    with open(path, "ab") as file:
        file.write(b" and the rest\n")
    assert [line for _, line in reader.read_new()] == [b"half and the rest"]
    writer.close()


@given(st.binary(max_size=40), st.integers(0, 3))
def test_whatever_a_death_leaves_behind_the_whole_lines_stay(
    tmp_path_factory: pytest.TempPathFactory, torn: bytes, num_whole: int
) -> None:
    storage = open_storage(tmp_path_factory.mktemp("torn"))
    whole = [b"line"] * num_whole
    torn = torn.replace(b"\n", b"")
    storage.write("events/0001-w-0001.jsonl", b"".join(line + b"\n" for line in whole) + torn)
    assert _lines(storage) == whole
    writer = _writer(storage)
    writer.append(b"new")
    writer.close()
    assert _lines(storage) == [*whole, b"new"]


@pytest.mark.parametrize("size", [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000])
def test_a_very_long_torn_line_is_dropped_whole(local: LocalStorage, size: int) -> None:
    for before, kept in ((b"", []), (b"kept\n", [b"kept"])):
        local.write("events/0001-w-0001.jsonl", before + b"x" * size)
        writer = _writer(local)
        writer.append(b"new")
        writer.close()
        assert _lines(local) == [*kept, b"new"]


def test_a_full_disk_leaves_whole_lines_only_and_takes_more_when_there_is_room(
    disks: Disks,
) -> None:
    point = disks.mount("size=64k")
    storage = open_storage(point)
    writer = _writer(storage)
    written = []
    with pytest.raises(StorageError, match="no space left on the device"):
        for number in range(1000):
            line = f"{number:04d}".encode() * 100
            writer.append(line, durable=True)
            written.append(line)
    assert 0 < len(written) < 1000
    assert _lines(storage) == written
    Path(point, "events", "0001-w-0001.jsonl").write_bytes(b"")
    writer.append(b"room again", durable=True)
    writer.close()
    assert _lines(storage) == [b"room again"]
