"""manifest.json: what a prepared corpus holds, and where in its shards the arrays of a row lie.

`prepare` writes it last, so that a corpus exists only when it does; everybody who reads a corpus
begins here. A batch is one short list of numbers, since a corpus may have 100,000 of them:
`batch_columns` names them, places count bytes from the batch's begin, a checksum is XXH3 (64 bits
of a batch or a header, 128 of a file).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_hexdigest

from orchestrator.corpus import layout
from orchestrator.corpus.shards.statistics import Statistics
from orchestrator.errors import NotFoundError, RequestError, StorageError
from orchestrator.runs.storage import Storage

SCHEMA = "orchestrator.corpus/1"
BATCH = np.dtype(
    [
        ("checksum", np.uint64),  # of the whole message
        ("begin", np.int64),  # of the message in its file
        ("size_bytes", np.uint32),
        ("rows", np.uint32),
        ("tokens", np.uint32),
        ("sentences", np.uint32),
        ("token_offsets", np.uint32),
        ("token_values", np.uint32),
        ("sentence_offsets", np.uint32),
        ("sentence_values", np.uint32),
        ("word_start_bits", np.uint32),
    ]
)
Batches = npt.NDArray[np.void]  # of BATCH
_CHECKSUM = ',"checksum":"{}"}}\n'


@dataclass(frozen=True, kw_only=True)
class Shard:
    path: str  # below the corpus
    source: str
    rows: int
    tokens: int
    sentences: int
    size_bytes: int
    header_checksum: str  # of what is before the first batch
    checksum: str  # of the whole file
    batches: Batches = field(compare=False, repr=False)  # the checksum is of them too

    def to_plain(self) -> dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["batches"] = [[f"{first:016x}", *rest] for first, *rest in self.batches.tolist()]
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Shard:
        rows = [(int(first, 16), *rest) for first, *rest in plain["batches"]]
        return cls(**{**plain, "batches": np.array(rows, BATCH)})


@dataclass(frozen=True, kw_only=True)
class Split:
    statistics: Statistics
    shards: tuple[Shard, ...]

    def to_plain(self) -> dict[str, Any]:
        shards = [shard.to_plain() for shard in self.shards]
        return {"statistics": self.statistics.to_plain(), "shards": shards}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Split:
        return cls(
            statistics=Statistics.from_plain(plain["statistics"]),
            shards=tuple(Shard.from_plain(shard) for shard in plain["shards"]),
        )


@dataclass(frozen=True, kw_only=True)
class TokenizerRecord:
    fingerprint: str
    vocab_size: int
    token_type: str  # of numpy: uint16 or uint32


@dataclass(frozen=True, kw_only=True)
class Manifest:
    name: str
    fingerprint: str  # of the settings
    sources: dict[str, str]  # name → fingerprint of its content
    tokenizer: TokenizerRecord
    splits: dict[str, Split]

    @property
    def shards(self) -> tuple[Shard, ...]:
        return tuple(shard for split in self.splits.values() for shard in split.shards)

    @property
    def size_bytes(self) -> int:
        return sum(shard.size_bytes for shard in self.shards)

    def to_json(self) -> bytes:
        plain = {
            "schema": SCHEMA,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "sources": self.sources,
            "tokenizer": dict(vars(self.tokenizer)),
            "batch_columns": BATCH.names,
            "splits": {name: split.to_plain() for name, split in self.splits.items()},
        }
        data = json.dumps(plain, separators=(",", ":")).encode()
        return data[:-1] + _CHECKSUM.format(xxh3_128_hexdigest(data)).encode()


def write_manifest(corpus: Storage, manifest: Manifest) -> None:
    corpus.write(layout.MANIFEST, manifest.to_json())


def read_manifest(corpus: Storage) -> Manifest:
    return parse_manifest(read_bytes(corpus), corpus.uri_of(layout.MANIFEST))


def read_bytes(corpus: Storage) -> bytes:
    try:
        return corpus.read(layout.MANIFEST)
    except NotFoundError as err:
        raise NotFoundError(
            f"{corpus.uri} holds no prepared corpus: {layout.MANIFEST}, which is written last, "
            "is not there.",
            hint="Prepare it (again): `orchestrator run prepare` goes on with what is done.",
        ) from err


def parse_manifest(data: bytes, where: str) -> Manifest:
    try:
        plain = json.loads(data)
    except ValueError as err:
        raise _damaged(where, f"it is not JSON ({err})") from err
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != SCHEMA:
        raise _foreign(where, schema)
    size = len(_CHECKSUM.format("0" * 32))
    if plain.get("checksum") != xxh3_128_hexdigest(data[:-size] + b"}"):
        raise _damaged(where, "its checksum is that of other content")
    return Manifest(
        name=plain["name"],
        fingerprint=plain["fingerprint"],
        sources=plain["sources"],
        tokenizer=TokenizerRecord(**plain["tokenizer"]),
        splits={name: Split.from_plain(split) for name, split in plain["splits"].items()},
    )


def _foreign(where: str, schema: object) -> RequestError:
    name, _, version = SCHEMA.partition("/")
    if re.fullmatch(rf"{re.escape(name)}/\d+", str(schema)):
        return RequestError(
            f"{where} has schema {schema}; this installation reads {name}/{version}.",
            hint="Use the version of orchestrator that prepared the corpus, or prepare it again.",
        )
    return RequestError(
        f"{where} is not the manifest of a prepared corpus: its schema is {schema}, not {SCHEMA}.",
        hint="Name the folder that `orchestrator run prepare` ended with.",
    )


def _damaged(where: str, found: str) -> StorageError:
    return StorageError(
        f"{where} is damaged: {found}.",
        hint="Nobody edits a manifest. Copy it again from where it came, or prepare the corpus "
        "again.",
    )
