"""A sweep's leaderboard as one would look at it. A sweep ends with it; `sweep status` shows it."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from orchestrator.settings.search import Beside
from orchestrator.settings.units import format_count, format_duration
from orchestrator.tuning.board import Board
from orchestrator.tuning.front import COST_NAMES
from orchestrator.tuning.trials import Fate, Leg, Trial

_COLOURS = {Fate.OPEN: "green", Fate.STOPPED: "yellow", Fate.FAILED: "bold red"}


def draw_board(board: Board, *, most: int) -> Table:
    """Its first rows: the best."""
    keys = list(dict.fromkeys(key for trial in board.trials for key in trial.point))
    has_taken = any(trial.taken for trial in board.trials)
    settings = [*keys, "took over"] if has_taken else keys
    beside = board.job.search.beside
    worth = {trial.number for trial in board.front}
    costs = [COST_NAMES[beside]] if beside in COST_NAMES else []
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", "", board.metric, *costs, "epochs", *settings, "seed", "took", ""):
        drawn.add_column(column, overflow="fold")
    for trial in board.trials[:most]:
        number, fate, value, *others = _cells(trial, keys, has_taken=has_taken)
        cost = [_cost(trial, beside, is_worth=trial.number in worth)] if costs else []
        drawn.add_row(number, fate, value, *cost, *others)
    return drawn


def _cells(trial: Trial, keys: list[str], *, has_taken: bool) -> list[str | Text]:
    value = trial.value if trial.is_over else trial.latest
    again = "" if trial.again_of is None else f" of {trial.again_of:04d}"
    return [
        f"{trial.number:04d}{again}",
        Text(trial.fate.value, style=_COLOURS.get(trial.fate, "")),
        "" if value is None else f"{value:.4f}",
        f"{trial.epochs:g}" if trial.measured else "",
        *(_said(trial.point.get(key)) for key in keys),
        *([", ".join(_took_over(leg) for leg in trial.taken)] if has_taken else []),
        str(trial.seed),
        "" if trial.took_s is None else format_duration(trial.took_s),
        trial.reason if trial.fate is Fate.FAILED else "",
    ]


def _cost(trial: Trial, beside: Beside, *, is_worth: bool) -> Text:
    """Marked where no other trial is both better and cheaper."""
    cost = trial.costs.get(beside)
    if cost is None:
        return Text("")
    said = f"{cost:.1f}" if beside is Beside.TIME else format_count(cost)
    return Text(f"{said} ◆" if is_worth else said, style="bold" if is_worth else "")


def _took_over(leg: Leg) -> str:
    return f"{leg.source:04d} at {leg.epochs:g}"


def _said(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
