"""A report in words: as Markdown for report.md, and as the tables that `evaluate` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.runs import picture
from orchestrator.tasks.metrics.report import Report
from orchestrator.tasks.metrics.resample import LEVEL, Difference
from orchestrator.tasks.metrics.tables import ClassRow

_SHOWN_CLASSES = 20
_SHOWN_CHARS = 120
_WIDTH = 110

Rows = list[list[str]]


def metric_rows(report: Report) -> Rows:
    return [
        [one.name, _number(one.value), f"{_number(one.low)} to {_number(one.high)}"]
        for one in report.metrics
    ]


def class_rows(classes: Sequence[ClassRow]) -> Rows:
    """The most frequent first."""
    shown = sorted(classes, key=lambda row: -row.support)[:_SHOWN_CLASSES]
    return [
        [row.name, _number(row.precision), _number(row.recall), _number(row.f1), f"{row.support:,}"]
        for row in shown
    ]


def difference_rows(differences: Sequence[Difference]) -> Rows:
    return [
        [
            one.name,
            _number(one.second),
            _number(one.first),
            f"{one.value:+.4f}",
            f"{one.low:+.4f} to {one.high:+.4f}",
            f"{one.p:.4f}",
        ]
        for one in differences
    ]


_METRICS = ("metric", "value", f"{LEVEL:.0%} interval")
_CLASSES = ("class", "precision", "recall", "f1", "examples")
_DIFFERENCES = ("metric", "this", "other", "difference", f"{LEVEL:.0%} interval", "p")


def as_markdown(report: Report, differences: Sequence[Difference], names: Sequence[str]) -> str:
    """`names` are those of the model and, where there is one, of the other."""
    parts = [
        f"# {report.task}, {report.split}\n",
        f"{names[0]} on {report.num_examples:,} examples. {_notes(report)}\n",
        _markdown(_METRICS, metric_rows(report)),
    ]
    if differences:
        parts += [
            f"\n## Beside {names[1]}\n",
            _markdown(_DIFFERENCES, difference_rows(differences)),
            "\np: how often chance alone would make as large a difference.",
        ]
    for title, classes, name in (
        ("Classes", report.classes, "confusion"),
        ("Tags", report.tags, "tag_confusion"),
    ):
        if classes:
            parts += [f"\n## {title}\n", _markdown(_CLASSES, class_rows(classes)), _more(classes)]
        if name in report.pictures:
            parts.append(f"\n![Confusion]({name}.svg)\n")
    if report.mistakes:
        parts += ["\n## The mistakes that it was surest of\n", *_mistakes(report)]
    return "\n".join(parts) + "\n"


def as_text(report: Report, differences: Sequence[Difference], names: Sequence[str]) -> str:
    """For a terminal and a log."""
    title = f"{report.task}, {report.split}: {report.num_examples:,} examples"
    drawn: list[RenderableType] = [_table(title, _METRICS, metric_rows(report))]
    if differences:
        drawn.append(_table(f"beside {names[1]}", _DIFFERENCES, difference_rows(differences)))
    drawn += [
        _table("", _CLASSES, class_rows(classes))
        for classes in (report.classes, report.tags)
        if classes
    ]
    drawn.append(Text(_notes(report)))
    for mistake in report.mistakes[:3]:
        said = f"{_said(mistake.answer)} for {_said(mistake.target)}"
        sure = "" if math.isnan(mistake.confidence) else f" ({mistake.confidence:.0%})"
        drawn.append(Text(f"  {said}{sure}: {_short(' | '.join(mistake.texts))}"))
    return picture.as_text(*drawn, width=_WIDTH)


def _notes(report: Report) -> str:
    notes = []
    if not math.isnan(report.calibration_error):
        notes.append(f"Calibration error {report.calibration_error:.4f}.")
    if report.truncated_share:
        notes.append(f"{report.truncated_share:.1%} of the examples were cut to fit.")
    if report.mistakes:
        notes.append(f"{len(report.mistakes)} mistakes are in the report.")
    return " ".join(notes)


def _more(classes: Sequence[ClassRow]) -> str:
    more = len(classes) - _SHOWN_CLASSES
    return f"\n{more} further classes are in report.json." if more > 0 else ""


def _mistakes(report: Report) -> list[str]:
    rows = [
        [
            _said(mistake.answer),
            _said(mistake.target),
            _number(mistake.confidence),
            mistake.where,
            _short(" | ".join(mistake.texts)),
        ]
        for mistake in report.mistakes
    ]
    return [_markdown(("said", "is", "confidence", "where", "text"), rows)]


def _markdown(names: Sequence[str], rows: Rows) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _table(title: str, names: Sequence[str], rows: Rows) -> Table:
    table = Table(title=title or None, title_justify="left")
    table.add_column(names[0])
    for name in names[1:]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _said(value: Any) -> str:
    if isinstance(value, list):
        return _short(" ".join(map(_said, value)) or "nothing")
    return _short(str(value)) if value != "" else "nothing"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
