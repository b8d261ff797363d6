"""What a run fed its model, proved from the records of its steps: each pack once, none left out.

Each record is held against the stream that corpus and recipe make: packs are planned again, their
tokens are not laid out. Records come from all attempts; one that resumes repeats steps, and then
only its own count. `orchestrator audit` shows the result.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from orchestrator.corpus.packs.stream import Cursor, Stream
from orchestrator.corpus.packs.window import Corpus, Fed, Recipe, Window
from orchestrator.errors import RequestError

_MOST_PROBLEMS = 20  # that are said in full
_MODULUS = 2**64


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """What all ranks together fed in a step."""

    step: int  # from 1
    attempt: int
    begin: Cursor
    end: Cursor
    num_packs: int
    fed_hash: int  # the sum over its packs, modulo 2^64

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> StepRecord:
        """Other keys are left aside: a record may be part of a longer line."""
        try:
            counts = {name: plain[name] for name in ("step", "attempt", "num_packs")}
            fed_hash = int(plain["fed_hash"], 16)
            begin, end = Cursor.from_plain(plain["begin"]), Cursor.from_plain(plain["end"])
        except (KeyError, TypeError, ValueError) as err:
            raise RequestError(f"{plain!r} is no record of a step: {err!r}.") from err
        if not all(type(value) is int for value in counts.values()):
            raise RequestError(f"{plain!r} is no record of a step: it has whole numbers.")
        return cls(**counts, begin=begin, end=end, fed_hash=fed_hash)

    def to_plain(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "attempt": self.attempt,
            "begin": self.begin.to_plain(),
            "end": self.end.to_plain(),
            "num_packs": self.num_packs,
            "fed_hash": f"{self.fed_hash:016x}",  # as text: numbers of JSON have 53 bits
        }

    def __str__(self) -> str:
        return f"step {self.step} of attempt {self.attempt}"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Counts are of the steps that made the model; repeated ones were fed once more before."""

    steps: int
    samples: int
    tokens: int
    repeated_steps: int
    repeated_samples: int
    problems: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        return not self.problems


def audit(
    corpus: Corpus,
    recipe: Recipe,
    read_records: Callable[[], Iterable[StepRecord]],
    *,
    start: Cursor | None = None,
    tell: Callable[[int], None] = lambda steps: None,
) -> Audit:
    """Of the packs of a corpus."""
    walk = _PackWalk(Stream(corpus, recipe))
    return audit_walk(walk, read_records, start=start, tell=tell)


class Walk(Protocol):
    """What was due, made again; forward, but a record may begin anywhere."""

    @property
    def unit(self) -> str:
        """What a record's `num_packs` counts."""

    def take(self, begin: Cursor, count: int) -> tuple[Fed, Cursor]:
        """What so many from there on feed, and where they end. RequestError: there is no such."""


def audit_walk(
    walk: Walk,
    read_records: Callable[[], Iterable[StepRecord]],
    *,
    start: Cursor | None = None,
    tell: Callable[[int], None] = lambda steps: None,
) -> Audit:
    """`read_records` gives them in the order of the ledger, and is called twice.

    Once to see which steps each attempt made, and once to check those that count: so no more than
    one record is in memory, however long the run. `tell` hears how many steps were checked.
    """
    problems = _Problems()
    spans = _spans(read_records(), problems)
    checker = _Checker(walk, start or Cursor(), spans, problems)
    for record in read_records():
        # Of a run that goes on, an attempt may have begun since: the next audit sees it.
        if record.attempt in spans and record.step < spans[record.attempt].until:
            checker.check(record)
            tell(checker.steps)
    return checker.result()


class _Problems:
    def __init__(self) -> None:
        self._said: list[str] = []
        self._num = 0

    def say(self, problem: str) -> None:
        self._num += 1
        if self._num <= _MOST_PROBLEMS:
            self._said.append(problem[0].upper() + problem[1:])

    def all(self) -> tuple[str, ...]:
        unsaid = self._num - len(self._said)
        return (*self._said, f"And {unsaid:,} more.") if unsaid else tuple(self._said)


