"""Which files of the working directory travel with a run."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.units import Bytes


@dataclass(frozen=True, kw_only=True)
class Code:
    exclude: tuple[str, ...] = setting(
        "Patterns of files to leave out, beside what git ignores: data/*, *.ipynb", default=()
    )
    max_bytes: Bytes = setting(
        "The most that may travel; Ray refuses uploads over 100 MiB",
        default=100 * 2**20,
        bounds=Bounds(above=0, at_most=100 * 2**20),
    )
