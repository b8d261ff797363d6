"""Relative paths in settings are of the folder where they were typed; a run works elsewhere.

So `load` makes them absolute, once: the frozen job says where the files are, whoever reads it.
"""

from __future__ import annotations

import dataclasses
from glob import has_magic
from pathlib import Path
from typing import Any

from orchestrator.settings.field import PathKind


def anchor(value: Any, working_dir: Path) -> Any:
    """A dataclass tree with the fields that are paths made absolute; all else as it was."""
    if isinstance(value, dict):
        return {key: anchor(item, working_dir) for key, item in value.items()}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        kind = field.metadata.get("path", PathKind.NONE)
        if kind is PathKind.NONE:
            changes[field.name] = anchor(inner, working_dir)
        elif isinstance(inner, tuple):
            changes[field.name] = tuple(_absolute(item, kind, working_dir) for item in inner)
        elif inner is not None:
            changes[field.name] = _absolute(inner, kind, working_dir)
    return dataclasses.replace(value, **changes)


def _absolute(text: str, kind: PathKind, working_dir: Path) -> str:
    """A name that may be on a hub, and is no pattern and not there, stays as it was typed."""
    if "://" in text or text.startswith("bundled:"):
        return text
    found = working_dir / Path(text).expanduser()
    is_file = kind is PathKind.FILE or has_magic(text) or found.exists()
    return str(found) if is_file else text
