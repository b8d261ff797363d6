"""A mistake in a request, as a value. Every layer makes them; `planning` shows them all at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    key: str  # dotted, as typed on the command line: cluster.num_workers
    found: str
    rule: str
    try_: str = ""

    def __str__(self) -> str:
        glue = ": " if self.key and self.found and not self.found.startswith(("=", " ")) else ""
        said = f"{self.key}{glue}{self.found}"
        return f"{said} {self.rule}" + (f" Try {self.try_}" if self.try_ else "")


def did_you_mean(name: str, known: Iterable[str], *, show: int = 12) -> str:
    """The nearest known name if one is near, else the known ones: the end of a `try`."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"{near[0]}."
    more = f" … ({len(names)} in all)" if len(names) > show else ""
    return f"one of: {', '.join(names[:show])}{more}." if names else "nothing: none is known."
