"""A search space: which settings of a fine-tune are tried, and which values each may have.

It is nested like the job: `{optim: {lr: {log_uniform: [1e-5, 1e-4]}}}`. A mapping whose key names a
distribution is a dimension; `when` beside it says under which choices it is there at all. Pure:
`planning` checks it, `tuning` draws from it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any

from orchestrator.settings.build import flatten
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.schema import join
from orchestrator.settings.units import Unit, parse

Point = dict[str, Any]  # dotted key → value; what does not apply is absent
WHEN = "when"


class Shape(StrEnum):
    CHOICE = "choice"  # [a, b, …]
    UNIFORM = "uniform"  # [low, high]
    LOG_UNIFORM = "log_uniform"  # [low, high]
    INTEGER = "integer"  # [low, high], both may come
    QUANTISED = "quantised"  # [low, high, step]


@dataclass(frozen=True, kw_only=True)
class Dimension:
    key: str
    shape: Shape
    values: tuple[Any, ...]  # the options of a choice, else the numbers in brackets above
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def applies(self, point: Mapping[str, Any]) -> bool:
        return all(key in point and point[key] in values for key, values in self.when)

    @property
    def options(self) -> tuple[Any, ...] | None:
        """All its values, where they can be counted."""
        if self.shape is Shape.CHOICE:
            return self.values
        if self.shape is Shape.INTEGER:
            return tuple(range(self.values[0], self.values[1] + 1))
        if self.shape is Shape.QUANTISED:
            low, high, step = self.values
            count = math.floor((high - low) / step + 1e-9) + 1
            return tuple(round(low + number * step, 12) for number in range(count))
        return None

    @property
    def edges(self) -> tuple[Any, ...]:
        """What is asked of the schema before anything starts."""
        if self.shape is Shape.CHOICE:
            return self.values
        return self.values[:2] if self.options is None else (self.options[0], self.options[-1])

    def at(self, share: float) -> Any:
        """The value that lies so far through it; `share` is from 0 to below 1."""
        if (options := self.options) is not None:
            return options[math.floor(share * len(options))]
        low, high = self.values
        if self.shape is Shape.LOG_UNIFORM:
            return float(low * (high / low) ** share)
        return float(low + (high - low) * share)


@dataclass(frozen=True, kw_only=True)
class Space:
    dimensions: tuple[Dimension, ...]  # none before those that its `when` names

    @property
    def size(self) -> int | None:
        """How many points it has, where they can be counted."""
        if any(dimension.options is None for dimension in self.dimensions):
            return None
        return sum(1 for _ in self.grid())

    def grid(self) -> Iterator[Point]:
        """Every point; the first dimension changes slowest."""
        yield from self._below({}, self.dimensions)

    def _below(self, point: Point, left: Sequence[Dimension]) -> Iterator[Point]:
        if not left:
            yield dict(point)
            return
        first, *others = left
        if not first.applies(point):
            yield from self._below(point, others)
            return
        for value in first.options or ():
            yield from self._below(point | {first.key: value}, others)

    def at(self, shares: Iterator[float]) -> Point:
        """One share is taken for each dimension, whether it applies or not."""
        point: Point = {}
        for dimension, share in zip(self.dimensions, shares, strict=False):
            if dimension.applies(point):
                point[dimension.key] = dimension.at(share)
        return point

    def corners(self, *, most: int) -> Iterator[Point]:
        """Points that together have every edge of every dimension, and what they do together."""
        edged = Space(
            dimensions=tuple(
                Dimension(key=each.key, shape=Shape.CHOICE, values=each.edges, when=each.when)
                for each in self.dimensions
            )
        )
        yield from itertools.islice(edged.grid(), most)


def read_space(plain: object) -> tuple[Space, list[Finding]]:
    """What can be read of it, and what is wrong with the rest."""
    findings: list[Finding] = []
    found = {each.key: each for each in _dimensions(plain, "", findings)}
    if not found and not findings:
        rule = "is empty: there is nothing to search."
        findings.append(Finding(key="space", found="", rule=rule, try_="space=finetune."))
    for each in found.values():
        findings += _when_findings(each, found)
    graph = {
        key: [other for other, _ in each.when if other in found] for key, each in found.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as err:
        said = " → ".join(map(str, reversed(err.args[1])))
        findings.append(Finding(key="space", found=f": {said}", rule="wait for each other."))
        order = list(found)
    if not any(each.when for each in found.values()):
        order = list(found)  # as they were written
    return Space(dimensions=tuple(found[key] for key in order)), findings


def _dimensions(plain: object, at: str, findings: list[Finding]) -> Iterator[Dimension]:
    if not isinstance(plain, Mapping):
        near = "{choice: [a, b]} or {uniform: [low, high]}."
        rule = "must be a mapping: a distribution, or further keys."
        findings.append(Finding(key=join("space", at), found=f"={plain}", rule=rule, try_=near))
        return
    given = {str(key): value for key, value in plain.items() if value is not None}
    shapes = [key for key in given if key in list(Shape)]
    if not shapes:
        for key, value in given.items():
            if key == WHEN and at:
                rule = "stands beside no distribution."
                findings.append(Finding(key=f"space.{at}.when", found="", rule=rule))
            else:
                yield from _dimensions(value, join(at, key), findings)
        return
    if len(shapes) > 1 or set(given) - {*shapes, WHEN}:
        rule = "must have one distribution, and `when` at most beside it."
        said = f" has {', '.join(given)}"
        near = f"space.{at}.{shapes[0]}=null to take one out."
        findings.append(Finding(key=f"space.{at}", found=said, rule=rule, try_=near))
        return
    shape = Shape(shapes[0])
    values = _values(shape, given[shape], f"space.{at}.{shape}", findings)
    when = _when(given.get(WHEN, {}), f"space.{at}.when", findings)
    if values is not None and when is not None:
        yield Dimension(key=at, shape=shape, values=values, when=when)


def _values(
    shape: Shape, plain: object, at: str, findings: list[Finding]
) -> tuple[Any, ...] | None:
    said = "a list of values" if shape is Shape.CHOICE else "[low, high]"
    said = "[low, high, step]" if shape is Shape.QUANTISED else said
    size = {Shape.CHOICE: None, Shape.QUANTISED: 3}.get(shape, 2)

    def wrong(rule: str) -> None:
        findings.append(Finding(key=at, found=f"={plain}", rule=rule))

    if not isinstance(plain, list | tuple) or not plain or (size and len(plain) != size):
        wrong(f"must be {said}.")
        return None
    if shape is Shape.CHOICE:
        if len({repr(value) for value in plain}) < len(plain):
            wrong("names a value twice.")
            return None
        return tuple(plain)
    try:
        numbers = tuple(parse(value, Unit.COUNT) for value in plain)
    except ValueError:
        wrong(f"must be {said}, all numbers.")
        return None
    if shape is Shape.INTEGER and any(number != int(number) for number in numbers):
        wrong("must be whole numbers.")
    elif numbers[0] >= numbers[1]:
        wrong("must begin with the smaller number.")
    elif shape is Shape.LOG_UNIFORM and numbers[0] <= 0:
        wrong("must begin above 0: its logarithm is drawn.")
    elif shape is Shape.QUANTISED and not 0 < numbers[2] <= numbers[1] - numbers[0]:
        wrong("has a step that does not fit in between.")
    else:
        return tuple(map(int if shape is Shape.INTEGER else float, numbers))
    return None


def _when(
    plain: object, at: str, findings: list[Finding]
) -> tuple[tuple[str, tuple[Any, ...]], ...] | None:
    if not isinstance(plain, Mapping):
        rule = "must name other dimensions and their values."
        near = "{transfer.way: [adapters]}."
        findings.append(Finding(key=at, found=f"={plain}", rule=rule, try_=near))
        return None
    return tuple(
        (key, tuple(value) if isinstance(value, list | tuple) else (value,))
        for key, value in flatten(plain).items()
    )


def _when_findings(dimension: Dimension, known: Mapping[str, Dimension]) -> Iterator[Finding]:
    at = f"space.{dimension.key}.when"
    for key, values in dimension.when:
        other = known.get(key)
        if other is None:
            near = did_you_mean(key, known)
            yield Finding(key=at, found=f": {key}", rule="is not a dimension.", try_=near)
        elif other.options is None:
            yield Finding(key=at, found=f": {key}", rule="has no choices to depend on.")
        else:
            for value in values:
                if value not in other.options:
                    said = ", ".join(map(str, other.options))
                    rule = f"is never so: its values are {said}."
                    yield Finding(key=at, found=f": {key}={value}", rule=rule)
