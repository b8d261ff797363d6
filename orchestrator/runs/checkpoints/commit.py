"""COMMIT and rank-NNN.json: what a checkpoint holds, each byte of it under a checksum.

A rank's manifest names that rank's files and is written after them; COMMIT holds the checksums of
all manifests, and its own, and is written after those. Checksums are XXH3 of 128 bits.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xxhash import xxh3_128_hexdigest

from orchestrator.errors import RequestError, StorageError

COMMIT_SCHEMA = "orchestrator.checkpoint/1"
RANK_SCHEMA = "orchestrator.checkpoint-rank/1"
_CHECKSUM = ',"checksum":"{}"}}\n'


class Torn(StorageError):
    """Its message is what was found, without the place."""


class ForeignSchema(RequestError):
    """Of another version of this software: not damaged, and not readable here."""


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    size_bytes: int
    checksum: str


@dataclass(frozen=True, kw_only=True)
class RankManifest:
    step: int
    rank: int
    attempt: int  # of an earlier one at the same step it is stale
    files: dict[str, FileRecord]

    def to_json(self) -> bytes:
        plain = {
            "schema": RANK_SCHEMA,
            "step": self.step,
            "rank": self.rank,
            "attempt": self.attempt,
            "files": {name: dict(vars(record)) for name, record in self.files.items()},
        }
        return json.dumps(plain, indent=1).encode()

    @classmethod
    def parse(cls, data: bytes) -> RankManifest:
        plain = _parsed(data, RANK_SCHEMA)
        try:
            return cls(
                step=plain["step"],
                rank=plain["rank"],
                attempt=plain["attempt"],
                files={name: FileRecord(**each) for name, each in plain["files"].items()},
            )
        except (KeyError, TypeError, AttributeError) as err:
            raise Torn(f"lacks what a manifest says ({err!r})") from err


@dataclass(frozen=True, kw_only=True)
class Commit:
    step: int
    attempt: int
    world: int
    time: float  # seconds since the epoch
    size_bytes: int  # of all ranks' files
    ranks: tuple[str, ...]  # checksums of their manifests
    facts: dict[str, Any] = field(default_factory=dict)  # plain JSON

    @property
    def validation_loss(self) -> float | None:
        """What `checkpoint.keep_best` goes by."""
        loss = self.facts.get("validation_loss")
        return float(loss) if isinstance(loss, int | float) and math.isfinite(loss) else None

    def to_json(self) -> bytes:
        plain = {"schema": COMMIT_SCHEMA, **vars(self), "facts": _finite(self.facts)}
        data = json.dumps(plain, separators=(",", ":"), allow_nan=False).encode()
        return data[:-1] + _CHECKSUM.format(xxh3_128_hexdigest(data)).encode()

    @classmethod
    def parse(cls, data: bytes) -> Commit:
        plain = _parsed(data, COMMIT_SCHEMA)
        size = len(_CHECKSUM.format("0" * 32))
        if plain.pop("checksum", None) != xxh3_128_hexdigest(data[:-size] + b"}"):
            raise Torn("has the checksum of other content")
        del plain["schema"]
        return cls(**{**plain, "ranks": tuple(plain["ranks"])})


def _parsed(data: bytes, schema: str) -> dict[str, Any]:
    try:
        plain = json.loads(data)
    except ValueError as err:
        raise Torn(f"is not JSON ({err})") from err
    found = plain.get("schema") if isinstance(plain, dict) else None
    if found == schema:
        return dict(plain)
    name, _, version = schema.partition("/")
    if re.fullmatch(rf"{re.escape(name)}/\d+", str(found)):
        raise ForeignSchema(
            f"has schema {found}; this installation reads {name}/{version}",
            hint="Use the version of orchestrator that wrote it.",
        )
    raise Torn(f"has schema {found}, not {schema}")


def _finite(value: Any) -> Any:
    """Infinity and NaN are no JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
