"""The first and the last word about a corpus: what its sources were, and its manifest.

Called by `cluster/prepare.py` before any part is made and after all are.
"""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import Any

from xxhash import xxh3_128, xxh3_128_hexdigest

from orchestrator.corpus import layout
from orchestrator.corpus.prepare import PartRecord
from orchestrator.corpus.shards.manifest import Manifest, Split, TokenizerRecord, write_manifest
from orchestrator.corpus.shards.statistics import Statistics
from orchestrator.corpus.text.parts import Part
from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs.storage import Storage
from orchestrator.settings.build import to_plain
from orchestrator.settings.corpus import Corpus
from orchestrator.settings.units import format_bytes


def refuse_changed(target: Storage, corpus: Corpus, parts: list[Part]) -> None:
    """What is in the folder must have been begun with these settings, and from these files."""
    mine: dict[str, Any] = {
        "name": corpus.name,
        "settings": corpus.fingerprint,
        "parts": xxh3_128_hexdigest(json.dumps(to_plain(parts)).encode()),
        "files": len({span.uri for part in parts for span in part.spans}),
        "size_bytes": sum(part.size_bytes for part in parts),
    }
    try:
        begun = json.loads(target.read(layout.SOURCES))
    except NotFoundError:
        target.write(layout.SOURCES, json.dumps(mine).encode())
        return
    where = f"{target.uri} holds corpus {begun['name']}"
    hint = "Give the new one a corpus.name or a corpus.path of its own, or delete that folder."
    if begun["settings"] != mine["settings"]:
        raise RequestError(
            f"{where} with settings {begun['settings']}; these are {mine['settings']}.", hint=hint
        )
    if begun != mine:
        told = [f"{one['files']} files, {format_bytes(one['size_bytes'])}" for one in (begun, mine)]
        raise RequestError(
            f"{where}, and its sources changed since it was begun: {told[0]} then, {told[1]} now"
            f"{', of other names or times' if told[0] == told[1] else ''}.",
            hint=hint,
        )


def assemble(target: Storage, corpus: Corpus, parts: list[Part]) -> Manifest:
    """Of the records of all parts; the same whoever made them."""
    tokenizer = TokenizerRecord(**json.loads(target.read(layout.TOKENIZER_RECORD)))
    records = [PartRecord.from_json(target.read(layout.part_record(part.number))) for part in parts]
    manifest = Manifest(
        name=corpus.name,
        fingerprint=corpus.fingerprint,
        sources={name: _content(name, records) for name in corpus.sources},
        tokenizer=tokenizer,
        splits={split: _joined(split, records) for split in layout.SPLITS},
    )
    if not manifest.splits[layout.TRAIN].shards:
        raise RequestError(
            f"The sources of corpus {corpus.name} have no document to train on: "
            f"{manifest.splits[layout.VALIDATION].statistics.documents} are for validation, the "
            f"rest is empty or left out.",
            hint="Look at corpus.sources, corpus.validation_share and corpus.duplicates.",
        )
    write_manifest(target, manifest)
    return manifest


def _content(source: str, records: list[PartRecord]) -> str:
    whole = xxh3_128()
    for record in records:
        if record.source == source:
            whole.update(record.content.encode())
    return whole.hexdigest()


def _joined(split: str, records: list[PartRecord]) -> Split:
    pieces = [record.splits[split] for record in records]
    statistics = reduce(add, (piece.statistics for piece in pieces), Statistics())
    return Split(
        statistics=statistics, shards=tuple(shard for piece in pieces for shard in piece.shards)
    )
