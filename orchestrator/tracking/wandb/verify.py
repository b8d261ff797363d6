"""Whether W&B shows what the run measured: every row, every figure, none twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

_OWN = ("_timestamp", "_runtime", "_step", "_wandb")  # columns that W&B adds, or keeps its own way
_SHOWN = 3


def differences(
    ours: Iterable[Mapping[str, Any]], theirs: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    for number, (own, there) in enumerate(zip_longest(ours, theirs)):
        if own is None or there is None or _bare(own) != _bare(there):
            yield f"row {number} is {_said(there)} in W&B, {_said(own)} here"


def told(found: list[str]) -> str:
    more = f"; {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{len(found)} rows differ: " + "; ".join(found[:_SHOWN]) + more


def _bare(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _OWN}


def _said(row: Mapping[str, Any] | None) -> str:
    return "missing" if row is None else str(_bare(row))[:120]
