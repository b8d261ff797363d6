"""The steps that one with `each` stands for: one for every combination of its values.

    each: {task: [cola, rte], seed: [1, 2]}   # tune-cola-1, tune-cola-2, tune-rte-1, tune-rte-2

`pipeline.py` asks; pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from orchestrator.settings.field import setting
from orchestrator.settings.finding import Finding

STEP = r"[a-z][a-z0-9-]{0,29}"
Each = dict[str, tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class Step:
    job: str = setting("Its kind of job: prepare, pretrain …")
    overrides: tuple[str, ...] = setting(
        "Its settings, as on the command line; encoder=@STEP is the model that a step made, "
        "encoder=@encoder that of the pipeline",
        default=(),
    )
    after: tuple[str, ...] = setting(
        "Steps that must have finished before; those that its settings name are meant anyway",
        default=(),
    )
    each: Each = setting(
        "Setting → values: a run for every combination of them, as task: [cola, rte]",
        factory=dict,
    )


@dataclass(frozen=True, kw_only=True)
class Member:
    """A step as it runs; one without `each` is the only one of its kind."""

    name: str
    of: str  # the step as it was written
    step: Step
    values: Mapping[str, Any]  # of each


def members_of(steps: Mapping[str, Step], common: Each) -> list[Member]:
    """`common` are further values of all steps that have an `each`; a step's own go before."""
    found = []
    for of, step in steps.items():
        axes = axes_of(step, common)
        for values in product(*axes.values()):
            name = "-".join([of, *map(_slug, values)])
            found.append(
                Member(name=name, of=of, step=step, values=dict(zip(axes, values, strict=True)))
            )
    return found


def axes_of(step: Step, common: Each) -> Each:
    further = {key: values for key, values in common.items() if key not in step.each}
    return {**step.each, **further} if step.each else {}


def alike(members: Sequence[Member], values: Mapping[str, Any]) -> list[Member]:
    """Those with the same values, of what these are several for and the other is done for too."""
    several = [key for key in values if len({repr(one.values.get(key)) for one in members}) > 1]
    return [one for one in members if all(one.values[key] == values[key] for key in several)]


def each_findings(steps: Mapping[str, Step], common: Each) -> Iterator[Finding]:
    if common and not any(step.each for step in steps.values()):
        yield Finding(key="each", found="", rule="has no effect: no step has an `each` of its own.")
    for of, step in steps.items():
        for key, values in axes_of(step, common).items():
            at = f"steps.{of}.each.{key}" if key in step.each else f"each.{key}"
            if not values:
                yield Finding(key=at, found="=[]", rule="has no value.", try_=f"{at}=[…].")
            for value in values:
                if isinstance(value, dict | list | tuple):
                    rule = "must be text or a number: runs are named by it."
                    yield Finding(key=at, found=f"={value}", rule=rule)
    names: dict[str, Member] = {}
    for member in members_of(steps, common):
        twin = names.setdefault(member.name, member)
        if twin is not member:
            yield Finding(
                key=f"steps.{member.of}.each",
                found="",
                rule=f"gives two runs the name {member.name}: {_said(twin)} and {_said(member)}.",
                try_="other values, or another name of the step.",
            )
        elif member.values and not re.fullmatch(STEP, member.name):
            yield Finding(
                key=f"steps.{member.of}",
                found="",
                rule=f"makes the name {member.name}, which is no name of a step: at most 30 "
                f"letters, digits and dashes; it has {len(member.name)}.",
                try_="a shorter name of the step.",
            )


def _slug(value: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-")


def _said(member: Member) -> str:
    return ", ".join(f"{key}={value}" for key, value in member.values.items()) or member.of
