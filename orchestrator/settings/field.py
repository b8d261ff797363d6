"""`setting(...)`: a dataclass field that carries its one-line meaning and its bounds.

The loader enforces the bounds, the settings reference prints the meaning: one place for both.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import MISSING, dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Bounds:
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    pattern: str | None = None
    pattern_said: str = ""

    def broken_by(self, value: object) -> str | None:
        """The rule that `value` breaks, as the middle of a sentence, or None."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.at_least is not None and value < self.at_least:
                return f"must be at least {self.at_least:g}."
            if self.above is not None and value <= self.above:
                return f"must be above {self.above:g}."
            if self.at_most is not None and value > self.at_most:
                return f"must be at most {self.at_most:g}."
        if isinstance(value, str) and self.pattern and not re.fullmatch(self.pattern, value):
            return f"must be {self.pattern_said}."
        return None


class PathKind(Enum):
    """Whether text is a path relative to the folder where it was typed (`paths.py`)."""

    NONE = "none"
    FILE = "file"
    FILE_OR_NAME = "file or name"  # on a hub, where no such file is there


def setting(
    doc: str,
    *,
    default: Any = MISSING,
    factory: Any = MISSING,
    bounds: Bounds | None = None,
    path: PathKind = PathKind.NONE,
) -> Any:
    """A dataclass field; without `default` and `factory` it is a setting that must be given."""
    metadata = {"doc": doc, "bounds": bounds or Bounds(), "path": path}
    return dataclasses.field(default=default, default_factory=factory, metadata=metadata)
