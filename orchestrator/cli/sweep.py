"""sweep: a sweep's leaderboard, its best settings to paste, and more trials for it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from orchestrator.api import Run
from orchestrator.cli.given import Json, RunName, Storage, find
from orchestrator.cli.screen import console, footer, lead, show_json
from orchestrator.errors import RequestError
from orchestrator.runs.result import read_result
from orchestrator.tuning.board import (
    Board,
    best_overrides,
    overrides_of,
    read_board,
    way_of_best,
)
from orchestrator.tuning.extend import extend as extend_sweep
from orchestrator.tuning.picture import draw_board
from orchestrator.tuning.population import Stretch
from orchestrator.tuning.trials import COSTS, Fate, Trial

app = typer.Typer()
verbs = typer.Typer(help="A sweep: status, best, extend.", no_args_is_help=True)
app.add_typer(verbs, name="sweep")
_MOST_ROWS = 20


@verbs.command()
def status(run: RunName, storage: Storage = None, as_json: Json = False) -> int:
    """A sweep's trials, the best first."""
    found = find(run, storage)
    board = read_board(found.folder)
    state = found.status().state
    if as_json:
        worth = {trial.number for trial in board.front}
        trials = [_plain(trial, is_worth_it=trial.number in worth) for trial in board.trials]
        counts = {fate.value: board.count(fate) for fate in Fate}
        show_json(
            "sweep.status",
            run=found.id,
            state=state,
            metric=board.metric,
            is_loss=board.is_loss,
            configurations=board.num_wanted,
            counts=counts,
            trials=trials,
        )
        return 0
    _draw(found, board, str(state))
    return 0


@verbs.command()
def best(run: RunName, storage: Storage = None, as_json: Json = False) -> int:
    """The best settings so far, as overrides for `orchestrator run finetune`."""
    found = find(run, storage)
    result = read_result(found.folder.storage)
    overrides = best_overrides(found.folder, result)
    way = way_of_best(found.folder, result)
    if as_json:
        plain = [asdict(part) for part in way]
        show_json("sweep.best", run=found.id, overrides=overrides, way=plain, result=result)
        return 0
    if len(way) > 1:
        _tell_way(way)
    print(" ".join(overrides))  # nothing else: it is pasted, or taken by $(…)
    return 0


@verbs.command()
def extend(
    run: RunName,
    trials: Annotated[int, typer.Option("--trials", min=1, help="So many configurations more.")],
    storage: Storage = None,
    as_json: Json = False,
) -> int:
    """More configurations for a sweep that is over; `resume` then tries them."""
    found = find(run, storage)
    state = found.status().state
    if not state.is_over:
        raise RequestError(
            f"{found.id} is {state}; only a sweep that is over can be extended.",
            hint=f"orchestrator stop {found.id}",
        )
    wanted = extend_sweep(found.folder, trials)
    if as_json:
        show_json("sweep.extend", run=found.id, configurations=wanted)
        return 0
    lead(found.id, f" is to try {wanted} configurations in all")
    footer(f"orchestrator resume {found.id}")
    return 0


def _tell_way(way: list[Stretch]) -> None:
    """Not on stdout, from which the settings are taken."""
    said = ["The best model's settings changed while it trained:"]
    said += [
        f"  {part.begin:g} to {part.end:g} epochs, in trial {part.trial:04d}: "
        + " ".join(overrides_of(part.point))
        for part in way
    ]
    said += ["The last of them follow; a fine-tune that has these from its start is another one."]
    print("\n".join(said), file=sys.stderr)


def _draw(found: Run, board: Board, state: str) -> None:
    over = sum(trial.is_over for trial in board.trials if trial.again_of is None)
    lead(found.id, f"  {state}, {over} of {board.num_wanted} configurations done")
    if not board.trials:
        console.print("No trial has begun yet.")
        return
    console.print(draw_board(board, most=_MOST_ROWS))
    if len(board.trials) > _MOST_ROWS:
        console.print(f"  … and {len(board.trials) - _MOST_ROWS} more; --json has all.")
    part = found.id.rpartition("-")[2]
    more = [] if board.is_population else [f"orchestrator sweep extend {part} --trials 20"]
    footer(f"orchestrator sweep best {part}", *more)


def _plain(trial: Trial, *, is_worth_it: bool) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "fate": trial.fate.value,
        "value": trial.value if trial.is_over else trial.latest,
        "epochs": trial.epochs,
        "point": trial.point,
        "overrides": overrides_of(trial.point),
        "legs": [asdict(leg) for leg in trial.legs],
        "seed": trial.seed,
        "again_of": trial.again_of,
        "took_s": trial.took_s,
        "costs": {COSTS[kind]: cost for kind, cost in trial.costs.items()},
        "is_worth_it": is_worth_it,
        "reason": trial.reason,
        "folder": trial.folder,
    }
