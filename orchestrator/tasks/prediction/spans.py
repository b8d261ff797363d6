"""What one task reads of the input: spans of files, put together to parts of about the same size.

The driver plans spans from sizes alone; a look at the rows makes them exact, and parts of them.
Parts are kept for whoever resumes: they are the same until the end of the run.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from pyarrow import ArrowException, parquet

from orchestrator.corpus.text.files import File, find_files, locate
from orchestrator.corpus.text.streams import is_compressed, is_divisible
from orchestrator.errors import RequestError
from orchestrator.settings.predict import Input, InputKind

_LEAST_BYTES, _MOST_BYTES = 2**16, 2**23  # of a part, where no setting says
_PARTS_A_WORKER = 8  # so that none waits long for the last


@dataclass(frozen=True, kw_only=True)
class Span:
    """Rows of one file that follow each other."""

    uri: str
    kind: InputKind
    begin: int  # bytes, decompressed; rows of parquet
    end: int | None  # None: to the end of the file
    size_bytes: int  # about
    first_line: int = 1  # of its file; rows of parquet
    num_lines: int = 0
    num_rows: int = 0
    header: tuple[str, ...] = ()  # of csv, for spans behind the first


@dataclass(frozen=True, kw_only=True)
class Part:
    number: int
    spans: tuple[Span, ...]

    @property
    def num_rows(self) -> int:
        return sum(span.num_rows for span in self.spans)


def input_files(settings: Input) -> list[tuple[File, InputKind]]:
    """In the order of the settings; of a pattern by name."""
    found = {file.uri: file for path in settings.path for file in find_files(path, "input.path")}
    files = []
    for file in found.values():
        kind = settings.kind_of(file.uri)
        if kind is None:
            raise RequestError(
                f"input.path: nothing in the name of {file.uri} says what its rows are in.",
                hint=f"input.kind is one of {', '.join(InputKind)}.",
            )
        files.append((file, kind))
    if not any(file.size_bytes for file, _ in files):
        raise RequestError(f"input.path names only files of 0 bytes: {files[0][0].uri}.")
    return files


def part_bytes(settings: Input, num_bytes: int, workers: int) -> int:
    if settings.part_bytes is not None:
        return settings.part_bytes
    return min(max(num_bytes // (workers * _PARTS_A_WORKER), _LEAST_BYTES), _MOST_BYTES)


def plan_spans(files: list[tuple[File, InputKind]], encoding: str, size: int) -> Iterator[Span]:
    """Where lines can be found from any byte, in pieces of `size`; else whole files."""
    is_plain = is_divisible(encoding)
    for file, kind in files:
        whole = Span(uri=file.uri, kind=kind, begin=0, end=None, size_bytes=file.size_bytes)
        if kind is InputKind.PARQUET:
            yield from _of_rows(whole, size)
        elif kind is InputKind.CSV or is_compressed(file.uri) or not is_plain:
            yield whole
        elif file.size_bytes:
            count = -(-file.size_bytes // size)
            bounds = [file.size_bytes * index // count for index in range(count + 1)]
            for begin, end in pairwise(bounds):
                yield replace(whole, begin=begin, end=end, size_bytes=end - begin)


def numbered(looked: list[tuple[Span, ...]]) -> list[Span]:
    """Exact spans in their order, each with the number of its first line."""
    spans: list[Span] = []
    for span in (span for some in looked for span in some):
        first = 1
        if span.kind is InputKind.PARQUET:
            first = span.begin + 1
        elif spans and spans[-1].uri == span.uri:
            first = spans[-1].first_line + spans[-1].num_lines
        spans.append(replace(span, first_line=first))
    return spans


def parts_of(spans: list[Span], size: int) -> list[Part]:
    """Spans that follow each other and are no more than `size` together; those of no row go."""
    groups: list[list[Span]] = []
    num_bytes = 0
    for span in (span for span in spans if span.num_rows):
        if not groups or num_bytes + span.size_bytes > size:
            groups.append([])
            num_bytes = 0
        groups[-1].append(span)
        num_bytes += span.size_bytes
    return [Part(number=number, spans=tuple(group)) for number, group in enumerate(groups)]


def encoding_of(settings: Input) -> str:
    """A mark at the beginning of a file is passed over in every encoding."""
    return codecs.lookup(settings.encoding).name.removesuffix("-sig")


def _of_rows(whole: Span, size: int) -> Iterator[Span]:
    storage, name = locate(whole.uri)
    try:
        with storage.open_file(name) as stored, parquet.ParquetFile(stored) as file:
            num_rows = file.metadata.num_rows
    except (ArrowException, OSError) as err:
        reason = (str(err).splitlines() or [type(err).__name__])[0].rstrip(".")
        raise RequestError(
            f"{whole.uri} cannot be read as parquet: {reason}.",
            hint="A file that is cut off has lost its end, where its index is. Copy it again.",
        ) from err
    count = min(max(-(-whole.size_bytes // size), 1), max(num_rows, 1))
    bounds = [num_rows * index // count for index in range(count + 1)]
    for begin, end in pairwise(bounds):
        if end > begin:
            yield replace(whole, begin=begin, end=end, size_bytes=whole.size_bytes // count)
