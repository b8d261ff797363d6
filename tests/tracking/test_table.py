from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs import layout
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.tracking.metrics import MetricsWriter, read_metrics
from orchestrator.tracking.table import Columns, MetricTable, is_effective

NAMES = ("train/loss", "eval/loss", "rank/0/cpu")


def write(run: Storage, attempt: int, steps: list[int], writer: str = "rank-000") -> None:
    metrics = MetricsWriter(run, attempt=attempt, writer=writer)
    for step in steps:
        metrics.write(step, {"train/loss": attempt + step / 1000}, tokens=step * 64)
    metrics.close()


def read(run: Storage, **how: Any) -> Columns:
    table = MetricTable(run)
    table.read_new()
    return table.columns(**how)


def file_of(run: LocalStorage) -> Path:
    return run.path(f"{layout.METRICS}/0001-rank-000-0001.jsonl")


def line_of(*names: str) -> Callable[[dict[str, float], random.Random], str]:
    def text(own: dict[str, float], chance: random.Random) -> str:
        values = {name: chance.choice([None, 3, -1e-9, chance.random()]) for name in names}
        return json.dumps({**own, "values": values})

    return text


KINDS = (
    line_of("train/loss", "train/lr"),
    line_of("train/lr", "train/loss"),  # as many, in another order
    line_of("eval/loss", "a b, {c}: 5"),
    line_of("train/loss"),
    line_of(),
    lambda own, _: json.dumps({**own, "values": {"word": "loss", "train/loss": 5}}),
    lambda own, _: json.dumps(own | {"values": {"train/loss": 5}}, separators=(",", ":")),
    lambda own, _: json.dumps(own | {"values": {"train/loss": 5}})[:-9],
    lambda own, _: "\0" * 40,
    lambda own, _: json.dumps({"values": {"train/loss": 5.5}, **own}),
)
values = st.dictionaries(
    st.sampled_from(NAMES), st.floats() | st.integers(-(2**53), 2**53), max_size=3
)
written = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), values), max_size=12)


@given(written)
def test_columns_say_what_lines_say(
    tmp_path_factory: Any, written: list[tuple[int, int, dict[str, float]]]
) -> None:
    run = open_storage(tmp_path_factory.mktemp("run"))
    for attempt in (1, 2, 3):
        writer = MetricsWriter(run, attempt=attempt, writer="driver")
        for _, step, found in (one for one in written if one[0] == attempt):
            writer.write(step, found, tokens=step)
        writer.close()
    lines, columns = read_metrics(run), read(run, names=NAMES, repeated=True)
    assert [line["step"] for line in lines] == columns.step.tolist()
    assert [line["attempt"] for line in lines] == columns.attempt.tolist()
    assert [line["time"] for line in lines] == columns.time.tolist()
    for name in NAMES:
        for line, value in zip(lines, columns.values[name].tolist(), strict=True):
            told = line["values"].get(name)
            assert math.isnan(value) if told is None else value == told


def test_what_came_since_is_all_that_is_read(storage: Storage) -> None:
    run, table = storage.child("run"), MetricTable(storage.child("run"))
    assert table.read_new() == 0
    assert len(table.columns()) == 0
    for attempt, steps in enumerate(([1, 2], [3], [4, 5, 6]), start=1):
        write(run, attempt, steps)
        assert table.read_new() == len(steps)
        assert table.read_new() == 0
    now, again = table.columns(), read(run)
    assert now.step.tolist() == again.step.tolist() == [1, 2, 3, 4, 5, 6]
    assert now.values["train/loss"].tolist() == again.values["train/loss"].tolist()


def test_a_line_is_read_when_it_is_whole(local: LocalStorage) -> None:
    write(local, 1, [])
    table = MetricTable(local)
    lines = b"".join(
        b'{"step":%d,"attempt":1,"time":1.0,"tokens":0,"values":{"train/loss":%d}}\n' % pair
        for pair in ((1, 5), (2, 7))
    )
    whole = lines.index(b"\n") + 1
    cuts = (0, whole + 20, len(lines) - 1, len(lines))
    for begin, end, new in zip(cuts, cuts[1:], (1, 0, 1), strict=False):
        with open(file_of(local), "ab") as file:
            file.write(lines[begin:end])
        assert table.read_new() == new
    assert table.columns().values["train/loss"].tolist() == [5.0, 7.0]


