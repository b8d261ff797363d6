"""Which trials are given up early: Ray Tune's schedulers, fed from the ledger.

A judge speaks to them of trials by our numbers and of epochs, and tells each measurement once. A
new one, in an attempt after a kill, is first told everything that was measured before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from orchestrator.settings.search import Search, Stopping
from orchestrator.tuning.rungs import brackets, longest_epochs
from orchestrator.tuning.trials import Book, Fate, Trial

NUMBER, EPOCHS, VALUE = "number", "epochs", "value"
_BRACKETS = 3
_NOBODY = None  # the controller, which these schedulers do not ask


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A trial as a scheduler knows it, in this attempt or an earlier one."""

    trial_id: str


class Judge(FIFOScheduler):
    """Trials begin in their order; whether one goes on is the inner scheduler's to say."""

    def __init__(self, book: Book, *, is_loss: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._book, self._is_loss = book, is_loss
        self._inner: Any = make_scheduler(
            book.job.search, longest_epochs(book.job), is_loss=is_loss
        )
        self._heard: dict[int, float] = {}  # number → epochs
        self.given_up: set[int] = set()
        self._tell_again()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune keeps a copy of it that nobody reads

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return True

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result.get(VALUE) is None:
            return str(TrialScheduler.CONTINUE)
        known = self._book.trials[trial.config[NUMBER]]
        decision = self.hear(known, result[EPOCHS], result[VALUE])
        if decision == TrialScheduler.STOP:
            self.given_up.add(known.number)
        return decision

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """The last one counts for those that come after."""
        if result.get(VALUE) is not None:
            self.hear(self._book.trials[trial.config[NUMBER]], result[EPOCHS], result[VALUE])

    def hear(self, trial: Trial, epochs: float, value: float) -> str:
        """A measurement of a trial; what was heard before changes nothing."""
        if self._inner is None or trial.again_of is not None:
            return str(TrialScheduler.CONTINUE)
        if epochs <= self._heard.get(trial.number, -math.inf):
            return str(TrialScheduler.CONTINUE)
        known = self._known(trial.number)
        self._heard[trial.number] = epochs
        before = [one for at, one in trial.measured if at <= epochs]
        best = (min if self._is_loss else max)([value, *before])
        return str(self._inner.on_trial_result(_NOBODY, known, {EPOCHS: epochs, VALUE: best}))

    def _known(self, number: int) -> _Known:
        known = _Known(trial_id=f"{number:04d}")
        if number not in self._heard and self._inner is not None:
            state = np.random.get_state()  # the bracket is drawn from numpy's global numbers
            np.random.seed([self._book.job.search.seed, number])
            self._inner.on_trial_add(_NOBODY, known)
            np.random.set_state(state)
        return known

    def _tell_again(self) -> None:
        """In the order in which it was, so that every decision is what it was."""
        decisions = {}
        for number, epochs, value in self._book.measurements:
            decisions[number] = self.hear(self._book.trials[number], epochs, value)
        for number, decision in decisions.items():
            trial = self._book.trials[number]
            if decision == TrialScheduler.STOP and not trial.is_over:
                # It was killed between the word of the scheduler and that of the ledger.
                self._book.ended(number, Fate.STOPPED, value=trial.latest, reason=reason(trial))


def reason(trial: Trial) -> str:
    return f"given up after {trial.epochs:g} epochs"


def make_scheduler(search: Search, longest: float, *, is_loss: bool) -> TrialScheduler | None:
    mode = "min" if is_loss else "max"
    if search.scheduler is Stopping.NONE or longest <= search.grace_epochs:
        return None
    if search.scheduler is Stopping.MEDIAN:
        never: dict[str, Any] = {"min_time_slice": math.inf}  # pauses a trial for want of others
        return MedianStoppingRule(
            time_attr=EPOCHS,
            metric=VALUE,
            mode=mode,
            grace_period=search.grace_epochs,
            **never,
        )
    epochs: dict[str, Any] = {"max_t": longest, "grace_period": search.grace_epochs}
    return AsyncHyperBandScheduler(
        time_attr=EPOCHS,
        metric=VALUE,
        mode=mode,
        reduction_factor=search.reduction,
        brackets=brackets(search, longest),
        **epochs,  # need not be whole
    )
