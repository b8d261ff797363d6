"""What the tasks of `prepare` do: make a tokenizer, compare documents, tokenise and write a part.

Each is a function of (settings, part) alone but for the files that it reads, and writes its record
last: done again, on any worker, it gives the same bytes. `cluster/prepare.py` fans them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from xxhash import xxh3_64_intdigest, xxh3_128

from orchestrator.corpus import layout
from orchestrator.corpus.shards.manifest import Split, TokenizerRecord
from orchestrator.corpus.shards.statistics import Statistics
from orchestrator.corpus.shards.verify import copy_tokenizer
from orchestrator.corpus.shards.write import ShardWriter
from orchestrator.corpus.text.duplicates import find_duplicates, from_npy, sign, to_npy
from orchestrator.corpus.text.parts import Part
from orchestrator.corpus.text.read import read_part
from orchestrator.corpus.text.sentences import Divider
from orchestrator.corpus.tokens.take import take_tokenizer
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.corpus.tokens.train import train_tokenizer
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.corpus import Corpus, Duplicates

Tell = Callable[[int], None]
_BATCH_BYTES = 2**20  # of text that is tokenised at once


@dataclass(frozen=True, kw_only=True)
class PartWork:
    """What a task is given: little, since it travels."""

    corpus: Corpus
    target: str  # the URI of the prepared corpus
    part: Part


@dataclass(frozen=True, kw_only=True)
class WholeWork:
    corpus: Corpus
    target: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class PartRecord:
    """What one part became; all of them together are the manifest."""

    part: int
    source: str
    content: str  # a hash of its text
    num_duplicates: int
    splits: dict[str, Split]

    def to_json(self) -> bytes:
        splits = {name: split.to_plain() for name, split in self.splits.items()}
        return json.dumps({**vars(self), "splits": splits}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> PartRecord:
        plain = json.loads(data)
        splits = {name: Split.from_plain(split) for name, split in plain["splits"].items()}
        return cls(**{**plain, "splits": splits})


def make_tokenizer(work: WholeWork, tell: Tell) -> None:
    settings, target = work.corpus.tokenizer, open_storage(work.target)
    with TemporaryDirectory() as made:
        folder = Path(made)
        if settings.path is not None:
            take_tokenizer(settings.path, folder)
        else:
            train_tokenizer(_training_text(work, tell), settings, folder)
        for file in sorted(folder.iterdir()):
            target.write(f"{layout.TOKENIZER}/{file.name}", file.read_bytes())
        tokenizer = open_tokenizer(folder)
    record = TokenizerRecord(
        fingerprint=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        token_type=str(tokenizer.token_type),
    )
    target.write(layout.TOKENIZER_RECORD, json.dumps(vars(record)).encode())


def _training_text(work: WholeWork, tell: Tell) -> Iterator[str]:
    """Line by line, of each part the same share: from its beginning."""
    total = sum(part.size_bytes for part in work.parts)
    limit = work.corpus.tokenizer.train_bytes
    share = min(1.0, limit / max(total, 1))
    told = 0
    for part in work.parts:
        left = part.size_bytes * share if total else limit / len(work.parts)
        for document in read_part(work.corpus.sources[part.source], part):
            left -= len(document.text.encode())
            yield from document.text.split("\n")
            if left <= 0 and share < 1:
                break
        told += int(part.size_bytes * share)
        tell(told)


def sign_part(work: PartWork, tell: Tell) -> None:
    source = work.corpus.sources[work.part.source]
    signatures = sign(read_part(source, work.part, tell=tell), work.corpus)
    open_storage(work.target).write(layout.signatures(work.part.number), signatures)


def join_signatures(work: WholeWork, tell: Tell) -> None:
    """Which documents of each part are left out: those like an earlier one, whoever has it."""
    target = open_storage(work.target)
    reads = [partial(target.read, layout.signatures(part.number)) for part in work.parts]
    for part, numbers in zip(work.parts, find_duplicates(reads, work.corpus), strict=True):
        target.write(layout.duplicates(part.number), to_npy(numbers))
    target.write(layout.DUPLICATES_RECORD, b"{}")


def make_part(work: PartWork, tell: Tell) -> None:
    """Documents of one part, read, divided into sentences, tokenised and written."""
    target = open_storage(work.target)
    source = work.corpus.sources[work.part.source]
    divider = Divider(work.corpus.language, source.sentences)
    left_out = _left_out(target, work)
    content = xxh3_128()
    split = layout.TRAIN
    with _Splits(target, work, _tokenizer_of(target)) as splits:
        for number, document in enumerate(read_part(source, work.part, tell=tell)):
            encoded = document.text.encode()
            content.update(encoded)
            if not document.is_rest:  # the pieces of a document stay together
                lot = xxh3_64_intdigest(encoded) / 2**64
                split = layout.VALIDATION if lot < work.corpus.validation_share else layout.TRAIN
            if number not in left_out:
                sentences = divider.divide(document.text)
                splits.add(split, sentences, len(encoded), is_rest=document.is_rest)
        record = PartRecord(
            part=work.part.number,
            source=work.part.source,
            content=content.hexdigest(),
            num_duplicates=len(left_out),
            splits=splits.close(),
        )
    target.write(layout.part_record(work.part.number), record.to_json())


class _Splits:
    """The documents of one part on their way to its shards, tokenised some at a time."""

    def __init__(self, target: Storage, work: PartWork, tokenizer: CorpusTokenizer) -> None:
        self._tokenizer = tokenizer
        self._segmenter = work.corpus.segmenter
        self._writers = {
            split: ShardWriter(
                target,
                split,
                part=work.part.number,
                source=work.part.source,
                token_type=tokenizer.token_type,
            )
            for split in layout.SPLITS
        }
        self._statistics = {split: Statistics() for split in layout.SPLITS}
        self._waiting: dict[str, list[list[str]]] = {split: [] for split in layout.SPLITS}
        self._num_bytes = dict.fromkeys(layout.SPLITS, 0)

    def __enter__(self) -> _Splits:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            for writer in self._writers.values():
                writer.abandon()

    def add(self, split: str, sentences: list[str], num_bytes: int, *, is_rest: bool) -> None:
        self._waiting[split].append(sentences)
        self._statistics[split] = self._statistics[split].add_text(num_bytes, is_rest=is_rest)
        self._num_bytes[split] += num_bytes
        if self._num_bytes[split] >= _BATCH_BYTES:
            self._flush(split)

    def close(self) -> dict[str, Split]:
        for split in layout.SPLITS:
            self._flush(split)
        return {
            split: Split(statistics=self._statistics[split], shards=tuple(writer.close()))
            for split, writer in self._writers.items()
        }

    def _flush(self, split: str) -> None:
        if not self._waiting[split]:
            return
        rows = self._tokenizer.encode(self._waiting[split], segmenter=self._segmenter)
        self._statistics[split] += Statistics.of(rows, self._tokenizer.unknown_id)
        self._writers[split].write(rows)
        self._waiting[split], self._num_bytes[split] = [], 0


def _left_out(target: Storage, work: PartWork) -> set[int]:
    if work.corpus.duplicates is Duplicates.KEEP:
        return set()
    return set(from_npy(target.read(layout.duplicates(work.part.number))).tolist())


def _tokenizer_of(target: Storage) -> CorpusTokenizer:
    record = TokenizerRecord(**json.loads(target.read(layout.TOKENIZER_RECORD)))
    return _opened(target.uri, record.fingerprint)


@lru_cache(maxsize=1)
def _opened(target: str, fingerprint: str) -> CorpusTokenizer:
    """Once for a process; copied to this node where it is not on a disk of it."""
    corpus = open_storage(target)
    if isinstance(corpus, LocalStorage):
        return open_tokenizer(corpus.path(layout.TOKENIZER))
    with TemporaryDirectory() as copied:
        copy_tokenizer(corpus, Path(copied))
        return open_tokenizer(Path(copied))