def test_a_damaged_line_costs_itself_only(local: LocalStorage) -> None:
    write(local, 1, [1, 2, 3])
    damaged = file_of(local).read_bytes().splitlines(keepends=True)
    damaged[1] = b"\0" * (len(damaged[1]) - 1) + b"\n"
    no_step = b'{"attempt":1,"time":1.0,"tokens":0,"values":{}}\n'
    file_of(local).write_bytes(b"".join(damaged) + no_step)
    assert read(local).step.tolist() == [1, 3]


def test_of_repeated_steps_the_newest_attempt_counts(local: LocalStorage) -> None:
    write(local, 1, [1, 2, 3, 4, 5])
    write(local, 2, [4, 5, 6])
    write(local, 3, [3])
    columns = read(local)
    assert list(zip(columns.attempt.tolist(), columns.step.tolist(), strict=True)) == [
        *((1, 1), (1, 2), (3, 3))
    ]
    assert len(read(local, repeated=True)) == 9


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 20)), min_size=1, max_size=30))
def test_no_step_counts_after_a_later_attempt_began_before_it(rows: list[tuple[int, int]]) -> None:
    attempt, step = np.array(rows, np.int64).T
    kept = is_effective(attempt, step)
    for a, s, counts in zip(attempt, step, kept, strict=True):
        begun = step[attempt > a]
        assert counts == (not len(begun) or s < begun.min())


def test_blocks_of_any_size_say_the_same(local: LocalStorage) -> None:
    """A number that is whole in the first lines and not later is one column all the same."""
    write(local, 1, [])
    with open(file_of(local), "w") as file:
        for step in range(30_000):
            found = {"train/loss": 3 if step < 25_000 else 2.5, f"rare/{step // 9999}": 1}
            own = {"step": step, "attempt": 1, "time": 1.5, "tokens": 0}
            file.write(json.dumps({**own, "values": found}) + "\n")
    columns = read(local)
    assert columns.values["train/loss"].sum() == 3 * 25_000 + 2.5 * 5_000
    assert np.isnan(columns.values["rare/2"]).sum() == 30_000 - 9_999
    assert columns.to_pandas()["rare/3"].notna().sum() == 3


def test_a_glance_has_the_ends_and_says_what_the_whole_says(local: LocalStorage) -> None:
    write(local, 1, list(range(1, 20_001)))
    write(local, 2, list(range(15_001, 20_001)))
    write(local, 3, [19_999, 20_000])
    table = MetricTable(local)
    some, unread = table.glance(["train/loss"]), table.unread_bytes()
    assert table.read_new() == 25_002
    assert unread == sum(path.stat().st_size for path in file_of(local).parent.iterdir())
    assert table.unread_bytes() == 0
    whole = table.columns(["train/loss"])
    assert (some.step[0], some.step[-1]) == (1, 20_000)
    assert 1000 < len(some) < len(whole)
    rows = {step: row for row, step in enumerate(whole.step.tolist())}
    same = [rows[step] for step in some.step.tolist()]
    assert some.attempt.tolist() == whole.attempt[same].tolist()
    assert some.values["train/loss"].tolist() == whole.values["train/loss"][same].tolist()


@given(st.integers(0, 2**32))
def test_lines_of_many_kinds_are_read_as_json_reads_them(tmp_path_factory: Any, seed: int) -> None:
    """Names that come and go, as many others instead, other orders, nulls, words, lost bytes."""
    chance = random.Random(seed)
    kinds = chance.sample(KINDS, k=3)
    run = open_storage(tmp_path_factory.mktemp("run"))
    assert isinstance(run, LocalStorage)
    write(run, 1, [])
    with open(file_of(run), "w") as file:
        for step in range(1000):
            kind = kinds[0] if chance.random() < 0.9 else chance.choice(KINDS)
            own = {"step": step // 3, "attempt": 1, "time": step / 7, "tokens": step}
            file.write(kind(own, chance) + "\n")
    lines, columns = read_metrics(run), read(run, repeated=True)
    assert columns.tokens.tolist() == [line["tokens"] for line in lines]
    assert columns.time.tolist() == [line["time"] for line in lines]
    for name in {name for line in lines for name in line["values"]} - {"word"}:
        told = [line["values"].get(name) for line in lines]
        found = [None if math.isnan(value) else value for value in columns.values[name].tolist()]
        assert found == told, name
