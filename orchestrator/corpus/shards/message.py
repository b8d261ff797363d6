"""Arrow's stream format in pieces of known place: a header, one message for each batch, an end.

pyarrow writes the pieces; what is added here is where in a message each array begins, so that rows
can be read without making an Arrow object for each batch. `write.py` lays the pieces end to end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from orchestrator.corpus.arrays import Int64s, Integers
from orchestrator.corpus.rows import Rows

END = b"\xff\xff\xff\xff\0\0\0\0"  # of every Arrow stream


class Message(NamedTuple):
    """A serialised batch, and what the manifest says of it but for where it begins."""

    data: memoryview
    figures: dict[str, int]  # columns of manifest.BATCH


def schema_of(token_type: npt.DTypeLike) -> pa.Schema:
    return pa.schema(
        {
            "tokens": pa.list_(pa.from_numpy_dtype(token_type)),
            "sentence_ends": pa.list_(pa.uint32()),
            "word_starts": pa.list_(pa.bool_()),
        }
    )


def header(schema: pa.Schema) -> memoryview:
    return memoryview(schema.serialize())


def encode(rows: Rows, schema: pa.Schema) -> Message:
    bits = np.packbits(rows.word_starts_T, bitorder="little")
    batch = pa.RecordBatch.from_arrays(
        [
            _lists(rows.offsets_D1, schema.field("tokens").type, rows.tokens_T),
            _lists(
                rows.sentence_offsets_D1,
                schema.field("sentence_ends").type,
                rows.sentence_ends_N.astype(np.uint32),
            ),
            _lists(rows.offsets_D1, schema.field("word_starts").type, bits),
        ],
        schema=schema,
    )
    message = batch.serialize()
    tokens, sentence_ends, words = pa.ipc.read_record_batch(message, schema).columns
    places = {
        "token_offsets": _place(tokens, 1, message),
        "token_values": _place(tokens, 3, message),
        "sentence_offsets": _place(sentence_ends, 1, message),
        "sentence_values": _place(sentence_ends, 3, message),
        "word_start_bits": _place(words, 3, message),
    }
    figures = {
        "checksum": xxh3_64_intdigest(message),
        "size_bytes": message.size,
        "rows": len(rows),
        "tokens": len(rows.tokens_T),
        "sentences": len(rows.sentence_ends_N),
    }
    return Message(memoryview(message), figures | places)


def _lists(offsets_D1: Int64s, kind: pa.ListType, data: Integers) -> pa.ListArray:
    """The data are in Arrow's own form: `pa.array` would load pandas to look whether it is that."""
    count = int(offsets_D1[-1])
    values = pa.Array.from_buffers(kind.value_type, count, [None, pa.py_buffer(data)])
    offsets = pa.py_buffer(offsets_D1.astype(np.int32))
    return pa.Array.from_buffers(kind, len(offsets_D1) - 1, [None, offsets], children=[values])


def _place(column: pa.ListArray, number: int, message: pa.Buffer) -> int:
    """Buffers of lists are: nulls, offsets, nulls of the values, values."""
    buffer = column.buffers()[number]
    return buffer.address - message.address if buffer is not None and buffer.size else 0
