"""A confusion matrix as a picture: SVG, which needs no library and is sharp at any size."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from orchestrator.corpus.arrays import Int64s

_CELL = 34
_LETTER = 7.2  # the width of a character, about
_MOST = 40  # classes; beyond, cells say nothing any more


def confusion_svg(counts_CC: Int64s, names: Sequence[str]) -> str:
    """Rows are what is right, columns what was said; a row's colours are its shares."""
    kept = sorted(range(len(names)), key=lambda number: -int(counts_CC[number].sum()))[:_MOST]
    kept.sort()
    shown = [_short(names[number]) for number in kept]
    margin = 24 + _LETTER * max((len(name) for name in shown), default=0)
    size = margin + _CELL * len(kept) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size:.0f} {size:.0f}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{size:.0f}" height="{size:.0f}" fill="#fff"/>',
    ]
    for place, name in enumerate(shown):
        at = margin + _CELL * (place + 0.5)
        said = escape(name)
        parts.append(f'<text x="{margin - 6:.1f}" y="{at + 4:.1f}" text-anchor="end">{said}</text>')
        parts.append(
            f'<text transform="translate({at + 4:.1f},{margin - 6:.1f}) rotate(-90)">{said}</text>'
        )
    for row, target in enumerate(kept):
        total = max(int(counts_CC[target].sum()), 1)
        for column, answer in enumerate(kept):
            count = int(counts_CC[target, answer])
            parts += _cell(margin + _CELL * column, margin + _CELL * row, count, count / total)
    parts += [
        f'<text x="{margin:.1f}" y="12" fill="#666">said</text>',
        f'<text x="4" y="{margin:.1f}" fill="#666">is</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _cell(x: float, y: float, count: int, share: float) -> list[str]:
    ink = "#fff" if share > 0.55 else "#223"
    box = f'<rect x="{x:.1f}" y="{y:.1f}" width="{_CELL}" height="{_CELL}" '
    cell = [f'{box}fill="#1f5fa8" fill-opacity="{share:.3f}" stroke="#ddd"/>']
    if count:
        middle = f'x="{x + _CELL / 2:.1f}" y="{y + _CELL / 2 + 4:.1f}"'
        cell.append(f'<text {middle} text-anchor="middle" fill="{ink}">{_count(count)}</text>')
    return cell


def _count(count: int) -> str:
    return str(count) if count < 10_000 else f"{count // 1000}k"


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
