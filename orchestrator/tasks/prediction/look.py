"""The look at the input before anything is answered: how many rows there are, where parts begin,
which columns they have, and which rows cannot be asked.

One task looks at a span of plain lines; of a file that cannot be divided one task finds the places
where others can begin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from orchestrator.errors import RequestError
from orchestrator.settings.predict import Input, InputKind
from orchestrator.tasks.example import BadRow
from orchestrator.tasks.prediction.asking import Asking
from orchestrator.tasks.prediction.columns import Columns
from orchestrator.tasks.prediction.rows import InputRow, Rows, csv_header
from orchestrator.tasks.prediction.spans import Span

_NAMED = 3  # rows of a mistake


@dataclass(frozen=True, kw_only=True)
class Bad:
    """Rows that have the same wrong; those that are named count from the span's beginning."""

    rule: str
    shown: str
    try_: str
    lines: tuple[int, ...]
    count: int


@dataclass(frozen=True, kw_only=True)
class Looked:
    spans: tuple[Span, ...]  # exact, their lines not yet numbered
    columns: Columns
    bad: tuple[Bad, ...]

    @property
    def num_bad(self) -> int:
        return sum(bad.count for bad in self.bad)


@dataclass
class _Cut:
    """A span in the making."""

    begin: int
    first_line: int = 1
    end: int = 0
    rows: int = 0
    lines: int = 0


@dataclass
class _Mistakes:
    groups: dict[str, Bad] = field(default_factory=dict)

    def add(self, line: int, rule: str, shown: str = "", try_: str = "") -> None:
        known = self.groups.get(rule)
        if known is None:
            known = Bad(rule=rule, shown=shown, try_=try_, lines=(), count=0)
        lines = known.lines if len(known.lines) == _NAMED else (*known.lines, line)
        self.groups[rule] = replace(known, lines=lines, count=known.count + 1)


def look(span: Span, settings: Input, asking: Asking, size: int) -> Looked:
    """`size`: bytes of a part, where the span can be cut."""
    header: tuple[str, ...] = ()
    if span.kind is InputKind.CSV:
        header = csv_header(span, settings)
    columns, mistakes = Columns(), _Mistakes()
    is_cut = span.end is None
    cuts = [_Cut(span.begin)]
    rows = Rows(span, settings)
    for row in rows:
        cut = cuts[-1]
        cut.rows += 1
        cut.end = row.next_at
        cut.lines = row.next_line - cut.first_line
        columns.add(row.values)
        _check(row, asking, mistakes)
        if is_cut and cut.end - cut.begin >= size:
            cuts.append(_Cut(cut.end, row.next_line))
    cuts[-1].lines = rows.num_lines + 1 - cuts[-1].first_line
    return Looked(
        spans=tuple(_exact(span, cuts, header)),
        columns=columns,
        bad=tuple(mistakes.groups.values()),
    )


def _check(row: InputRow, asking: Asking, mistakes: _Mistakes) -> None:
    if row.problem:
        mistakes.add(row.line, row.problem)
        return
    try:
        asking.example(row.values)
    except BadRow as err:
        mistakes.add(row.line, err.rule, err.shown, err.try_)


def _exact(span: Span, cuts: list[_Cut], header: tuple[str, ...]) -> Iterator[Span]:
    is_cut = span.end is None
    for cut in cuts:
        yield replace(
            span,
            begin=cut.begin,
            end=cut.end if is_cut else span.end,
            size_bytes=cut.end - cut.begin if is_cut else span.size_bytes,
            num_rows=cut.rows,
            num_lines=cut.lines,
            header=header if cut.begin else (),
        )


def refuse_bad(looked: list[Looked], spans: list[Span]) -> None:
    """All mistakes at once, by file and line. `spans` are those of `looked`, numbered."""
    lines: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    first: dict[str, Bad] = {}
    places = iter(spans)
    for one in looked:
        own = [next(places) for _ in one.spans]
        for bad in one.bad:
            first.setdefault(bad.rule, bad)
            counts[bad.rule] += bad.count
            named = lines.setdefault(bad.rule, [])
            named += [_place(own[0], line) for line in bad.lines][: _NAMED - len(named)]
    if counts:
        told = [_told(first[rule], lines[rule], counts[rule]) for rule in counts]
        total = counts.total()
        raise RequestError(
            "\n".join([f"{total:,} rows cannot be asked; nothing was written.", *told]),
            hint="input.on_bad=skip writes them with an error in place of an answer.",
        )


def _place(span: Span, line: int) -> str:
    """Lines were counted from the span's beginning, and those of parquet from the file's."""
    if span.kind is InputKind.PARQUET:
        return f"{span.uri}, row {line:,}"
    return f"{span.uri}, line {span.first_line + line - 1:,}"


def _told(bad: Bad, places: list[str], count: int) -> str:
    more = f"; and {count - len(places):,} more" if count > len(places) else ""
    shown = f": {bad.shown}" if bad.shown else ":"
    return f"{'; '.join(places)}{more}{shown} {bad.rule}" + (f" Try {bad.try_}" if bad.try_ else "")
