from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs.ledger import Event, Ledger, LedgerReader, read_events
from orchestrator.runs.segments import StreamWriter
from orchestrator.runs.storage import LocalStorage, Storage, open_storage

FILE = "events/0001-w-0001.jsonl"


def _write(storage: Storage, events: list[Event]) -> None:
    """Events with times of our choosing, by writers of their own."""
    for attempt, writer in dict.fromkeys((event.attempt, event.writer) for event in events):
        stream = StreamWriter(storage, "events", attempt=attempt, writer=writer)
        for event in events:
            if (event.attempt, event.writer) == (attempt, writer):
                stream.append(json.dumps(event.to_plain()).encode())
        stream.close()


# ----- writing


def test_an_event_is_durable_and_readable_when_record_returns(storage: Storage) -> None:
    ledger = Ledger(storage, attempt=2, writer="driver")
    recorded = [ledger.record("running", workers=3), ledger.record("noted", text="é ☃\n")]
    assert read_events(storage) == recorded
    assert [(event.seq, event.attempt, event.writer) for event in recorded] == [
        (1, 2, "driver"),
        (2, 2, "driver"),
    ]
    ledger.close()


def test_numbers_go_on_where_a_writer_comes_back_and_start_anew_for_another(
    storage: Storage,
) -> None:
    for writer in ("a", "a", "b", "a"):
        ledger = Ledger(storage, attempt=1, writer=writer)
        ledger.record("x")
        ledger.close()
    events = read_events(storage)
    assert [event.seq for event in events if event.writer == "a"] == [1, 2, 3]
    assert [event.seq for event in events if event.writer == "b"] == [1]


def test_a_number_is_never_given_twice_even_where_one_is_missing(local: LocalStorage) -> None:
    ledger = Ledger(local, attempt=1, writer="a")
    for _ in range(3):
        ledger.record("x")
    ledger.close()
    path = local.path("events/0001-a-0001.jsonl")
    first, _, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\0\0\0\n" + third)
    ledger = Ledger(local, attempt=1, writer="a")
    ledger.record("x")
    ledger.close()
    assert [event.seq for event in read_events(local)] == [1, 3, 4]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(
            lambda name: name not in ("seq", "time", "kind")
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(st.characters()),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner),
            max_leaves=4,
        ),
        max_size=3,
    )
)
def test_fields_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, object]
) -> None:
    storage = open_storage(tmp_path_factory.mktemp("fields"))
    ledger = Ledger(storage, attempt=1, writer="w")
    ledger.record("x", **fields)
    ledger.close()
    (event,) = read_events(storage)
    assert event.fields == fields


def test_a_file_name_that_is_no_text_does_not_stop_the_ledger(storage: Storage) -> None:
    odd = b"caf\xe9.txt".decode(errors="surrogateescape")
    ledger = Ledger(storage, attempt=1, writer="w")
    ledger.record("failed", reason=f"{odd} is gone", where=Path("/x"))
    ledger.close()
    (event,) = read_events(storage)
    assert event.fields == {"reason": f"{odd} is gone", "where": "/x"}


@pytest.mark.parametrize("name", ["seq", "attempt", "writer", "time"])
def test_a_field_cannot_stand_in_for_the_events_own(local: LocalStorage, name: str) -> None:
    ledger = Ledger(local, attempt=1, writer="w")
    with pytest.raises(ValueError, match=f"its own {name}"):
        ledger.record("x", **{name: 5})
    ledger.close()
    assert read_events(local) == []


# ----- torn files


@pytest.mark.slow
def test_torn_last_line_is_ignored_and_repaired_at_every_byte(tmp_path: Path) -> None:
    """Wherever a death cuts the file: whole events survive, the torn one goes, new ones follow."""
    storage = open_storage(tmp_path / "run")
    ledger = Ledger(storage, attempt=1, writer="driver")
    events = [ledger.record("running", text="é" * number, n=number) for number in range(4)]
    ledger.close()
    path = tmp_path / "run" / "events" / "0001-driver-0001.jsonl"
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        survivors = events[: data[:cut].count(b"\n")]
        assert read_events(storage) == survivors
        ledger = Ledger(storage, attempt=1, writer="driver")
        new = ledger.record("finished")
        ledger.close()
        assert new.seq == len(survivors) + 1
        assert read_events(storage) == [*survivors, new]


@given(st.data())
def test_bytes_lost_anywhere_cost_only_the_lines_that_they_were_in(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    storage = open_storage(tmp_path_factory.mktemp("lost"))
    events = [
        Event(seq=number, attempt=1, writer="w", time=float(number), kind="x")
        for number in range(1, 6)
    ]
    _write(storage, events)
    whole = storage.read(FILE)
    start = data.draw(st.integers(0, len(whole) - 1))
    size = data.draw(st.integers(1, len(whole) - start))
    storage.write(FILE, whole[:start] + b"\0" * size + whole[start + size :])
    first, last = whole[:start].count(b"\n"), whole[: start + size].count(b"\n")
    assert read_events(storage) == events[:first] + events[last + 1 :]


OWN = st.sampled_from(["seq", "attempt", "writer", "time", "kind", "x"])
JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(OWN, inner),
    max_leaves=8,
)


@given(st.binary() | JSON.map(lambda plain: json.dumps(plain).encode()))
def test_a_line_is_an_event_or_none_never_an_exception(line: bytes) -> None:
    event = Event.from_line(line)
    assert event is None or event.time >= 0 or event.time < 0


# ----- order

TIMES = st.lists(st.integers(0, 50), min_size=1, max_size=6)


@given(st.lists(TIMES, min_size=1, max_size=4), st.booleans())
def test_events_of_all_writers_are_merged_by_time_and_each_writers_order_is_kept(
    tmp_path_factory: pytest.TempPathFactory, clocks: list[list[int]], is_sane: bool
) -> None:
    """Sane clocks: sorted by time. A clock that was set back does not change a writer's order."""
    storage = open_storage(tmp_path_factory.mktemp("order"))
    written = [
        Event(seq=seq, attempt=1, writer=f"w{number}", time=float(moment), kind="x")
        for number, times in enumerate(clocks)
        for seq, moment in enumerate(sorted(times) if is_sane else times, start=1)
    ]
    _write(storage, written)
    merged = read_events(storage)
    assert sorted(merged, key=lambda e: (e.writer, e.seq)) == written
    for number in range(len(clocks)):
        own = [event.seq for event in merged if event.writer == f"w{number}"]
        assert own == sorted(own)
    if is_sane:
        assert [event.time for event in merged] == sorted(event.time for event in merged)


def test_a_reader_that_follows_gets_every_event_once(storage: Storage) -> None:
    reader = LedgerReader(storage)
    assert reader.read_new() == []
    driver = Ledger(storage, attempt=1, writer="driver")
    client = Ledger(storage, attempt=0, writer="client")
    seen = []
    for number in range(4):
        (driver if number % 2 else client).record("x", n=number)
        seen += reader.read_new()
    assert [event.fields["n"] for event in seen] == [0, 1, 2, 3]
    assert reader.read_new() == []
    driver.close()
    client.close()


@given(
    st.builds(
        Event,
        seq=st.integers(1),
        attempt=st.integers(0),
        writer=st.text(),
        time=st.floats(0, 1e12),
        kind=st.text(),
        fields=st.dictionaries(st.sampled_from(["a", "b"]), st.integers()),
    )
)
def test_an_event_is_read_back_from_its_line(event: Event) -> None:
    assert Event.from_line(json.dumps(event.to_plain()).encode()) == event
