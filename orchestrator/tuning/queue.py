"""Which trial is next: those that a kill left open, then new ones, then the finalists' seeds.

Ray Tune asks for a trial whenever there is room and tells what came of it; here both become words
in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.judge import EPOCHS, NUMBER, VALUE, Judge, reason
from orchestrator.tuning.propose import propose
from orchestrator.tuning.trials import Book, Fate, Trial, ranked, searched

HasRoom = Callable[[int], bool]  # for one more beside so many


class Queue(Searcher):
    def __init__(
        self, book: Book, *, is_loss: bool, has_room: HasRoom, is_over: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._book, self._is_loss = book, is_loss
        self._has_room, self._is_over = has_room, is_over
        self._space = book.job.read_space()
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
        trial = self._next()
        if trial is None:
            return None if self._live else Searcher.FINISHED
        self._live[trial_id] = trial.number
        return {NUMBER: trial.number}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._live.pop(trial_id, None)

    def _next(self) -> Trial | None:
        running = set(self._live.values())
        for trial in self._book.all():
            if not trial.is_over and trial.number not in running and self._is_made(trial):
                return trial
        while len(searched(self._book.all())) < self._book.num_wanted:
            trials, job = self._book.all(), self._book.job
            point = propose(self._space, job.search, trials, is_loss=self._is_loss)
            if point is None:
                break
            trial = self._book.propose(point, seed=job.seed)
            if self._is_made(trial):
                return trial
        if all(trial.is_over for trial in searched(self._book.all())):
            for again_of, seed in finals(self._book.job, self._book.all(), is_loss=self._is_loss):
                point = self._book.trials[again_of].point
                trial = self._book.propose(point, seed=seed, again_of=again_of)
                if self._is_made(trial):
                    return trial
        return None

    def _is_made(self, trial: Trial) -> bool:
        """Settings that do not go together are a failed trial, not a failed sweep."""
        if problems := self._book.make_folder(trial):
            self._book.ended(trial.number, Fate.FAILED, reason=" ".join(problems))
        return not problems


def finals(job: SweepJob, trials: list[Trial], *, is_loss: bool) -> list[tuple[int, int]]:
    """The number of a finalist and a further seed of it, for all that are not proposed yet."""
    best = ranked(searched(trials), is_loss=is_loss)[: job.search.finalists]
    known = {(trial.again_of, trial.seed) for trial in trials}
    last = job.seed + job.num_seeds - 1  # those that its own trial had
    return [
        (trial.number, last + further)
        for trial in best
        for further in range(1, job.search.finalist_seeds + 1)
        if (trial.number, last + further) not in known
    ]


class Scribe(Callback):
    """Writes down what Tune is told."""

    def __init__(self, book: Book, judge: Judge, told: Callable[[Trial], None]) -> None:
        self._book, self._judge, self._told = book, judge, told
        self.refused = ""

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

    def _end(self, number: int, fate: Fate, value: float | None, why: str) -> None:
        self._told(self._book.ended(number, fate, value=value, reason=why))
