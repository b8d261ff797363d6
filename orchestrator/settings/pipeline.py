"""The `pipeline` job: runs in a graph, each an ordinary run of its own.

A step says its kind of job and its settings as on the command line; `@STEP` in a value is what that
step made, as in `encoder=@pretrain`. `planning` composes the steps, `api` runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from orchestrator.settings.build import flatten
from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.job import Job

STEP = r"[a-z][a-z0-9-]{0,29}"
LAST = "last"  # @last is the newest run, so no step is called so
REFERENCE = re.compile(rf"@({STEP})(?:@(\w+))?")  # and which of its checkpoints
REFERRING = ("encoder", "compare")  # the settings that take the name of a run
_REFERS = re.compile(rf"""\+*(?:{"|".join(REFERRING)})=\s*(["']?)@({STEP})(?:@\w+)?\1\s*""")


@dataclass(frozen=True, kw_only=True)
class Step:
    job: str = setting("Its kind of job: prepare, pretrain …")
    overrides: tuple[str, ...] = setting(
        "Its settings, as on the command line; encoder=@STEP is the model that a step made",
        default=(),
    )
    after: tuple[str, ...] = setting(
        "Steps that must have finished before; those that its settings name are meant anyway",
        default=(),
    )


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    steps: dict[str, Step] = setting("What is run, by names of yours")
    at_once: int = setting(
        "Steps that may run at the same time, where none waits for another",
        default=1,
        bounds=Bounds(at_least=1, at_most=100),
    )

    def findings(self) -> Iterator[Finding]:
        if not self.steps:
            yield Finding(key="steps", found="", rule="has no step.", try_="steps.NAME.job=probe.")
        for name, step in self.steps.items():
            if not re.fullmatch(STEP, name) or name == LAST:
                yield Finding(
                    key=f"steps.{name}",
                    found="",
                    rule="is no name of a step: lower-case letters, digits and dashes, at most 30, "
                    f"starting with a letter, and not {LAST}.",
                )
            for other in step.after:
                if other not in self.steps:
                    yield Finding(
                        key=f"steps.{name}.after",
                        found=f"={other}",
                        rule="is not a step.",
                        try_=did_you_mean(other, self.steps),
                    )


@dataclass(frozen=True, kw_only=True)
class PipelineJob(Job):
    kind: ClassVar[str] = "pipeline"

    pipeline: Pipeline = setting("What is run, and in which order")
    set_: dict[str, dict[str, Any]] = setting(
        "Further settings of a step: set.STEP.KEY=VALUE is what KEY=VALUE is to its job",
        factory=dict,
    )

    def findings(self) -> Iterator[Finding]:
        for name in self.set_:
            if name not in self.pipeline.steps:
                yield Finding(
                    key=f"set.{name}",
                    found="",
                    rule="is not a step.",
                    try_=did_you_mean(name, self.pipeline.steps),
                )

    def overrides_of(self, name: str) -> tuple[str, ...]:
        """What the step's job would be composed with on a command line of its own."""
        further = flatten(self.set_.get(name, {}))
        given = self.pipeline.steps[name].overrides
        return (*given, *(f"{key}={_spelled(value)}" for key, value in further.items()))

    def references_of(self, name: str) -> tuple[str, ...]:
        """The steps that its settings name, whether or not there are such."""
        matches = [_REFERS.fullmatch(text) for text in self.overrides_of(name)]
        named = [match[2] for match in matches if match and match[2] != LAST]
        return tuple(dict.fromkeys(named))

    def waits_for(self, name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.pipeline.steps[name].after, *self.references_of(name)]))

    def graph(self) -> dict[str, tuple[str, ...]]:
        """Step → those that must have finished before it."""
        return {name: self.waits_for(name) for name in self.pipeline.steps}


def above(graph: Mapping[str, tuple[str, ...]], name: str) -> set[str]:
    """All steps that have finished before this one begins."""
    found: set[str] = set()
    waiting = list(graph[name])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += graph.get(other, ())
    return found


def _spelled(value: Any) -> str:
    """A value as one types it, so that it is read again as the same."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_spelled(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    # Backslashes are escaped only before a quote and at the end: so Hydra reads them.
    text = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), str(value))
    return f"'{text}'"
