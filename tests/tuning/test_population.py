"""A population: who takes over from whom follows from the ledger; kills change nothing of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem

from orchestrator.errors import StorageError
from orchestrator.runs import layout
from orchestrator.runs.ledger import read_events
from orchestrator.runs.storage import LocalStorage, open_storage
from orchestrator.runs.writer import FileWriter
from orchestrator.settings.search import SearchKind
from orchestrator.settings.space import Point, read_space
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.generations import Generations, take_over
from orchestrator.tuning.population import evolve, perturbed, way_of
from orchestrator.tuning.trials import Book, Fate, Leg, Trial, trials_of, with_leg
from tests.tuning.making import a_book, a_sweep, a_trial

SPACE = {
    "optim": {
        "lr": {"log_uniform": [1e-5, 1e-3]},
        "weight_decay": {"uniform": [0.0, 0.1]},
        "betas": {"choice": [[0.9, 0.98], [0.9, 0.99], [0.9, 0.999]]},
    }
}
RANGES = {"optim": {"lr": {"log_uniform": [1e-5, 1e-3]}, "weight_decay": {"uniform": [0.0, 0.1]}}}


class Killed(Exception):
    """No word more."""


class Dying(LocalStorage):
    """A storage whose process is killed after so many files that it wrote or removed."""

    left: list[int]

    def child(self, path: str) -> Dying:
        root = str(self.path(path))
        inside = Dying(root, self._fs, root)
        inside.left = self.left
        return inside

    def open_writer(self, path: str) -> FileWriter:
        self._count()
        return super().open_writer(path)

    def remove(self, path: str) -> None:
        self._count()
        super().remove(path)

    def _count(self) -> None:
        if self.left[0] <= 0:
            raise Killed
        self.left[0] -= 1


def a_population(
    kind: SearchKind = SearchKind.PBT, *, trials: int = 6, **search: object
) -> SweepJob:
    space = RANGES if kind is SearchKind.PB2 else SPACE
    return a_sweep(space=space, trials=trials, kind=kind, **search)


def local_at(path: Path) -> LocalStorage:
    storage = open_storage(str(path))
    assert isinstance(storage, LocalStorage)
    return storage


def trained(run: LocalStorage, book: Book, trial: Trial, until: int, last: int) -> None:
    """Each epoch adds to its weights what it was and with which settings: all that it ever saw."""
    folder = local_at(run.path(trial.folder))
    for epoch in range(len(trial.measured) + 1, min(until, last) + 1):
        steps = folder.list(layout.CHECKPOINTS)
        before = folder.read(f"checkpoints/{steps[-1].name}/weights").decode() if steps else ""
        weights = f"{before}{trial.number}:{sorted(trial.point.items())}\n"
        name = layout.checkpoint(10 * epoch)
        folder.write(f"{name}/weights", weights.encode())
        folder.write(f"{name}/{layout.COMMIT}", b"{}")
        value = int(hashlib.sha256(weights.encode()).hexdigest()[:6], 16) / 2**24
        book.measured(trial.number, float(epoch), value)
        if epoch == last:
            book.ended(trial.number, Fate.FINISHED, value=value)


def played(run: Path, job: SweepJob, kills: Iterator[tuple[int, int]]) -> dict[int, str]:
    """To the end, by as many drivers as it takes; the weights of each trial."""
    attempt = 0
    while True:
        attempt += 1
        turns, files = next(kills, (10**9, 10**9))
        storage = Dying(str(run), LocalFileSystem(), str(run))
        storage.left = [files]
        with a_book(local_at(run), job, attempt=attempt) as book:
            supply, order = Generations(book, storage, is_loss=False), random.Random(attempt)
            try:
                while (first := supply.next(set())) is not None:
                    waiting = [first]  # several at a time, and they end in any order
                    while (trial := supply.next({each.number for each in waiting})) is not None:
                        waiting.append(trial)
                    order.shuffle(waiting)
                    for trial in waiting:
                        turns -= 1
                        if turns < 0:
                            raise Killed
                        trained(local_at(run), book, trial, supply.until() or 0, last=4)
            except Killed:
                continue
        folder = local_at(run)
        return {
            trial.number: folder.read(f"{trial.folder}/checkpoints/step-000040/weights").decode()
            for trial in book.all()
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [SearchKind.PBT, pytest.param(SearchKind.PB2, marks=pytest.mark.slow)]
)
def test_a_kill_at_any_moment_ends_with_the_same_population(
    tmp_path: Path, kind: SearchKind
) -> None:
    job = a_population(kind)
    straight = played(tmp_path / "straight", job, iter(()))
    kills = [(3, 99), (5, 1), (99, 0), (99, 1), (4, 99), (99, 3), (2, 2)]
    assert played(tmp_path / "killed", job, iter(kills)) == straight
    other = a_population(kind, seed=2)
    assert played(tmp_path / "other", other, iter(())) != straight
    assert any(
        len({line.partition(":")[0] for line in weights.splitlines()}) > 1
        for weights in straight.values()
    ), "nobody took over anything"


def test_the_way_that_is_told_is_the_way_that_the_weights_came(tmp_path: Path) -> None:
    job = a_population(trials=8)
    weights = played(tmp_path, job, iter(()))
    with a_book(local_at(tmp_path), job, attempt=9) as book:
        for number, found in weights.items():
            told = [
                f"{part.trial}:{sorted(part.point.items())}"
                for part in way_of(book.trials, number)
                for _ in range(round(part.end - part.begin))
            ]
            assert told == found.splitlines()


def standing(values: list[float], epochs: float = 1.0) -> list[Trial]:
    point: Point = {"optim.lr": 1e-4, "optim.weight_decay": 0.05, "optim.betas": [0.9, 0.99]}
    return [
        a_trial(number, point, measured=((epochs, value),)) for number, value in enumerate(values)
    ]


@pytest.mark.parametrize("is_loss", [False, True])
def test_the_worst_take_over_from_the_best(is_loss: bool) -> None:
    values = [0.5, 0.9, 0.1, 0.8, 0.2, 0.6, 0.4, 0.7]
    found = evolve(a_population(trials=8), standing(values), is_loss=is_loss)
    best, worst = ({2, 4}, {1, 3}) if is_loss else ({1, 3}, {2, 4})
    assert {number for number, _ in found} == worst
    assert {leg.source for _, leg in found} <= best
    assert all(leg.epochs == 1.0 for _, leg in found)
    assert evolve(a_population(trials=8), standing(values), is_loss=is_loss) == found


def test_who_is_no_worse_who_is_over_and_who_is_alone_take_over_nothing() -> None:
    job = a_population()
    assert evolve(job, standing([0.5, 0.5, 0.5]), is_loss=False) == []
    assert evolve(job, standing([0.5]), is_loss=False) == []
    failed = [*standing([0.5, 0.6]), a_trial(2, fate=Fate.FAILED, measured=((1.0, 0.0),))]
    assert [number for number, _ in evolve(job, failed, is_loss=False)] == [0]


@given(seed=st.integers(0, 2**31), resample=st.sampled_from([0.0, 0.5, 1.0]))
def test_what_is_moved_stays_in_the_space(seed: int, resample: float) -> None:
    job = a_population(resample=resample)
    space, chance = read_space(SPACE)[0], random.Random(seed)
    point = space.at(iter([0.0, 0.999, 0.5]))
    for _ in range(20):
        point = perturbed(space, job.search, point, chance)
        assert 1e-5 <= point["optim.lr"] <= 1e-3 and 0.0 <= point["optim.weight_decay"] <= 0.1
        assert point["optim.betas"] in SPACE["optim"]["betas"]["choice"]
        assert job.trial(point)[1] == []


def test_the_gaussian_process_goes_where_intervals_gained_most() -> None:
    """High rates gain, decay is of no account: proposals crowd where rates are high."""
    job = a_population(SearchKind.PB2, trials=10)
    space = job.read_space()
    trials = []
    for number in range(10):
        point = space.at(iter([number / 10, (7 * number % 10) / 10]))
        gain = 0.02 * number
        trials.append(a_trial(number, point, measured=((1.0, 0.5), (2.0, 0.5 + gain))))
    legs = [leg for seed in range(3) for _, leg in evolve(_seeded(seed), trials, is_loss=False)]
    assert all(leg.point["optim.lr"] > 3e-4 for leg in legs) and len(legs) == 6
    points = [tuple(leg.point.values()) for leg in legs]
    assert len(set(points)) == len(points), "two of one interval try the same"


def _seeded(seed: int) -> SweepJob:
    return a_population(SearchKind.PB2, trials=10, seed=seed)


def test_what_was_taken_over_is_in_the_ledger(local: LocalStorage) -> None:
    job = a_population()
    with a_book(local, job) as book:
        for number in range(2):
            book.propose({"optim.lr": 1e-4 * (number + 1)}, seed=1)
            book.measured(number, 1.0, float(number))
        leg = Leg(epochs=1.0, point={"optim.lr": 3e-4}, source=1, step=10)
        book.took_over(0, leg)
        book.took_over(0, leg)  # decided again after a kill
        book.end_generation()
        known = book.trials[0]
    with a_book(local, job, attempt=2) as book:
        assert book.trials[0].legs == known.legs
        assert book.generations == 1
    events = [event for event in read_events(local) if event.kind == "trial_took_over"]
    (event,) = events
    assert event.fields["before"] == {"optim.lr": 1e-4}
    assert (event.fields["source"], event.fields["step"]) == (1, 10)
    assert trials_of(events) == {}  # of a trial that nobody proposed
    assert with_leg(known, leg) is known


def test_nothing_of_its_own_stays_with_who_takes_over(local: LocalStorage) -> None:
    """A best checkpoint of another past would be gone back to."""
    for trial, steps in ((0, (10, 20)), (1, (5, 10, 20))):
        for step in steps:
            name = f"trials/{trial:04d}/{layout.checkpoint(step)}"
            local.write(f"{name}/weights", f"{trial} {step}".encode())
            local.write(f"{name}/{layout.COMMIT}", b"{}")
    source, target = local.child("trials/0000"), local.child("trials/0001")
    take_over(source, target, 20)
    assert [entry.name for entry in target.list(layout.CHECKPOINTS)] == [
        "step-000010",
        "step-000020",
    ]
    assert target.read("checkpoints/step-000010/weights") == b"0 10"
    with pytest.raises(StorageError, match="no checkpoint of step 30"):
        take_over(source, target, 30)
