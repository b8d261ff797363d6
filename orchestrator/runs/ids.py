"""Run ids: they sort by time, read well and are safe as file names: 20261121-031522-probe-k7f2."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from orchestrator.errors import NotFoundError, RequestError

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without the letters that look like digits
_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9][a-z0-9-]*-[a-z0-9]{4}")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
LAST = "@last"


def new_id(word: str, now: datetime | None = None) -> str:
    """The suffix sorts by time too: two characters of the second's fraction, two of chance."""
    now = now or datetime.now(UTC)
    high, low = divmod(now.microsecond * len(_ALPHABET) ** 2 // 1_000_000, len(_ALPHABET))
    chance = "".join(secrets.choice(_ALPHABET) for _ in range(2))
    moment = now.strftime("%Y%m%d-%H%M%S")
    return f"{moment}-{word}-{_ALPHABET[high]}{_ALPHABET[low]}{chance}"


def child_id(parent: str, word: str, number: int) -> str:
    """The id of a pipeline's step, counted from 1: always the same, and next in order."""
    moment, size = parent[:15], len(_ALPHABET)
    value = number
    for place, letter in enumerate(reversed(parent[-4:])):
        value += _ALPHABET.index(letter) * size**place
    later, value = divmod(value, size**4)
    if later:
        then = datetime.strptime(moment, "%Y%m%d-%H%M%S") + timedelta(seconds=later)
        moment = then.strftime("%Y%m%d-%H%M%S")
    letters = [_ALPHABET[value // size**place % size] for place in (3, 2, 1, 0)]
    return f"{moment}-{parent[16:-5]}-{word}-{''.join(letters)}"


def when(run_id: str) -> tuple[str, str]:
    """The sort key of ids by time; the word between is only for people."""
    return run_id[:15], run_id[-4:]


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def choose(part: str, ids: Sequence[str], *, where: str) -> str:
    """The one id that `part` names: a whole id, any unique part of one, or @last."""
    if part == LAST:
        if not ids:
            raise NotFoundError(f"There is no run in {where} yet.")
        return max(ids, key=when)
    if not _PART.fullmatch(part):
        raise RequestError(
            f"{part!r} cannot name a run: letters, digits and dashes only.",
            hint="List the runs with `orchestrator list`, or name the newest with @last.",
        )
    if part in ids:
        return part
    matches = sorted(id_ for id_ in ids if part in id_)
    if not matches:
        raise NotFoundError(
            f"No run in {where} has {part!r} in its id ({len(ids)} runs there).",
            hint="List them with `orchestrator list`; choose another place with --storage.",
        )
    if len(matches) > 1:
        shown = "\n  ".join(matches[-8:])
        raise NotFoundError(f"{part!r} names {len(matches)} runs; give more of the id:\n  {shown}")
    return matches[0]
