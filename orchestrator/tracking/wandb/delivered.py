"""Which references surely arrived in W&B: a small file in the run's folder, and what is new to it.

W&B keeps one of equal artifacts however often they are sent; this spares the sending.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from orchestrator.errors import NotFoundError
from orchestrator.runs.storage import Storage
from orchestrator.tracking.wandb import places


@dataclass(kw_only=True)
class Delivered:
    run: Storage
    project: str
    _known: set[str] = field(init=False)
    _new: set[str] = field(default_factory=set)  # given to this session

    def __post_init__(self) -> None:
        try:
            self._known = set(json.loads(self.run.read(places.DELIVERED)))
        except (NotFoundError, ValueError, TypeError):
            self._known = set()

    def has(self, name: str) -> bool:
        return self._mark(name) in self._known | self._new

    def add(self, name: str) -> None:
        self._new.add(self._mark(name))

    def write(self) -> None:
        """Once W&B has everything."""
        names = sorted(self._known | self._new)
        self.run.write(places.DELIVERED, json.dumps(names).encode())

    def _mark(self, name: str) -> str:
        return f"{self.project}: {name}"
