"""A sweep as its page shows it: the board, where trials are judged, and what it says of settings.

Everything comes from the sweep's job and its ledger, whether it runs or ended long ago.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.dashboard import inside
from orchestrator.dashboard.index import Known
from orchestrator.errors import RequestError
from orchestrator.runs.result import read_result
from orchestrator.settings.search import Stopping
from orchestrator.settings.space import Dimension
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.board import Board, board_of, overrides_of
from orchestrator.tuning.front import COST_NAMES, cost_of
from orchestrator.tuning.rungs import longest_epochs, rungs
from orchestrator.tuning.trials import Fate, Trial, searched

_MOST_KEPT = 16


@dataclass
class _Held:
    job: SweepJob
    lock: threading.Lock = field(default_factory=threading.Lock)
    board: tuple[int, Board] | None = None  # of so many events
    importance: tuple[int, dict[str, Any]] | None = None  # of so many trials that finished


class Sweeps:
    """Boards are kept while no event comes, and importance while no trial finishes."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self._warming: threading.Thread | None = None

    def warm(self) -> None:
        """Who sees a sweep in the list may open it: what that imports is there by then."""
        with self._lock:
            if self._warming is None:
                self._warming = threading.Thread(target=_import_all, daemon=True)
                self._warming.start()

    def close(self) -> None:
        if self._warming is not None:
            self._warming.join()

    def board(self, known: Known) -> Board:
        held, count = self._of(known), len(known.events)
        if held.board is None or held.board[0] != count:
            held.board = (count, board_of(held.job, known.events[:count]))
        return held.board[1]

    def importance(self, known: Known) -> dict[str, Any]:
        held, board = self._of(known), self.board(known)
        with held.lock:
            count = board.count(Fate.FINISHED)
            if held.importance is None or held.importance[0] != count:
                from orchestrator.tuning.importance import importance_of  # scikit-learn

                found = importance_of(held.job.read_space(), board.trials)
                held.importance = (count, asdict(found))
            return held.importance[1]

    def _of(self, known: Known) -> _Held:
        with self._lock:
            uri = known.folder.uri
            if uri not in self._held:
                job = known.folder.job()
                if not isinstance(job, SweepJob):
                    raise RequestError(f"{known.name} is a {job.kind}, not a sweep.")
                self._held[uri] = _Held(job)
                if len(self._held) > _MOST_KEPT:
                    self._held.popitem(last=False)
            self._held.move_to_end(uri)
            return self._held[uri]


def _import_all() -> None:
    import sklearn.ensemble
    import sklearn.inspection  # noqa: F401


def told(known: Known, board: Board) -> dict[str, Any]:
    job, longest = board.job, longest_epochs(board.job)
    is_judged = job.search.scheduler in (Stopping.ASHA, Stopping.HYPERBAND)
    result = read_result(known.folder.storage) if known.status.state.is_over else None
    tried = searched(board.trials)
    worth = {trial.number for trial in board.front}
    return {
        "metric": board.metric,
        "is_loss": board.is_loss,
        "search": _search(job),
        "beside": COST_NAMES.get(job.search.beside),
        "is_over": known.status.state.is_over,
        "wanted": board.num_wanted,
        "done": sum(trial.is_over for trial in tried),
        "counts": {fate.value: board.count(fate) for fate in Fate},
        "epochs": sum(trial.epochs for trial in board.trials),
        "longest": longest,
        "rungs": rungs(job.search, longest) if is_judged else [],
        "winner": (result or {}).get("winner"),
        "dimensions": [_dimension(each) for each in job.read_space().dimensions],
        "trials": [
            {
                "run": inside.name_of(known, trial.number),
                **_plain(trial, rank),
                "cost": cost_of(trial, job.search),
                "is_worth_it": trial.number in worth,
            }
            for rank, trial in enumerate(board.trials, 1)
        ],
    }


def told_trial(board: Board, number: int) -> dict[str, Any]:
    """Of one trial what its own page says about its place in the sweep."""
    found = {trial.number: (trial, rank) for rank, trial in enumerate(board.trials, 1)}
    if number not in found:
        return {}
    trial, rank = found[number]
    return {
        "metric": board.metric,
        "of_trials": len(board.trials),
        # What went on with others' settings is no fine-tune that could be asked for again.
        "overrides": "" if trial.taken else " ".join(overrides_of(trial.point)),
        **_plain(trial, rank),
    }


def _search(job: SweepJob) -> str:
    kinds = [job.search.kind.value, job.search.scheduler.value]
    return " with ".join(kind for kind in kinds if kind != Stopping.NONE.value)


def _plain(trial: Trial, rank: int) -> dict[str, Any]:
    is_ranked = trial.fate is Fate.FINISHED and trial.value is not None
    return {
        "trial": trial.number,
        "rank": rank if is_ranked else None,
        "fate": trial.fate.value,
        "reason": trial.reason,
        "value": trial.value if trial.is_over else trial.latest,
        "epochs": trial.epochs,
        "point": trial.point,
        "seed": trial.seed,
        "again_of": trial.again_of,
        "took_s": trial.took_s,
        "curve": trial.measured,
        "taken": [{"epochs": leg.epochs, "source": leg.source} for leg in trial.taken],
    }


def _dimension(dimension: Dimension) -> dict[str, Any]:
    return {
        "key": dimension.key,
        "shape": dimension.shape.value,
        "values": dimension.values,
        "is_conditional": bool(dimension.when),
    }
