"""The Plan: everything that would run, as one value. `planning` makes it, `submit` sends it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from orchestrator.runs.code import CodeTree
from orchestrator.settings.build import flatten, to_plain
from orchestrator.settings.finding import Finding
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import changed_keys, differences, fingerprint


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What must be the same in the plan and on every worker, part by part."""

    settings: str
    code: str
    packages: dict[str, str]

    @property
    def whole(self) -> str:
        canonical = json.dumps(to_plain(self), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def differences_from(self, other: Fingerprint) -> list[str]:
        """Each part in which `other` differs, in words."""
        told = []
        if self.settings != other.settings:
            told.append(f"settings {other.settings} instead of {self.settings}")
        if self.code != other.code:
            told.append(f"code {other.code} instead of {self.code}")
        for name, (mine, theirs) in changed_keys(self.packages, other.packages).items():
            told.append(f"{name} {theirs or 'missing'} instead of {mine or 'none'}")
        return told

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Fingerprint:
        return cls(**plain)


def describe_differences(expected: Fingerprint, found: list[tuple[str, Fingerprint]]) -> list[str]:
    """One line for each difference, with the ranks and nodes that have it."""
    ranks: dict[str, list[int]] = {}
    for rank, (_, mine) in enumerate(found):
        for difference in expected.differences_from(mine):
            ranks.setdefault(difference, []).append(rank)
    lines = []
    for difference, those in ranks.items():
        nodes = sorted({found[rank][0] for rank in those})
        who = "every rank" if len(those) == len(found) else f"rank {', '.join(map(str, those))}"
        lines.append(f"{who} ({', '.join(nodes)}): {difference}")
    return lines


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What is asked for, and what the cluster has, as far as it could be asked."""

    asked: dict[str, float]
    place: str  # here, or the address
    has: dict[str, float] | None = None
    nodes: int | None = None
    ray_version: str | None = None
    is_this_machine: bool = True
    can_grow: bool = False


@dataclass(frozen=True, kw_only=True)
class Forked:
    """Where a fork begins."""

    run: str
    uri: str
    job: Job
    step: int | None  # None: at the beginning, with nothing of the parent but its settings

    def to_plain(self) -> dict[str, Any]:
        return {"run": self.run, "uri": self.uri, "forked_at": self.step}


@dataclass(frozen=True, kw_only=True)
class Plan:
    kind: str
    job: Job | None  # None where the settings could not be read; then there are findings
    overrides: tuple[str, ...]
    storage: str
    derived: dict[str, Any] = field(default_factory=dict)
    resources: Resources | None = None
    code: CodeTree | None = None
    lineage: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    parent: dict[str, Any] | None = None
    children: dict[str, Job] = field(default_factory=dict)  # a pipeline's steps, by name

    @property
    def fingerprint(self) -> Fingerprint | None:
        if self.job is None or self.code is None:
            return None
        return Fingerprint(
            settings=fingerprint(self.job),
            code=self.code.fingerprint,
            packages=self.lineage.get("packages", {}),
        )

    def to_plain(self) -> dict[str, Any]:
        """What `plan --json` prints; the dirty diff stays in lineage.json."""
        job = self.job
        changed = differences(job) if job else {}
        lineage = {**self.lineage}
        if lineage.get("git"):
            lineage["git"] = {k: v for k, v in lineage["git"].items() if k != "diff"}
        return {
            "schema": "orchestrator.plan/1",
            "kind": self.kind,
            "overrides": list(self.overrides),
            "storage": self.storage,
            "findings": [to_plain(finding) for finding in self.findings],
            "warnings": list(self.warnings),
            "changed": {key: {"default": old, "value": new} for key, (old, new) in changed.items()},
            "settings": flatten(to_plain(job)) if job else None,
            "derived": self.derived,
            "resources": to_plain(self.resources),
            "code": _code_facts(self.code),
            "lineage": lineage,
            "parent": self.parent,
            "fingerprint": self.fingerprint.whole if self.fingerprint else None,
        }


def _code_facts(code: CodeTree | None) -> dict[str, Any] | None:
    if code is None:
        return None
    return {
        "root": str(code.root),
        "files": len(code.files),
        "size_bytes": code.size_bytes,
        "fingerprint": code.fingerprint,
    }
