"""The `pipeline` job: runs in a graph, each an ordinary run of its own.

A step says its kind of job and its settings as on the command line; `@STEP` in a value is what that
step made, as in `encoder=@pretrain`. `planning` composes the steps, `api` runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from orchestrator.settings.build import flatten
from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.job import Job
from orchestrator.settings.members import STEP, Each, Member, Step, alike, each_findings, members_of

LAST = "last"  # @last is the newest run, so no step is called so
GIVEN = "encoder"  # @encoder is that of the pipeline
REFERENCE = re.compile(rf"@({STEP})(?:@(\w+))?")  # and which of its checkpoints
REFERRING = ("encoder", "compare")  # the settings that take the name of a run
_REFERS = re.compile(
    rf"""(?P<key>\+*(?:{"|".join(REFERRING)}))=\s*(?P<quote>["']?)@(?P<step>{STEP})"""
    r"""(?P<choice>@\w+)?(?P=quote)\s*"""
)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    steps: dict[str, Step] = setting("What is run, by names of yours")
    each: Each = setting(
        "Setting → values, for all steps that have an `each`: as seed: [1, 2, 3]", factory=dict
    )
    apart: tuple[str, ...] = setting(
        "Tasks that the table of scores shows and leaves out of its average", default=()
    )
    at_once: int = setting(
        "Steps that may run at the same time, where none waits for another",
        default=1,
        bounds=Bounds(at_least=1, at_most=100),
    )

    def findings(self) -> Iterator[Finding]:
        if not self.steps:
            yield Finding(key="steps", found="", rule="has no step.", try_="steps.NAME.job=probe.")
        for name, step in self.steps.items():
            if not re.fullmatch(STEP, name) or name in (LAST, GIVEN):
                yield Finding(
                    key=f"steps.{name}",
                    found="",
                    rule="is no name of a step: lower-case letters, digits and dashes, at most 30, "
                    f"starting with a letter, and neither {LAST} nor {GIVEN}.",
                )
            for other in step.after:
                if other not in self.steps:
                    yield Finding(
                        key=f"steps.{name}.after",
                        found=f"={other}",
                        rule="is not a step.",
                        try_=did_you_mean(other, self.steps),
                    )
        yield from each_findings(self.steps, self.each)


@dataclass(frozen=True, kw_only=True)
class PipelineJob(Job):
    kind: ClassVar[str] = "pipeline"

    pipeline: Pipeline = setting("What is run, and in which order")
    encoder: str | None = setting(
        "What encoder=@encoder is in the steps: a run, or a directory",
        default=None,
        path=PathKind.FILE_OR_NAME,
    )
    set_: dict[str, dict[str, Any]] = setting(
        "Further settings of a step: set.STEP.KEY=VALUE is what KEY=VALUE is to its job",
        factory=dict,
    )

    def findings(self) -> Iterator[Finding]:
        known = {*self.pipeline.steps, *self.members}
        for name in self.set_:
            if name not in known:
                yield Finding(
                    key=f"set.{name}",
                    found="",
                    rule="is not a step.",
                    try_=did_you_mean(name, known),
                )
        takers = [name for name in self.members if self._named_by(name, GIVEN)]
        if takers and self.encoder is None:
            more = f" and {len(takers) - 1} more" if takers[1:] else ""
            yield Finding(
                key="encoder",
                found="",
                rule=f"must be given: {takers[0]}{more} begin{'' if more else 's'} with it.",
                try_="encoder=RUN, or encoder=DIRECTORY.",
            )
        if self.encoder is not None and not takers:
            yield Finding(
                key="encoder",
                found=f"={self.encoder}",
                rule="has no effect: no step of this pipeline says encoder=@encoder.",
            )

    @cached_property
    def members(self) -> dict[str, Member]:
        """What runs, by name: a step with `each` is several."""
        found = members_of(self.pipeline.steps, self.pipeline.each)
        return {member.name: member for member in found}

    def overrides_of(self, name: str) -> tuple[str, ...]:
        """What the step's job would be composed with on a command line of its own."""
        member = self.members[name]
        given = (self._resolved(text, member) for text in member.step.overrides)
        values = (f"{key}={_spelled(value)}" for key, value in member.values.items())
        set_ = {**flatten(self.set_.get(member.of, {})), **flatten(self.set_.get(name, {}))}
        further = (f"{key}={_spelled(value)}" for key, value in set_.items())
        return (*given, *values, *(self._resolved(text, member) for text in further))

    def references_of(self, name: str) -> tuple[str, ...]:
        """The steps that its settings name, whether or not there are such."""
        matches = [_REFERS.fullmatch(text) for text in self.overrides_of(name)]
        named = [match["step"] for match in matches if match]
        return tuple(dict.fromkeys(one for one in named if one not in (LAST, GIVEN)))

    def waits_for(self, name: str) -> tuple[str, ...]:
        after = [one for of in self.members[name].step.after for one in self.runs_of(of) or (of,)]
        return tuple(dict.fromkeys([*after, *self.references_of(name)]))

    def runs_of(self, step: str) -> tuple[str, ...]:
        """The names of what a step as it is written stands for."""
        return tuple(name for name, member in self.members.items() if member.of == step)

    def graph(self) -> dict[str, tuple[str, ...]]:
        """Step → those that must have finished before it."""
        return {name: self.waits_for(name) for name in self.members}

    def _resolved(self, text: str, member: Member) -> str:
        """`@STEP` of a step that is several: the run for the same values, if it is but one."""
        match = _REFERS.fullmatch(text)
        if match is None:
            return text
        if match["step"] == GIVEN:
            if self.encoder is None:
                return text
            return f"{match['key']}={_spelled(self.encoder + (match['choice'] or ''))}"
        same = alike([self.members[one] for one in self.runs_of(match["step"])], member.values)
        if len(same) != 1 or not same[0].values:
            return text
        return f"{match['key']}=@{same[0].name}{match['choice'] or ''}"

    def _named_by(self, name: str, step: str) -> bool:
        matches = map(_REFERS.fullmatch, self.members[name].step.overrides)
        return any(match is not None and match["step"] == step for match in matches)


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
