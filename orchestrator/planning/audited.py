"""What an audit finds, and what is asked of every kind of run: checkpoints, attempts, worlds.

`audit.py` fills it for pretraining, `audit_task.py` for fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from orchestrator.corpus.packs.audit import Audit
from orchestrator.errors import NotFoundError, RequestError
from orchestrator.planning.records import Witness
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.checkpoints.commit import ForeignSchema, Torn
from orchestrator.runs.checkpoints.restore import committed_steps
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.runs.storage import Storage
from orchestrator.training.standing import Standing

Tell = Callable[[str, float, float], None]  # what is looked at; how much of it, of how much


@dataclass(frozen=True, kw_only=True)
class RunAudit:
    """Counts are of steps that made the model; None where the stream could not be walked."""

    audit: Audit | None
    attempts: int
    worlds: tuple[int, ...]  # of attempts, in their order
    lost_packs: int  # of the stream: between steps that count, or before the newest checkpoint
    checkpoint_step: int | None  # the newest one, with which the records were compared
    data: str  # that it trained on
    problems: tuple[str, ...]
    unit: str = "packs"  # of what is lost
    lessons: int = 1  # audited each by itself, and the counts are of all
    lesson: str = ""  # what they are: seeds of a fine-tune, trials of a sweep

    @property
    def is_clean(self) -> bool:
        return not self.problems


def nobody(stage: str, done: float, total: float) -> None:
    """Watches the progress."""


def witnesses_of(run: Storage, events: Iterable[Event]) -> tuple[list[Witness], list[str]]:
    """What checkpoints say of how far the run was, oldest first; `events` are of its ledger."""
    witnesses, problems = [], []
    told = max(committed_steps(events), default=0)  # read before looking: it may be going on
    checkpoints = Checkpoints(run)
    steps = checkpoints.steps()
    for step in steps:
        try:
            standing = Standing.from_plain(checkpoints.read(step).facts["standing"])
        except NotFoundError:
            continue  # retired meanwhile
        except (Torn, ForeignSchema) as err:
            problems.append(f"The COMMIT of step {step} {err.message}.")
        except (RequestError, KeyError) as err:
            problems.append(f"The COMMIT of step {step} does not say where the run stood: {err}.")
        else:
            witness = Witness(step=standing.step, cursor=standing.cursor, tokens=standing.tokens)
            witnesses.append(witness)
            if standing.step != step:
                problems.append(f"The COMMIT of step {step} stands at step {standing.step}.")
    if told > max(steps, default=0):
        problems.append(f"The ledger tells of a checkpoint of step {told}, which is not there.")
    return witnesses, problems


def tokens_problems(found: Audit, newest: Witness) -> Iterator[str]:
    if found.tokens != newest.tokens:
        yield (
            f"The checkpoint of step {newest.step} counts {newest.tokens:,} tokens; the stream up "
            f"to there has {found.tokens:,}."
        )


def worlds_of(run: RunFolder, attempts: tuple[int, ...]) -> tuple[int, ...]:
    """As the ledger tells, of attempts that made a step."""
    worlds = {
        event.attempt: event.fields["workers"]
        for event in run.events()
        if event.kind == "running" and isinstance(event.fields.get("workers"), int)
    }
    return tuple(worlds[attempt] for attempt in attempts if attempt in worlds)
