"""What a corpus is made of: its sources, its tokenizer, and what is done to the text between.

Two jobs share these settings: `prepare` makes the corpus, `pretrain` reads it. The identity of a
prepared corpus is a fingerprint of everything here that changes a byte of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.settings.build import to_plain
from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.units import Bytes, Count

NAME = Bounds(
    pattern=r"[a-z][a-z0-9_-]{0,39}",
    pattern_said="a lower-case letter, then letters, digits, - or _, at most 40 in all",
)


class SourceKind(StrEnum):
    TEXT = "text"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    DATASET = "dataset"


class Layout(StrEnum):
    """How a text file holds documents."""

    FILE = "file"  # one document a file
    BLOCKS = "blocks"  # blank lines between documents
    PARAGRAPHS = "paragraphs"  # each line a document, or a part of the one that began before


class Sentences(StrEnum):
    SPLIT = "split"  # by the rules of the corpus's language; a line's end ends a sentence too
    LINES = "lines"  # each line is one


class Undecodable(StrEnum):
    ERROR = "error"
    REPLACE = "replace"


class Segmenter(StrEnum):
    """Whose words are masked as wholes, where the tokenizer's own are single characters."""

    NONE = "none"
    CHINESE = "chinese"
    JAPANESE = "japanese"


class Duplicates(StrEnum):
    KEEP = "keep"
    EXACT = "exact"
    NEAR = "near"


class Algorithm(StrEnum):
    WORDPIECE = "wordpiece"
    BPE = "bpe"
    UNIGRAM = "unigram"


@dataclass(frozen=True, kw_only=True)
class Source:
    kind: SourceKind = setting("What the text is in")
    path: tuple[str, ...] = setting(
        "Files: paths, globs or URIs, .gz, .xz and .zst too. For kind=dataset one hub name or "
        "the folder of a saved data set",
        path=PathKind.FILE_OR_NAME,
    )
    column: str = setting(
        "Of jsonl, csv, parquet and data sets: where the text is; a list of texts gives its lines",
        default="text",
    )
    layout: Layout = setting("Of text files: how they hold documents", default=Layout.FILE)
    document_start: str | None = setting(
        "A regular expression; each line (layout=paragraphs) or row that it matches from its "
        "beginning starts a document, and all others continue one",
        default=None,
    )
    sentences: Sentences = setting("How sentences are found", default=Sentences.SPLIT)
    delimiter: str = setting("Of csv: what stands between fields", default=",")
    encoding: str = setting("Of files", default="utf-8")
    undecodable: Undecodable = setting(
        "Bytes that are not of the encoding", default=Undecodable.ERROR
    )
    subset: str | None = setting("Of a data set: its configuration", default=None)
    split: str = setting("Of a data set", default="train")
    revision: str | None = setting(
        "Of a data set on the hub: a commit, tag or branch", default=None
    )
    streaming: bool = setting("Read a hub data set without storing it first", default=False)
    weight: float = setting(
        "How often its documents are read in an epoch: 2 is twice, 0.5 every second one",
        default=1.0,
        bounds=Bounds(above=0),
    )

    def findings(self) -> Iterator[Finding]:
        if not self.path:
            yield Finding(key="path", found="=[]", rule="names nothing.", try_="path=[data/*.txt].")
        if self.kind is SourceKind.DATASET and len(self.path) != 1:
            yield Finding(
                key="path",
                found=f"=[{', '.join(self.path)}]",
                rule="must be one name or folder with kind=dataset.",
                try_="a source of its own for each.",
            )
        if self.kind is not SourceKind.TEXT and self.layout is not Layout.FILE:
            rule = f"is of text files; {self.kind.value} has a document a row."
            yield Finding(key="layout", found=f"={self.layout.value}", rule=rule)
        if self.document_start is not None:
            yield from self._start_findings(self.document_start)
        if len(self.delimiter) != 1:
            rule = "must be one character."
            yield Finding(key="delimiter", found=f"={self.delimiter!r}", rule=rule)
        try:
            "".encode(self.encoding)
        except LookupError:
            rule = "is not an encoding that Python knows."
            yield Finding(key="encoding", found=f"={self.encoding}", rule=rule, try_="utf-8.")

    def _start_findings(self, pattern: str) -> Iterator[Finding]:
        if self.kind is SourceKind.TEXT and self.layout is not Layout.PARAGRAPHS:
            rule = f"has no meaning with layout={self.layout.value}."
            yield Finding(
                key="document_start", found=f"={pattern}", rule=rule, try_="layout=paragraphs."
            )
        try:
            re.compile(pattern)
        except re.error as err:
            rule = f"is not a regular expression: {err}."
            yield Finding(key="document_start", found=f"={pattern}", rule=rule)


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    path: str | None = setting(
        "An existing tokenizer: a directory, or a name on the hub; null: train one on the corpus",
        default=None,
        path=PathKind.FILE_OR_NAME,
    )
    algorithm: Algorithm = setting(
        "Of a trained one: wordpiece (BERT), bpe on bytes (RoBERTa), unigram (ALBERT)",
        default=Algorithm.WORDPIECE,
    )
    vocab_size: Count = setting(
        "Words of a trained one, special tokens included, at most",
        default=30522,
        bounds=Bounds(at_least=64, at_most=2**20),
    )
    lowercase: bool = setting("Of a trained wordpiece or unigram", default=True)
    min_frequency: int = setting(
        "How often a pair must be seen to become a word", default=2, bounds=Bounds(at_least=1)
    )
    train_bytes: Bytes = setting(
        "Text that training reads at most, spread evenly over the sources",
        default=2**30,
        bounds=Bounds(at_least=1024),
    )


