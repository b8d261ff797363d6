"""The ledger of a sweep: read again it is the same, and each trial ends once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.runs.ledger import read_events
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.kinds import thaw
from orchestrator.settings.search import SearchKind
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.supply import finals
from orchestrator.tuning.sweep import adopt
from orchestrator.tuning.trials import Fate, num_wanted, ranked, trials_of
from orchestrator.tuning.winner import clear_folders, winner_of
from tests.tuning.making import a_book, a_sweep, a_trial


def test_who_reads_the_ledger_knows_what_its_writer_knew(local: LocalStorage) -> None:
    job = a_sweep()
    with a_book(local, job) as book:
        for number in range(4):
            book.propose({"optim.lr": 1e-4 / 3 * (number + 1)}, seed=1)
        book.measured(1, 1.0, 0.25)
        book.measured(1, 2.0, 0.5)
        book.measured(1, 1.0, 0.75)  # again, after a kill
        book.ended(1, Fate.FINISHED, value=0.5)
        book.ended(2, Fate.FAILED, reason="too hot")
        book.ended(3, Fate.FINISHED, value=float("nan"))
        known = book.all()
    assert known[1].measured == ((1.0, 0.25), (2.0, 0.5))
    read = trials_of(read_events(local)).values()
    for wrote, found in zip(known, read, strict=True):
        assert (found.number, found.point, found.fate) == (wrote.number, wrote.point, wrote.fate)
        assert (found.measured, found.value) == (wrote.measured, wrote.value)
    with a_book(local, job, attempt=2) as book:
        assert book.propose({"optim.lr": 1e-4}, seed=1).number == 4


def test_what_a_trial_left_whole_is_not_done_again(local: LocalStorage) -> None:
    job = a_sweep()
    with a_book(local, job) as book:
        for number in range(2):
            book.propose({"optim.lr": 1e-4 * (number + 1)}, seed=1)
        result = {"metrics": {"validation": {"accuracy": 0.5}}, "chosen_by": "accuracy"}
        local.write("trials/0001/result.json", json.dumps(result).encode())
        adopt(book, local)
        assert [trial.fate for trial in book.all()] == [Fate.OPEN, Fate.FINISHED]
        assert book.trials[1].value == 0.5


def test_a_folder_holds_the_job_of_its_trial(local: LocalStorage) -> None:
    with a_book(local, a_sweep()) as book:
        trial = book.propose({"optim.lr": 3e-4}, seed=5)
        assert book.make_folder(trial) == []
        job = thaw(local.read(f"{trial.folder}/job.yaml").decode())
        assert (job.kind, job.optim.lr, job.seed) == ("finetune", 3e-4, 5)  # type: ignore[attr-defined]
        odd = book.propose({"optim.lr": -1.0}, seed=5)
        assert "above 0" in book.make_folder(odd)[0]


def test_an_extended_sweep_wants_more_but_not_more_than_there_is(local: LocalStorage) -> None:
    grid = {"optim": {"lr": {"choice": [1e-5, 1e-4, 1e-3]}}}
    assert num_wanted(a_sweep(space=grid, trials=None, kind=SearchKind.GRID), ()) == 3
    assert num_wanted(a_sweep(trials=None), ()) == 20
    with a_book(local, a_sweep()) as book:
        book._ledger.record("sweep_extended", trials=5)
    assert num_wanted(a_sweep(trials=8), read_events(local)) == 13
    assert num_wanted(a_sweep(space=grid, trials=2), read_events(local)) == 3


@pytest.mark.parametrize("is_loss", [False, True])
def test_the_best_median_of_finalists_wins(is_loss: bool) -> None:
    job = a_sweep(finalists=2, finalist_seeds=2)
    sign = -1 if is_loss else 1
    found = [
        *(a_trial(n, fate=Fate.FINISHED, value=sign * v) for n, v in enumerate((0.9, 0.8, 0.1))),
        a_trial(3, fate=Fate.STOPPED, value=sign * 2.0),
    ]
    assert finals(job, found, is_loss=is_loss) == [(0, 2), (0, 3), (1, 2), (1, 3)]
    for number, (again_of, value) in enumerate(((0, 0.1), (0, 0.2), (1, 0.7), (1, 0.85)), 4):
        seed = 2 + number % 2
        trial = a_trial(
            number, fate=Fate.FINISHED, value=sign * value, again_of=again_of, seed=seed
        )
        found.append(trial)
    assert finals(job, found, is_loss=is_loss) == []
    winner = winner_of(job, found, is_loss=is_loss)
    assert winner is not None
    assert (winner.chosen.number, winner.value) == (1, sign * 0.8)
    assert winner.trial.number == 7  # the best of its seeds has the model
    alone = winner_of(a_sweep(), found, is_loss=is_loss)
    assert alone is not None and alone.chosen.number == 0


def test_a_sweep_without_a_value_has_no_winner() -> None:
    trials = [a_trial(0, fate=Fate.FAILED), a_trial(1, fate=Fate.FINISHED, value=None)]
    assert winner_of(a_sweep(), trials, is_loss=False) is None
    assert ranked(trials, is_loss=False) == []


@pytest.mark.parametrize("is_over", [False, True])
def test_disk_is_bounded_by_the_best(local: LocalStorage, is_over: bool) -> None:
    job = a_sweep(keep_models=2)
    fates = [Fate.FINISHED] * 4 + [Fate.STOPPED, Fate.FAILED]
    with a_book(local, job) as book:
        for number, fate in enumerate(fates):
            trial = book.propose({"optim.lr": 1e-4 * (number + 1)}, seed=1)
            for name in ("checkpoints/step-000001/COMMIT", "export/config.json", "metrics/a"):
                local.write(f"{trial.folder}/{name}", b"{}")
            book.ended(number, fate, value=0.1 * number if number < 5 else None)
        book.propose({"optim.lr": 1e-3}, seed=1)
        local.write("trials/0006/checkpoints/step-000001/COMMIT", b"{}")
        clear_folders(local, book, is_loss=False, is_over=is_over)
    left = {path.parent.name for path in Path(local.uri).glob("trials/*/export")}
    assert left == {"0002", "0003"} | (set() if is_over else {"0004"})
    left = {path.parent.name for path in Path(local.uri).glob("trials/*/checkpoints")}
    assert left == {"0006"} | (set() if is_over else {"0004"})  # what goes on keeps its own
    assert len(list(Path(local.uri).glob("trials/*/metrics"))) == 6


def test_a_point_that_the_schema_refuses_is_found(local: LocalStorage) -> None:
    job: SweepJob = a_sweep()
    trial, findings = job.trial({"transfer.way": "nothing"})
    assert trial is None and "transfer.way" in str(findings[0])
