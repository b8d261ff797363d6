"""What one task reads: sources as parts of about the same size, for any number of workers the same.

The driver plans parts before it starts tasks; their numbers name the files of the prepared corpus.
Large files are divided where their kind allows it, small ones are put together in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.corpus.text.files import File, find_files
from orchestrator.corpus.text.hub import folder_modified, open_dataset
from orchestrator.corpus.text.lines import can_divide
from orchestrator.corpus.text.origin import Origin
from orchestrator.corpus.text.tables import open_parquet
from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Corpus, Layout, Source, SourceKind


@dataclass(frozen=True, kw_only=True)
class Span:
    """A piece of one file or data set."""

    uri: str
    begin: int  # bytes; row groups of parquet; rows of a data set, shards of a streamed one
    end: int | None  # None: to the end of what cannot be divided
    size_bytes: int  # stored, for progress; 0 where unknown
    modified: float  # of the file, seconds since the epoch; 0 where unknown


@dataclass(frozen=True, kw_only=True)
class Part:
    number: int  # through all sources of the corpus, in the order of the settings
    source: str
    spans: tuple[Span, ...]

    @property
    def size_bytes(self) -> int:
        return sum(span.size_bytes for span in self.spans)


def plan_parts(corpus: Corpus) -> list[Part]:
    parts: list[Part] = []
    for name, source in corpus.sources.items():
        spans = _plan_spans(name, source, corpus.part_bytes)
        for group in _grouped(spans, corpus.part_bytes):
            parts.append(Part(number=len(parts), source=name, spans=group))
    return parts


def _plan_spans(name: str, source: Source, part_bytes: int) -> Iterator[Span]:
    if source.kind is SourceKind.DATASET:
        yield from _of_dataset(Origin(name=name, source=source, uri=source.path[0]), part_bytes)
        return
    key = f"corpus.sources.{name}.path"
    files = {file.uri: file for path in source.path for file in find_files(path, key)}
    if not any(file.size_bytes for file in files.values()):
        shown = ", ".join(list(files)[:3]) + (", …" if len(files) > 3 else "")
        raise RequestError(f"{key} names only files of 0 bytes: {shown}.")
    for file in files.values():
        yield from _of_file(Origin(name=name, source=source, uri=file.uri), file, part_bytes)


def _of_file(origin: Origin, file: File, part_bytes: int) -> Iterator[Span]:
    kind = origin.source.kind
    is_text = kind is SourceKind.TEXT and origin.source.layout is not Layout.FILE
    if (is_text or kind is SourceKind.JSONL) and can_divide(origin):
        for begin, end in _divided(file.size_bytes, file.size_bytes, part_bytes):
            if end:  # an empty file has nothing to divide
                yield _span(file, begin, end, end - begin)
    elif kind is SourceKind.PARQUET and file.size_bytes > part_bytes:
        with open_parquet(origin) as opened:
            sizes = opened.group_bytes
        for group, size_bytes in enumerate(sizes):
            yield _span(file, group, group + 1, size_bytes)
    else:
        yield _span(file, 0, None, file.size_bytes)


def _of_dataset(origin: Origin, part_bytes: int) -> Iterator[Span]:
    opened = open_dataset(origin)
    if not opened.num_units:
        raise RequestError(f"{origin.key}.path={origin.uri} has no row in {origin.source.split}.")
    modified = folder_modified(origin.uri)
    file = File(uri=origin.uri, size_bytes=opened.size_bytes, modified=modified)
    if opened.is_streamed:
        spans = [(unit, unit + 1) for unit in range(opened.num_units)]
    else:
        spans = _divided(opened.num_units, opened.size_bytes, part_bytes)
    for begin, end in spans:
        size_bytes = [opened.size_bytes * unit // opened.num_units for unit in (begin, end)]
        yield _span(file, begin, end, size_bytes[1] - size_bytes[0])


def _span(file: File, begin: int, end: int | None, size_bytes: int) -> Span:
    return Span(uri=file.uri, begin=begin, end=end, size_bytes=size_bytes, modified=file.modified)


def _divided(num_units: int, num_bytes: int, part_bytes: int) -> list[tuple[int, int]]:
    """Units in equal stretches, each of part_bytes at most."""
    count = min(max(-(-num_bytes // part_bytes), 1), max(num_units, 1))
    bounds = [num_units * index // count for index in range(count + 1)]
    return list(pairwise(bounds))


def _grouped(spans: Iterator[Span], part_bytes: int) -> Iterator[tuple[Span, ...]]:
    """Consecutive spans that are no more than part_bytes together; unknown sizes stay alone."""
    group: list[Span] = []
    num_bytes = 0
    for span in spans:
        is_unknown = span.end is not None and not span.size_bytes
        if group and (is_unknown or num_bytes + span.size_bytes > part_bytes):
            yield tuple(group)
            group, num_bytes = [], 0
        group.append(span)
        num_bytes += span.size_bytes
    if group:
        yield tuple(group)
