"""What a population-based search may change while a trial trains: settings that a step reads anew.

The rest is part of what a checkpoint is: other shapes, another order of examples, another end. It
is checked before anything starts; `sweep.py` asks.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.settings.finding import Finding
from orchestrator.settings.space import Dimension, Shape, Space

CHANGEABLE = (
    *("optim.lr", "optim.weight_decay", "optim.betas", "optim.eps", "optim.clip_norm"),
    *("schedule.final_fraction", "transfer.dropout", "transfer.label_smoothing"),
)


def is_range(dimension: Dimension) -> bool:
    """Any number between two: what a Gaussian process can move in."""
    return dimension.shape in (Shape.UNIFORM, Shape.LOG_UNIFORM)


def population_findings(kind: str, space: Space, *, needs_ranges: bool) -> Iterator[Finding]:
    for each in space.dimensions:
        if each.key not in CHANGEABLE:
            yield Finding(
                key=f"space.{each.key}",
                found="",
                rule=f"cannot change while a trial trains, as search={kind} would have it. What "
                f"can: {', '.join(CHANGEABLE)}.",
                try_=f"{each.key}=… for all of them, or search=asha_tpe.",
            )
        elif each.when:
            rule = f"does not go with search={kind}: settings that change have no conditions."
            yield Finding(key=f"space.{each.key}.when", found="", rule=rule)
        elif needs_ranges and not is_range(each):
            yield Finding(
                key=f"space.{each.key}.{each.shape}",
                found="",
                rule=f"is no range of numbers, which the Gaussian process of search={kind} needs.",
                try_="uniform or log_uniform, or search=pbt.",
            )
