"""More configurations for a sweep: a word in its ledger, which the next attempt reads.

The job stays as it was frozen. A sweep that had finished is opened again by the same word.
"""

from __future__ import annotations

from orchestrator.errors import RequestError
from orchestrator.runs.folder import RunFolder
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.board import read_board
from orchestrator.tuning.trials import EXTENDED, num_wanted


def extend(run: RunFolder, trials: int) -> int:
    """How many configurations it has from now on."""
    before = read_board(run).num_wanted
    job = run.job()
    assert isinstance(job, SweepJob)
    if job.search.kind.is_population:
        raise RequestError(
            f"{run.id} is a population of {before}, whose trials go on from one another: one that "
            "came later would not be of it.",
            hint=f"orchestrator fork RUN budget.trials={before + trials}",
        )
    size = job.read_space().size
    if size is not None and before >= size:
        raise RequestError(
            f"{run.id} has tried all {size} points of its space already.",
            hint="orchestrator fork RUN space.KEY=…, for a larger one",
        )
    attempt = run.status().attempt
    run.note(EXTENDED, attempt=attempt, trials=trials)
    reason = f"{trials} more configurations are asked for"
    run.note("stopped", attempt=attempt, reason=reason, hint=f"orchestrator resume {run.id}")
    return num_wanted(job, run.events())
