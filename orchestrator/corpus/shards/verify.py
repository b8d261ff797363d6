"""Whether a prepared corpus is byte for byte what was prepared. All that is not is told.

`corpus verify` calls it, and the node cache for a corpus that is read where it lies. The header,
each batch and the end of a shard have checksums of their own, so that what is wrong has a place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from xxhash import xxh3_64, xxh3_64_intdigest

from orchestrator.corpus import layout
from orchestrator.corpus.shards.manifest import Manifest, Shard
from orchestrator.corpus.shards.message import END
from orchestrator.errors import OrchestratorError
from orchestrator.runs.storage import LocalStorage, Storage

Tell = Callable[[int, int], None]  # bytes done, of how many
Fingerprint = Callable[[Path], str]  # of a tokenizer's folder
_CHUNK_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class Damage:
    path: str  # below the corpus
    found: str

    def __str__(self) -> str:
        return f"{self.path} {self.found}"


def find_damages(corpus: Storage, manifest: Manifest, tell: Tell) -> Iterator[Damage]:
    """Of the shards. One chunk is in memory."""
    done, total = 0, manifest.size_bytes
    for shard in manifest.shards:
        size = corpus.size(shard.path)
        if size != shard.size_bytes:
            there = corpus.exists(shard.path)
            found = f"has {size:,} bytes, not {shard.size_bytes:,}" if there else "is missing"
            yield Damage(path=shard.path, found=found)
        else:
            for piece in _pieces(shard):
                checksum = xxh3_64()
                for begin in range(piece.begin, piece.end, _CHUNK_BYTES):
                    size = min(_CHUNK_BYTES, piece.end - begin)
                    checksum.update(corpus.read(shard.path, start=begin, size=size))
                    tell(done + begin + size, total)
                if checksum.intdigest() != piece.checksum:
                    place = f"{piece.name} (bytes {piece.begin:,} to {piece.end:,})"
                    yield Damage(path=shard.path, found=f"is damaged: {place}")
        done += shard.size_bytes
        tell(done, total)


@dataclass(frozen=True, kw_only=True)
class _Piece:
    name: str
    begin: int
    end: int
    checksum: int


def _pieces(shard: Shard) -> Iterator[_Piece]:
    begins = [*shard.batches["begin"].tolist(), shard.size_bytes - len(END)]
    checksum = int(shard.header_checksum, 16)
    yield _Piece(name="header", begin=0, end=begins[0], checksum=checksum)
    for number, checksum in enumerate(shard.batches["checksum"].tolist()):
        begin, end = begins[number : number + 2]
        yield _Piece(name=f"batch {number}", begin=begin, end=end, checksum=checksum)
    checksum = xxh3_64_intdigest(END)
    yield _Piece(name="end", begin=begins[-1], end=shard.size_bytes, checksum=checksum)


def find_tokenizer_damage(
    corpus: Storage, manifest: Manifest, fingerprint_of: Fingerprint
) -> Damage | None:
    try:
        if isinstance(corpus, LocalStorage):
            found = fingerprint_of(corpus.path(layout.TOKENIZER))
        else:
            with TemporaryDirectory() as folder:
                copy_tokenizer(corpus, Path(folder))
                found = fingerprint_of(Path(folder))
    except OrchestratorError as err:
        return Damage(path=layout.TOKENIZER, found=f"cannot be opened: {err.message}")
    if found == manifest.tokenizer.fingerprint:
        return None
    found = f"has fingerprint {found}, not {manifest.tokenizer.fingerprint}"
    return Damage(path=layout.TOKENIZER, found=found)


def copy_tokenizer(corpus: Storage, folder: Path) -> None:
    for entry in corpus.list(layout.TOKENIZER):
        (folder / entry.name).write_bytes(corpus.read(f"{layout.TOKENIZER}/{entry.name}"))
