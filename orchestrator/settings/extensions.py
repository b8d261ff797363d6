"""A user's own modules: imported before settings are checked, so that their names are known."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import RequestError
from orchestrator.settings.finding import Finding


def import_extensions(modules: Sequence[str], working_dir: Path) -> None:
    """From the submitted working directory first, then from what is installed."""
    findings = check_extensions(modules, working_dir)
    if findings:
        raise RequestError("\n".join(str(finding) for finding in findings))


def check_extensions(modules: Sequence[str], working_dir: Path) -> list[Finding]:
    """Import each; a finding for one that does not. User code runs here: anything can be raised."""
    here = str(working_dir)
    if here not in sys.path:
        sys.path.insert(0, here)
    findings = []
    for module in modules:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as err:
            findings.append(_finding(module, err, working_dir))
    return findings


def _finding(module: str, err: BaseException, working_dir: Path) -> Finding:
    frames = [
        frame
        for frame in traceback.extract_tb(err.__traceback__)
        if Path(frame.filename).is_relative_to(working_dir) and "importlib" not in frame.filename
    ]
    where = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    if isinstance(err, SyntaxError) and err.filename:
        where = f" (line {err.lineno} of {err.filename})"
    if isinstance(err, ModuleNotFoundError) and err.name == module.partition(".")[0]:
        try_ = f"a module below {working_dir} or an installed one."
    else:
        try_ = f"`python -c 'import {module}'` until it runs."
    return Finding(
        key="extensions",
        found=f"={module}",
        rule=f"does not import: {type(err).__name__}: {err}{where}.",
        try_=try_,
    )
