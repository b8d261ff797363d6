"""The documents of one part, in order, whatever its source is in. The tasks of `prepare` call it.

All parts together give each document once: it belongs to the span in which it begins, and is read
past that span's end where it goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from orchestrator.corpus.text.documents import (
    Document,
    Stretch,
    Texts,
    blocks,
    each,
    started,
    whole,
)
from orchestrator.corpus.text.hub import DataSet, open_dataset
from orchestrator.corpus.text.lines import Block, follows_blank, open_lines
from orchestrator.corpus.text.origin import Origin
from orchestrator.corpus.text.parts import Part, Span
from orchestrator.corpus.text.records import csv_texts, jsonl_texts
from orchestrator.corpus.text.streams import Meter
from orchestrator.corpus.text.tables import ParquetFile, open_parquet
from orchestrator.settings.corpus import Layout, Source, SourceKind

__all__ = ["Document", "read_part"]


def read_part(
    source: Source, part: Part, *, tell: Callable[[int], None] = lambda done: None
) -> Iterator[Document]:
    """`tell` is told now and then how many stored bytes of the part have been read."""
    done = 0
    for span in part.spans:
        origin = Origin(name=part.source, source=source, uri=span.uri)
        yield from _READERS[source.kind](origin, span, _meter(tell, done, span.size_bytes))
        done += span.size_bytes
        tell(done)


def _meter(tell: Callable[[int], None], done: int, most: int) -> Meter:
    """Reading takes whole chunks, and more than the span for its last document."""
    num_bytes = 0

    def add(more: int) -> None:
        nonlocal num_bytes
        num_bytes = min(num_bytes + more, most)
        tell(done + num_bytes)

    return add


def _read_text(origin: Origin, span: Span, meter: Meter) -> Iterator[Document]:
    layout = origin.source.layout
    reader = open_lines(origin, span.begin, span.end, meter)
    if layout is Layout.FILE:
        return whole(Stretch(own=_texts(reader.blocks(None), _as_one)))
    stretch = Stretch(
        own=_texts(reader.blocks(span.end), _as_lines),
        beyond=_texts(reader.blocks(None), _as_lines),
        is_first=span.begin == 0,
        is_inside=layout is Layout.BLOCKS
        and span.begin > 0
        and not follows_blank(origin, reader.position),
    )
    return blocks(stretch) if layout is Layout.BLOCKS else _of_rows(stretch, origin)


def _read_jsonl(origin: Origin, span: Span, meter: Meter) -> Iterator[Document]:
    reader = open_lines(origin, span.begin, span.end, meter)
    stretch = Stretch(
        own=jsonl_texts(reader, span.end, origin),
        beyond=jsonl_texts(reader, None, origin),
        is_first=span.begin == 0,
    )
    return _of_rows(stretch, origin)


def _read_csv(origin: Origin, span: Span, meter: Meter) -> Iterator[Document]:
    reader = open_lines(origin, span.begin, span.end, meter)
    return _of_rows(Stretch(own=csv_texts(reader, origin)), origin)


def _read_parquet(origin: Origin, span: Span, meter: Meter) -> Iterator[Document]:
    with open_parquet(origin) as file:
        yield from _of_rows(_stretch(file, file.num_groups, span, meter), origin)


def _read_dataset(origin: Origin, span: Span, meter: Meter) -> Iterator[Document]:
    opened = open_dataset(origin)
    return _of_rows(_stretch(opened, opened.num_units, span, meter), origin)


_READERS: dict[SourceKind, Callable[[Origin, Span, Meter], Iterator[Document]]] = {
    SourceKind.TEXT: _read_text,
    SourceKind.JSONL: _read_jsonl,
    SourceKind.CSV: _read_csv,
    SourceKind.PARQUET: _read_parquet,
    SourceKind.DATASET: _read_dataset,
}


def _stretch(opened: ParquetFile | DataSet, num_units: int, span: Span, meter: Meter) -> Stretch:
    end = num_units if span.end is None else span.end
    return Stretch(
        own=opened.texts(range(span.begin, end), meter),
        beyond=opened.texts(range(end, num_units), meter),
        is_first=span.begin == 0,
    )


def _of_rows(stretch: Stretch, origin: Origin) -> Iterator[Document]:
    start = origin.source.document_start
    return each(stretch) if start is None else started(stretch, re.compile(start))


def _texts(blocks: Iterator[Block], split: Callable[[str], list[str]]) -> Iterator[Texts]:
    for block in blocks:
        yield Texts(items=split(block.text), is_open=block.is_open)


def _as_one(text: str) -> list[str]:
    return [text]


def _as_lines(text: str) -> list[str]:
    return text.split("\n")
