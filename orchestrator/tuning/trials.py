"""The trials of a sweep as its ledger tells them: what was proposed, measured, and how it ended.

The ledger is the truth: an attempt that follows a kill reads it and goes on, `sweep status` reads
it when nobody runs. Ray Tune's own files are thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.ledger import Event, Ledger
from orchestrator.runs.result import read_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.kinds import freeze
from orchestrator.settings.search import Beside, SearchKind
from orchestrator.settings.space import Point
from orchestrator.settings.sweep import POPULATION, TRIALS, SweepJob

PROPOSED, MEASURED, ENDED = "trial_proposed", "trial_measured", "trial_ended"
LOST = "trial_lost"
TOOK_OVER = "trial_took_over"
GENERATION = "generation_ended"  # who takes over what is decided and done
EXTENDED = "sweep_extended"
COSTS = {Beside.TIME: "trained_s", Beside.SIZE: "trained_weights"}  # as results name them


class Fate(StrEnum):
    OPEN = "open"
    FINISHED = "finished"
    STOPPED = "stopped"  # given up by the scheduler
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        return self is not Fate.OPEN


@dataclass(frozen=True, kw_only=True)
class Leg:
    """Of a population's trial: with which settings it went on, and whose weights it took for it."""

    epochs: float  # at which it began
    point: Point
    source: int | None = None  # None: its own
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    number: int
    point: Point  # of the last leg, where it has several
    seed: int
    again_of: int | None = None  # of a finalist: the trial whose settings it has
    fate: Fate = Fate.OPEN
    measured: tuple[tuple[float, float], ...] = ()  # epochs, value; in the order of epochs
    value: float | None = None  # once it has ended: by which it is compared
    reason: str = ""
    took_s: float | None = None
    costs: Mapping[Beside, float] = field(default_factory=dict)  # of one that finished
    ended: float | None = None  # when, since the epoch
    taken: tuple[Leg, ...] = ()  # all legs but the first
    first: Point | None = None  # what it began with, once it has taken over something

    @property
    def legs(self) -> tuple[Leg, ...]:
        return (
            Leg(epochs=0.0, point=self.point if self.first is None else self.first),
            *self.taken,
        )

    @property
    def folder(self) -> str:
        return layout.trial(self.number)

    @property
    def epochs(self) -> float:
        return self.measured[-1][0] if self.measured else 0.0

    @property
    def is_over(self) -> bool:
        return self.fate is not Fate.OPEN

    @property
    def latest(self) -> float | None:
        return self.measured[-1][1] if self.measured else None


def trials_of(events: Iterable[Event]) -> dict[int, Trial]:
    """By number, in the order in which they were proposed."""
    trials: dict[int, Trial] = {}
    began: dict[int, float] = {}
    for event in events:
        said = event.fields
        if event.kind == PROPOSED:
            number = int(said["trial"])
            trials.setdefault(
                number,
                Trial(
                    number=number,
                    point=dict(said["point"]),
                    seed=int(said["seed"]),
                    again_of=said.get("again_of"),
                ),
            )
            began[number] = event.time
        elif event.kind == MEASURED and said["trial"] in trials:
            trial = trials[said["trial"]]
            trials[trial.number] = with_measured(trial, said["epochs"], said["value"])
        elif event.kind == ENDED and said["trial"] in trials:
            trial = trials[said["trial"]]
            if not trial.is_over:
                trials[trial.number] = replace(
                    trial,
                    fate=Fate(said["fate"]),
                    value=said.get("value"),
                    reason=said.get("reason", ""),
                    took_s=event.time - began[trial.number],
                    costs=_costs(said),
                    ended=event.time,
                )
        elif event.kind == TOOK_OVER and said["trial"] in trials:
            trial = trials[said["trial"]]
            trials[trial.number] = with_leg(trial, _leg(said))
    return dict(sorted(trials.items()))


def with_measured(trial: Trial, epochs: float, value: float) -> Trial:
    """What was measured before a kill is measured again after it: the first word counts."""
    if epochs <= trial.epochs:
        return trial
    return replace(trial, measured=(*trial.measured, (epochs, value)))


def with_leg(trial: Trial, leg: Leg) -> Trial:
    """From now on; what was decided before a kill is not decided again."""
    if trial.taken and leg.epochs <= trial.taken[-1].epochs:
        return trial
    first = trial.point if trial.first is None else trial.first
    return replace(trial, first=first, point=leg.point, taken=(*trial.taken, leg))


