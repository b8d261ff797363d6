"""A run's records of steps, for its audit: parsed, counted, and held against checkpoints.

Records that count are those that no later attempt replaced. They are read three times rather than
kept: of a long run there are millions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.corpus.packs.audit import StepRecord
from orchestrator.corpus.packs.stream import Cursor
from orchestrator.errors import RequestError
from orchestrator.runs.steps import read_steps
from orchestrator.runs.storage import Storage

_MOST_PROBLEMS = 20  # that are said


@dataclass(frozen=True, kw_only=True)
class Witness:
    """Where a checkpoint says that the run stood."""

    step: int
    cursor: Cursor
    tokens: int


class Records:
    def __init__(self, run: Storage, due: Callable[[Cursor], int], *, unit: str = "packs") -> None:
        """`due` says of how many a step is that begins there."""
        self._run, self._due, self._unit = run, due, unit
        self._problems: list[str] = []
        self._firsts: dict[int, int] = {}  # attempt → its first step
        lasts: dict[int, int] = {}
        for record in self._parsed(self._problems):
            first = self._firsts.get(record.attempt, record.step)
            self._firsts[record.attempt] = min(first, record.step)
            lasts[record.attempt] = record.step
            self._check_size(record)
        self.last_step = lasts[max(lasts)] if lasts else 0  # that counts

    @property
    def attempts(self) -> tuple[int, ...]:
        """Those that made a step."""
        return tuple(sorted(self._firsts))

    def read(self) -> Iterator[StepRecord]:
        """All that can be read; the rest is among the problems."""
        return self._parsed([])

    def problems(self) -> list[str]:
        unsaid = len(self._problems) - _MOST_PROBLEMS
        more = [f"And {unsaid:,} more records like these."] if unsaid > 0 else []
        return self._problems[:_MOST_PROBLEMS] + more

    def effective(self) -> Iterator[StepRecord]:
        """Those that count, in their order."""
        until, untils = math.inf, {}
        for attempt in reversed(self.attempts):
            untils[attempt] = until
            until = min(until, self._firsts[attempt])
        for record in self.read():
            if record.step < untils.get(record.attempt, 0):
                yield record

    def compare(self, witnesses: Sequence[Witness]) -> list[str]:
        """Each checkpoint stands where the record of its step ends."""
        due = {witness.step: witness for witness in witnesses}
        problems = []
        for record in self.effective():
            witness = due.pop(record.step, None)
            if witness is not None and witness.cursor != record.end:
                problems.append(
                    f"The checkpoint of step {witness.step} stands at {witness.cursor}; {record} "
                    f"ended at {record.end}."
                )
        problems += [
            f"There is a checkpoint of step {step}, and no record of that step that counts."
            for step in sorted(due)
        ]
        return problems

    def lost_packs(self, witnesses: Sequence[Witness]) -> int:
        """Of the stream, up to the last step or the newest checkpoint, in no record that counts."""
        lost = at = 0
        for record in self.effective():
            lost += max(0, record.begin.packs_total - at)
            at = max(at, record.end.packs_total)
        ends = [witness.cursor.packs_total for witness in witnesses]
        return lost + max(0, max(ends, default=0) - at)

    def _parsed(self, problems: list[str]) -> Iterator[StepRecord]:
        for plain in read_steps(self._run):
            try:
                yield StepRecord.from_plain(plain)
            except RequestError as err:
                problems.append(err.message)

    def _check_size(self, record: StepRecord) -> None:
        """It follows from the settings and from how far the run was."""
        due = self._due(record.begin)
        if record.num_packs != due:
            self._problems.append(
                f"{str(record).capitalize()} has {record.num_packs} {self._unit}; by the settings "
                f"of the run it has {due}."
            )