@dataclass(frozen=True, kw_only=True)
class Corpus:
    name: str = setting("What it is called", bounds=NAME)
    path: str | None = setting(
        "Folder or URI of the prepared corpus; null: corpora/<name>-<fingerprint> in the storage",
        default=None,
        path=PathKind.FILE,
    )
    sources: dict[str, Source] = setting("Where the text comes from, by name")
    language: str = setting(
        "Whose rules end sentences: an ISO 639 code",
        default="en",
        bounds=Bounds(pattern=r"[a-z]{2,3}", pattern_said="a code such as en, zh or ja"),
    )
    segmenter: Segmenter = setting(
        "Words that whole-word masking keeps together in Chinese or Japanese",
        default=Segmenter.NONE,
    )
    tokenizer: Tokenizer = setting("What turns text into tokens", factory=Tokenizer)
    validation_share: float = setting(
        "Documents that are kept for validation, chosen by a hash of their text",
        default=0.005,
        bounds=Bounds(at_least=0, at_most=0.5),
    )
    duplicates: Duplicates = setting(
        "Remove documents that are the same (exact) or almost the same (near) as an earlier one",
        default=Duplicates.KEEP,
    )
    near_similarity: float = setting(
        "Share of common word triples from which two documents are almost the same",
        default=0.8,
        bounds=Bounds(at_least=0.5, at_most=1.0),
    )
    part_bytes: Bytes = setting(
        "Stored bytes of source that one task reads; the shards of a corpus follow from it",
        default=64 * 2**20,
        bounds=Bounds(at_least=1024),
    )

    def findings(self) -> Iterator[Finding]:
        if not self.sources:
            yield Finding(
                key="sources",
                found="={}",
                rule="is empty.",
                try_="corpus=factbook for a ready one.",
            )
        for name in self.sources:
            if NAME.broken_by(name):
                rule = f"names of sources {NAME.broken_by(name)}"
                yield Finding(key=f"sources.{name}", found="", rule=rule)

    @property
    def fingerprint(self) -> str:
        """Of all that changes a byte: not the path, and not how often a source is read."""
        plain = to_plain(self)
        del plain["path"]
        for source in plain["sources"].values():
            del source["weight"]
        canonical = json.dumps(plain, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