@dataclass(kw_only=True)
class _Span:
    """The steps of an attempt. Those from `until` on were rolled back by a later attempt."""

    first: int
    last: int
    until: float = math.inf


def _spans(records: Iterable[StepRecord], problems: _Problems) -> dict[int, _Span]:
    spans: dict[int, _Span] = {}
    newest = 0
    for record in records:
        if record.attempt < newest:
            problems.say(f"{record} is recorded after attempt {newest} began.")
        newest = max(newest, record.attempt)
        span = spans.setdefault(record.attempt, _Span(first=record.step, last=record.step))
        span.first, span.last = min(span.first, record.step), max(span.last, record.step)
    until = math.inf
    for attempt in sorted(spans, reverse=True):
        spans[attempt].until = until
        until = min(until, spans[attempt].first)
    return spans


class _Checker:
    """Takes the records that count, one by one."""

    def __init__(
        self, walk: Walk, start: Cursor, spans: dict[int, _Span], problems: _Problems
    ) -> None:
        self.steps = self._samples = self._tokens = 0
        self._repeated_steps = self._repeated_samples = 0
        self._walk = walk
        self._problems = problems
        self._step = 0  # the last one
        self._end, self._where = start, "the run starts"
        lost = [span for span in spans.values() if span.until <= span.last]
        self._lost_firsts = sorted(max(span.first, span.until) for span in lost)
        self._lost_lasts = sorted(span.last for span in lost)

    def result(self) -> Audit:
        return Audit(
            steps=self.steps,
            samples=self._samples,
            tokens=self._tokens,
            repeated_steps=self._repeated_steps,
            repeated_samples=self._repeated_samples,
            problems=self._problems.all(),
        )

    def check(self, record: StepRecord) -> None:
        due = self._step + 1
        if record.step != due:
            self._problems.say(f"{record} is recorded where step {due} is due.")
        elif record.begin != self._end:
            self._problems.say(f"{record} began at {record.begin}; {self._where} at {self._end}.")
        if record.step < due:
            return
        self._check_packs(record)
        self._step, self._end, self._where = record.step, record.end, f"{record} ended"
        self.steps += 1

    def _check_packs(self, record: StepRecord) -> None:
        apart, unit = record.end.packs_total - record.begin.packs_total, self._walk.unit
        if not 0 < record.num_packs == apart:
            found = f"{record.num_packs} {unit}, and its cursors are {apart} apart"
            self._problems.say(f"{record} has {found}.")
            return
        try:
            fed, end = self._walk.take(record.begin, record.num_packs)
        except RequestError as err:
            self._problems.say(f"{record} cannot have begun where it says. {err.message}")
            return
        packs = f"{unit} {record.begin.packs_total} to {end.packs_total - 1} of the stream"
        if record.end != end:
            self._problems.say(f"{record} ended at {record.end}; {packs} end at {end}.")
        if record.fed_hash != fed.hash:
            found, expected = f"{record.fed_hash:016x}", f"{fed.hash:016x}"
            self._problems.say(f"{record} fed what adds up to {found}; {packs} to {expected}.")
        repeats = bisect_right(self._lost_firsts, record.step)
        repeats -= bisect_left(self._lost_lasts, record.step)
        self._samples += fed.num_samples
        self._tokens += fed.num_tokens
        self._repeated_steps += repeats
        self._repeated_samples += repeats * fed.num_samples


class _PackWalk:
    """Through the stream; a record that does not follow the one before begins anew."""

    unit = "packs"

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._at: Cursor | None = None
        self._places: Iterator[tuple[Window, Cursor]] = iter(())

    def take(self, begin: Cursor, count: int) -> tuple[Fed, Cursor]:
        places = self._places if begin == self._at else self._stream.places(begin)
        at, samples, tokens, fed_hash = begin, 0, 0, 0
        self._at = None  # until it is known: a walk that failed does not go on
        for window, place in islice(places, count):
            fed = window.fed(place.pack)
            samples += fed.num_samples
            tokens += fed.num_tokens
            fed_hash += fed.hash
            at = place.next_pack()
        self._at, self._places = at, places
        return Fed(num_samples=samples, num_tokens=tokens, hash=fed_hash % _MODULUS), at
