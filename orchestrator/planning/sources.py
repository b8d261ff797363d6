"""The user's Python files that a run would execute: do they compile?"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.runs.code import CodeTree
from orchestrator.settings.finding import Finding
from orchestrator.settings.job import Job


def source_findings(job: Job, code: CodeTree) -> Iterator[Finding]:
    """The job's own entry point and everything in the folders of its extensions."""
    roots = {f"{module.partition('.')[0]}" for module in job.extensions}
    for path in code.files:
        top = path.partition("/")[0].removesuffix(".py")
        if not path.endswith(".py") or not (path == f"jobs/{job.kind}.py" or top in roots):
            continue
        try:
            compile((code.root / path).read_bytes(), path, "exec")
        except (SyntaxError, ValueError) as err:
            line = getattr(err, "lineno", None)
            yield Finding(
                key="code",
                found=path,
                rule=f"does not compile: {getattr(err, 'msg', err)} (line {line}).",
                try_=f"`python -m py_compile {path}` until it does.",
            )
