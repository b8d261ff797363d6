"""A sweep in numbers: a line of metrics for each trial that ended, and tables of all in the end.

    metrics/…               sweep/value, sweep/best … over how many trials have ended
    sweep/leaderboard.csv   the trials, the best first       sweep/curves.csv   their measurements
    sweep/importance.json   which settings mattered, where enough trials finished to say so

All of it follows from the ledger: what a kill left out is made good by the next attempt.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.runs.storage import Storage
from orchestrator.settings.build import to_plain
from orchestrator.tracking.exhibits import INSIDE, write_table
from orchestrator.tracking.metrics import MetricsWriter, read_metrics
from orchestrator.tuning.board import Board
from orchestrator.tuning.importance import LEAST_TRIALS, importance_of
from orchestrator.tuning.trials import COSTS, Fate, Trial, ranked

FOLDER = "sweep"
LEADERBOARD, CURVES = f"{FOLDER}/leaderboard.csv", f"{FOLDER}/curves.csv"
IMPORTANCE = f"{FOLDER}/importance.json"
_SHOWN = 1000  # rows of the table that W&B is sent


class Progression:
    """The sweep's own metrics; a step is a trial that ended."""

    def __init__(self, run: Storage, *, attempt: int, is_loss: bool) -> None:
        self._is_loss = is_loss
        self._known = max((int(line["step"]) for line in read_metrics(run)), default=0)
        self._metrics = MetricsWriter(run, attempt=attempt, writer="attempt")

    def tell(self, trials: Iterable[Trial]) -> None:
        """Those that ended and have no line yet."""
        over = sorted(
            (trial for trial in trials if trial.is_over),
            key=lambda trial: (trial.ended or 0.0, trial.number),
        )
        for step in range(self._known + 1, len(over) + 1):
            self._metrics.write(step, _figures(over[:step], is_loss=self._is_loss))
        self._known = max(self._known, len(over))
        self._metrics.flush()

    def close(self) -> None:
        self._metrics.close()


def _figures(over: Sequence[Trial], *, is_loss: bool) -> dict[str, float]:
    last = over[-1]
    figures = {f"sweep/{fate.value}": float(_count(over, fate)) for fate in Fate if fate.is_end}
    figures |= {"sweep/trial": float(last.number), "sweep/epochs": sum(t.epochs for t in over)}
    if last.value is not None:
        figures["sweep/value"] = last.value
    if (best := ranked(over, is_loss=is_loss)[:1]) and best[0].value is not None:
        figures["sweep/best"] = best[0].value
    return figures


def _count(trials: Sequence[Trial], fate: Fate) -> int:
    return sum(trial.fate is fate for trial in trials)


def write_tables(run: Storage, board: Board) -> None:
    """At the end of an attempt, however it ended."""
    columns, rows = leaderboard(board)
    run.write(LEADERBOARD, _csv(columns, rows))
    curves = [
        [f"{trial.number:04d}", epochs, value]
        for trial in sorted(board.trials, key=lambda trial: trial.number)
        for epochs, value in trial.measured
    ]
    run.write(CURVES, _csv(["trial", "epochs", board.metric], curves))
    if board.count(Fate.FINISHED) >= LEAST_TRIALS:
        found = asdict(importance_of(board.job.read_space(), board.trials))
        run.write(IMPORTANCE, json.dumps(found, indent=1).encode())
    over = sum(trial.is_over for trial in board.trials)
    if over:
        write_table(run, "leaderboard", over, columns, rows[:_SHOWN])


def leaderboard(board: Board) -> tuple[list[str], list[list[Any]]]:
    keys = list(dict.fromkeys(key for trial in board.trials for key in trial.point))
    own = ["rank", "trial", "fate", board.metric, "epochs", "seed", "again_of", "took_s"]
    own += [*COSTS.values(), "is_worth_it"]
    worth = {trial.number for trial in board.front}
    has_front = bool(worth)
    rows = []
    for rank, trial in enumerate(board.trials, 1):
        is_ranked = trial.fate is Fate.FINISHED and trial.value is not None
        value = trial.value if trial.is_over else trial.latest
        settings = [_cell(trial.point.get(key)) for key in keys]
        facts = [trial.fate.value, value, trial.epochs, trial.seed, trial.again_of, trial.took_s]
        facts += [trial.costs.get(kind) for kind in COSTS]
        facts += [trial.number in worth if has_front else None]
        named = [rank if is_ranked else None, f"{trial.number:04d}", *facts]
        rows.append([*named, *settings, trial.reason, trial.folder])
    return [*own, *keys, "reason", INSIDE], rows


def _cell(value: Any) -> Any:
    plain = to_plain(value)
    return json.dumps(plain) if isinstance(plain, list | dict) else plain


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()
