"""A job is a value: the tree that every kind shares. Frozen when loaded; nothing edits it after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.settings.cluster import Cluster
from orchestrator.settings.code import Code
from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.notify import Notify
from orchestrator.settings.recovery import Recovery
from orchestrator.settings.tracking import Tracking

NAME = Bounds(
    pattern=r"[a-z0-9][a-z0-9-]{0,39}",
    pattern_said="lower-case letters, digits and dashes, at most 40, not starting with a dash",
)
TAG = Bounds(
    pattern=r"[A-Za-z0-9][\w.:+-]{0,63}",
    pattern_said="letters, digits and . _ : + -, at most 64, starting with a letter or digit",
)
MODULE = Bounds(
    pattern=r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", pattern_said="a dotted module name, as in an import"
)


@dataclass(frozen=True, kw_only=True)
class Job:
    kind: ClassVar[str]

    name: str | None = setting(
        "A word for the run's id; null: the job's kind", default=None, bounds=NAME
    )
    tags: tuple[str, ...] = setting("Words to find the run by", default=(), bounds=TAG)
    note: str = setting("A sentence for whoever reads the list of runs", default="")
    cluster: Cluster = setting("Where it runs and what it asks for", factory=Cluster)
    recovery: Recovery = setting("How often it is tried again by itself", factory=Recovery)
    notify: Notify = setting("Who is told when it ends", factory=Notify)
    tracking: Tracking = setting("What is shown in W&B", factory=Tracking)
    code: Code = setting("Which files travel with it", factory=Code)
    extensions: tuple[str, ...] = setting(
        "Modules of yours to import first; each may register names that settings can use",
        default=(),
        bounds=MODULE,
    )
