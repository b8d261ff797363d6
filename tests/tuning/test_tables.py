"""A sweep in numbers: its own metrics and the files in its folder follow from the ledger."""

from __future__ import annotations

import csv
import json
from contextlib import closing

import pytest

from orchestrator.runs.ledger import read_events
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.sweep import SweepJob
from orchestrator.tracking.exhibits import list_exhibits
from orchestrator.tracking.metrics import read_metrics
from orchestrator.tuning.board import board_of
from orchestrator.tuning.tables import CURVES, IMPORTANCE, LEADERBOARD, Progression, write_tables
from orchestrator.tuning.trials import Book, Fate
from tests.tuning.making import a_book, a_sweep


def end(book: Book, number: int, value: float | None, fate: Fate = Fate.FINISHED) -> None:
    book.propose({"optim.lr": 1e-4 * (number + 1), "transfer.way": "full"}, seed=1)
    book.measured(number, 1.0, value or 0.0)
    book.ended(number, fate, value=value, reason="too hot" if fate is Fate.FAILED else "")


def test_each_trial_that_ended_has_one_line_whatever_was_killed(local: LocalStorage) -> None:
    job = a_sweep()
    with (
        a_book(local, job) as book,
        closing(Progression(local, attempt=1, is_loss=False)) as told,
    ):
        for number, value in enumerate((0.5, 0.75)):
            end(book, number, value)
            told.tell(book.all())
            told.tell(book.all())
        end(book, 2, None, Fate.FAILED)  # and killed before a line of it
    with (
        a_book(local, job, attempt=2) as book,
        closing(Progression(local, attempt=2, is_loss=False)) as told,
    ):
        told.tell(book.all())
        end(book, 3, 0.25)
        told.tell(book.all())
    lines = read_metrics(local)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["values"].get("sweep/value") for line in lines] == [0.5, 0.75, None, 0.25]
    assert [line["values"]["sweep/best"] for line in lines] == [0.5, 0.75, 0.75, 0.75]
    assert [line["values"]["sweep/failed"] for line in lines] == [0, 0, 1, 1]
    assert lines[3]["values"]["sweep/epochs"] == 4


def written(local: LocalStorage, job: SweepJob) -> list[dict[str, str]]:
    write_tables(local, board_of(job, read_events(local)))
    return list(csv.DictReader(local.read(LEADERBOARD).decode().splitlines()))


def test_the_leaderboard_has_every_trial_the_best_first(local: LocalStorage) -> None:
    job = a_sweep()
    with a_book(local, job) as book:
        for number, value in enumerate((0.5, 0.75, None)):
            end(book, number, value, Fate.FINISHED if value else Fate.FAILED)
    rows = written(local, job)
    assert [row["trial"] for row in rows] == ["0001", "0000", "0002"]
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert (rows[0]["accuracy"], rows[0]["optim.lr"]) == ("0.75", "0.0002")
    assert (rows[2]["fate"], rows[2]["reason"]) == ("failed", "too hot")
    assert rows[0]["inside"] == "trials/0001"
    curves = list(csv.DictReader(local.read(CURVES).decode().splitlines()))
    assert [(row["trial"], row["accuracy"]) for row in curves][:2] == [
        ("0000", "0.5"),
        ("0001", "0.75"),
    ]
    assert [exhibit.file for exhibit in list_exhibits(local)] == ["000003-leaderboard.table.json"]


@pytest.mark.slow
def test_what_mattered_is_said_from_eight_trials_on(local: LocalStorage) -> None:
    job = a_sweep(trials=8)
    with a_book(local, job) as book:
        for number in range(7):
            end(book, number, number / 10)
        write_tables(local, board_of(job, read_events(local)))
        assert not local.exists(IMPORTANCE)
        end(book, 7, 0.7)
    written(local, job)
    found = json.loads(local.read(IMPORTANCE))
    assert found["num_trials"] == 8
    assert found["shares"][0][0] == "optim.lr"
