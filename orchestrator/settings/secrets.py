"""Secrets of the environment: found by name, so that their values can be kept out of what we write.

Used wherever text leaves the process: settings, lineage, packaged code, logs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

# GIT_AUTHOR_NAME is no secret, and a webhook's URL is one.
_NAME = re.compile(
    r"(?i)(key|token|secret|passw|passphrase|credential|auth(?!ors?(_|$))|dsn|webhook)"
)
_NOT_A_SECRET = re.compile(r"(?i)(_path|_file|_dir|_sock|_mode|_home|(?<!webhook)_url|_endpoint)$")
MASK = "«secret»"


def secret_values(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variable name → value, for values that are long and odd enough to be secrets."""
    environ = os.environ if environ is None else environ
    return {
        name: value
        for name, value in environ.items()
        if _NAME.search(name) and not _NOT_A_SECRET.search(name) and _looks_secret(value)
    }


def mask(text: str, secrets: Mapping[str, str] | None = None) -> str:
    values = (secret_values() if secrets is None else secrets).values()
    for value in sorted(values, key=len, reverse=True):  # one may begin with another
        text = text.replace(value, MASK)
    return text


def names_held_by(data: bytes, secrets: Mapping[str, str]) -> list[str]:
    """The names of the variables whose values stand in `data`."""
    return [name for name, value in secrets.items() if os.fsencode(value) in data]


def _looks_secret(value: str) -> bool:
    is_word = value.isalpha() and len(value) < 16
    return len(value) >= 8 and not is_word and not value.startswith(("/", "~"))