def _costs(said: Mapping[str, Any]) -> dict[Beside, float]:
    return {kind: said[name] for kind, name in COSTS.items() if said.get(name) is not None}


def _leg(said: Mapping[str, Any]) -> Leg:
    return Leg(
        epochs=float(said["epochs"]),
        point=dict(said["point"]),
        source=int(said["source"]),
        step=int(said["step"]),
    )


def num_wanted(job: SweepJob, events: Iterable[Event]) -> int:
    """How many configurations are tried, with those that `sweep extend` asked for."""
    space = job.read_space()
    is_grid = job.search.kind is SearchKind.GRID
    usual = POPULATION if job.search.kind.is_population else TRIALS
    usual = (space.size or TRIALS) if is_grid else usual
    asked = usual if job.budget.trials is None else job.budget.trials
    asked += sum(int(event.fields["trials"]) for event in events if event.kind == EXTENDED)
    return asked if space.size is None else min(asked, space.size)


def searched(trials: Iterable[Trial]) -> list[Trial]:
    """One for each configuration, without the finalists' further seeds."""
    return [trial for trial in trials if trial.again_of is None]


def ranked(trials: Iterable[Trial], *, is_loss: bool) -> list[Trial]:
    """Those that finished with a value, best first; among equals the earlier one."""
    done = [each for each in trials if each.fate is Fate.FINISHED and each.value is not None]
    sign = 1 if is_loss else -1
    return sorted(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


class Book:
    """The trials, and the pen of whoever runs them."""

    def __init__(
        self, run: Storage, ledger: Ledger, job: SweepJob, events: Sequence[Event]
    ) -> None:
        self.job = job
        self.trials = trials_of(events)
        self.num_wanted = num_wanted(job, events)
        self.cleared: set[int] = set()  # whose folders hold nothing more that could go
        self.measurements = [
            (int(said["trial"]), float(said["epochs"]), float(said["value"]))
            for said in (event.fields for event in events if event.kind == MEASURED)
        ]
        self.generations = sum(event.kind == GENERATION for event in events)
        self._run, self._ledger = run, ledger

    def all(self) -> list[Trial]:
        return list(self.trials.values())

    def propose(self, point: Point, *, seed: int, again_of: int | None = None) -> Trial:
        number = max(self.trials, default=-1) + 1
        trial = Trial(number=number, point=point, seed=seed, again_of=again_of)
        self._ledger.record(PROPOSED, trial=number, point=point, seed=seed, again_of=again_of)
        self.trials[number] = trial
        return trial

    def make_folder(self, trial: Trial) -> list[str]:
        """Its job.yaml, unless it is there. What is wrong with its settings, if something is."""
        name = f"{trial.folder}/{layout.JOB}"
        if self._run.exists(name):
            return []
        job, findings = self.job.trial(trial.point, seed=trial.seed)
        if job is not None and not findings:
            self._run.write(name, freeze(job).encode())
        return [str(finding) for finding in findings]

    def measured(self, number: int, epochs: float, value: float) -> None:
        after = with_measured(self.trials[number], epochs, value)
        if after is not self.trials[number]:
            self._ledger.record(MEASURED, trial=number, epochs=epochs, value=value)
            self.trials[number] = after

    def took_over(self, number: int, leg: Leg) -> None:
        after = with_leg(self.trials[number], leg)
        if after is not self.trials[number]:
            said = {"source": leg.source, "epochs": leg.epochs, "step": leg.step}
            before = self.trials[number].point
            self._ledger.record(TOOK_OVER, trial=number, **said, point=leg.point, before=before)
            self.trials[number] = after

    def end_generation(self) -> None:
        self.generations += 1
        self._ledger.record(GENERATION, generation=self.generations)

    def lost(self, number: int) -> None:
        """Its worker died; another one goes on from its last checkpoint."""
        self._ledger.record(LOST, trial=number)
        print(f"trial {number:04d} lost a worker and goes on with another", flush=True)

    def ended(
        self, number: int, fate: Fate, *, value: float | None = None, reason: str = ""
    ) -> Trial:
        known = None if value is None or not math.isfinite(value) else value
        said: dict[str, Any] = {"fate": fate.value, "value": known}
        if fate is Fate.FINISHED:
            result = read_result(self._run.child(layout.trial(number))) or {}
            said |= {name: result[name] for name in COSTS.values() if name in result}
        event = self._ledger.record(ENDED, trial=number, **said, reason=reason)
        after = replace(self.trials[number], fate=fate, value=known, reason=reason)
        self.trials[number] = replace(after, ended=event.time, costs=_costs(said))
        return self.trials[number]
