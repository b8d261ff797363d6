"""What a worker process shows before it works: that it has what was planned."""

from __future__ import annotations

from pathlib import Path

from orchestrator.cluster.outcome import WorkersDiffer
from orchestrator.runs.code import differing_files, unpacked_fingerprint
from orchestrator.runs.lineage import package_versions
from orchestrator.runs.plan import Fingerprint, describe_differences
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import fingerprint


def own_fingerprint(job: Job) -> Fingerprint:
    """Of this process, in its working directory."""
    return Fingerprint(
        settings=fingerprint(job),
        code=unpacked_fingerprint(Path.cwd()) or f"missing in {Path.cwd()}",
        packages=package_versions(),
    )


def refuse_differences(expected: Fingerprint, found: list[tuple[str, Fingerprint]]) -> None:
    """`found` has a node's name and a fingerprint for each rank. One error names all of them."""
    told = describe_differences(expected, found)
    if told:
        files = differing_files(Path.cwd()) or []
        named = f" Files that differ: {', '.join(files[:5])}." if files else ""
        raise WorkersDiffer(
            "The workers do not run what was planned:\n  " + "\n  ".join(told) + named,
            hint="Install the planned versions on every node, or submit again from an environment "
            "like theirs.",
        )
