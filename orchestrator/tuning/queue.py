"""Between Ray Tune and the ledger: Tune asks for a trial whenever there is room, and tells what
came of it; here both become words in the ledger. Which trial is next, `supply.py` says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from orchestrator.tuning.judge import EPOCHS, NUMBER, VALUE, Judge, reason
from orchestrator.tuning.supply import Supply
from orchestrator.tuning.trials import Book, Fate, Trial

POINT, UNTIL = "point", "until"  # of a population's trial: its settings now, where it rests
HasRoom = Callable[[int], bool]  # for one more beside so many


class Queue(Searcher):
    def __init__(self, supply: Supply, *, has_room: HasRoom, is_over: Callable[[], bool]) -> None:
        super().__init__()
        self._supply = supply
        self._has_room, self._is_over = has_room, is_over
        self._live: dict[str, int] = {}  # Tune's id → our number

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune keeps a copy of it that nobody reads

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        return True

    def save(self, checkpoint_path: str) -> None: ...

    def suggest(self, trial_id: str) -> Any:
        """None: not now; FINISHED: never again."""
        if self._is_over():
            return Searcher.FINISHED
        if self._live and not self._has_room(len(self._live)):
            return None
        trial = self._supply.next(set(self._live.values()))
        if trial is None:
            return None if self._live else Searcher.FINISHED
        self._live[trial_id] = trial.number
        if (until := self._supply.until()) is None:
            return {NUMBER: trial.number}
        # As one value: Tune would take a mapping apart.
        return {NUMBER: trial.number, UNTIL: until, POINT: json.dumps(trial.point)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._live.pop(trial_id, None)


class Scribe(Callback):
    """Writes down what Tune is told."""

    def __init__(self, book: Book, judge: Judge, told: Callable[[Trial], None]) -> None:
        self._book, self._judge, self._told = book, judge, told
        self._losses: Counter[int] = Counter()  # of trials whose group of workers went
        self.refused = ""
        self.unplaced = ""  # nothing runs, and there is no room for what would

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        number = trial.config[NUMBER]
        if result.get(VALUE) is not None:
            self._book.measured(number, result[EPOCHS], result[VALUE])
        end = result.get("end", "")
        if end == "refused":
            self.refused = result["reason"]
        elif end == "unplaced":
            if not any(each is not trial and each.status == "RUNNING" for each in trials):
                self.unplaced = result["reason"]
        elif end == "lost":
            self._lose(number, result["reason"])
        elif end == "finished":
            self._end(number, Fate.FINISHED, result.get(VALUE), result["reason"])
        elif end == "failed":
            self._end(number, Fate.FAILED, None, result["reason"])

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        known = self._book.trials[trial.config[NUMBER]]
        if known.number in self._judge.given_up and not known.is_over:
            self._end(known.number, Fate.STOPPED, known.latest, reason(known))

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._book.lost(trial.config[NUMBER])

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Its worker died, again and again: a trial that fails says so itself."""
        said = str(trial.get_error() or "its worker died").strip().splitlines()
        self._end(trial.config[NUMBER], Fate.FAILED, None, said[-1] if said else "")

    def _lose(self, number: int, why: str) -> None:
        """The queue hands it out again, as any that is open."""
        self._losses[number] += 1
        allowed = self._book.job.recovery.infrastructure
        if self._losses[number] <= allowed:
            self._book.lost(number)
            return
        told = f"its workers were lost {self._losses[number]} times"
        rule = f"recovery.infrastructure={allowed} allows no further try. The last time: {why}"
        self._end(number, Fate.FAILED, None, f"{told}; {rule}")

    def _end(self, number: int, fate: Fate, value: float | None, why: str) -> None:
        self._told(self._book.ended(number, fate, value=value, reason=why))
