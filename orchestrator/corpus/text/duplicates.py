"""Documents that are the same as an earlier one, or almost.

`sign` is called in a task for each part and gives the bytes of a file, `find_duplicates` once with
all of them. What it finds does not depend on who made the parts, or when. A document that was
divided for its length is one document: compared as a whole, and left out as a whole.

Finding takes 40 bytes of memory a document; with `near` also 8 for each band (17 bands at a
similarity of 0.8), and 520 for each document that shares a band with another.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_digest

from orchestrator.corpus.arrays import Bools, Int64s, Uint64s, offsets
from orchestrator.corpus.text import near
from orchestrator.corpus.text.read import Document
from orchestrator.settings.corpus import Corpus, Duplicates

Signed = npt.NDArray[np.void]  # a record for each document


def sign(documents: Iterable[Document], corpus: Corpus) -> bytes:
    """A .npy file: of each document the number of its pieces, and what it is compared by."""
    is_near = corpus.duplicates is Duplicates.NEAR
    values_of = near.signer() if is_near else lambda text: np.empty(0, np.uint32)
    counts: list[int] = []
    digests: list[bytes] = []
    values: list[near.Uint32s] = []
    for document in documents:
        text = " ".join(normalize("NFC", document.text).split())
        digest, piece_values = xxh3_128_digest(text.encode()), values_of(text)
        if document.is_rest:
            counts[-1] += 1
            digests[-1] = xxh3_128_digest(digests[-1] + digest)
            values[-1] = np.minimum(values[-1], piece_values)
        else:
            counts.append(1)
            digests.append(digest)
            values.append(piece_values)
    width = near.NUM_VALUES if is_near else 0
    kind = [("num_pieces", "<u4"), ("hash", "<u8", (2,)), ("values", "<u4", (width,))]
    signed = np.empty(len(counts), kind)
    signed["num_pieces"] = counts
    signed["hash"] = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)
    signed["values"] = np.array(values, np.uint32).reshape(len(counts), width)
    return to_npy(signed)


def find_duplicates(reads: Sequence[Callable[[], bytes]], corpus: Corpus) -> list[Int64s]:
    """Of each part, the numbers of the pieces to leave out; each of `reads` gives what `sign` gave.

    They are called once, or twice with `near`: only one part's bytes are in memory at a time.
    """
    similarity = corpus.near_similarity
    bands = near.bands(similarity) if corpus.duplicates is Duplicates.NEAR else []
    parts = [_Part.of(from_npy(read()), bands) for read in reads]
    hashes_D2 = np.concatenate([np.empty((0, 2), np.uint64), *(part.hashes_D2 for part in parts)])
    is_kept_D = _are_first(hashes_D2)
    ends = offsets(np.array([len(part.hashes_D2) for part in parts], np.int64))
    if bands and parts:
        keys = (
            np.concatenate([part.keys_BD[band] for part in parts]) for band in range(len(bands))
        )
        near_C = _sharing_a_key(keys, is_kept_D)
        values_CV = _values_of(near_C, ends, reads)
        is_kept_D[near_C] = near.are_first(values_CV, bands, similarity)
    return [
        np.flatnonzero(np.repeat(~is_kept_D[begin:end], part.num_pieces_D))
        for part, begin, end in zip(parts, ends[:-1], ends[1:], strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What is kept in memory of a part's signatures."""

    num_pieces_D: Int64s
    hashes_D2: Uint64s
    keys_BD: list[Uint64s]

    @classmethod
    def of(cls, signed: Signed, bands: list[slice]) -> _Part:
        return cls(
            num_pieces_D=signed["num_pieces"].astype(np.int64),
            hashes_D2=signed["hash"].copy(),
            keys_BD=[near.band_keys(signed["values"], band) for band in bands],
        )


def _are_first(hashes_D2: Uint64s) -> Bools:
    """Whether no earlier document has the same hash."""
    order = np.lexsort((hashes_D2[:, 0], hashes_D2[:, 1]))  # stable: of equal ones the first first
    is_first_D = np.ones(len(order), np.bool_)
    is_first_D[order[1:]] = (hashes_D2[order[1:]] != hashes_D2[order[:-1]]).any(axis=1)
    return is_first_D


def _sharing_a_key(keys: Iterable[Uint64s], is_kept_D: Bools) -> Int64s:
    """The documents that share a band with another one, of those kept so far."""
    kept_K = np.flatnonzero(is_kept_D)
    is_sharing_K = np.zeros(len(kept_K), np.bool_)
    for keys_D in keys:
        one_P, other_P = near.pairs_of(keys_D[kept_K])
        is_sharing_K[one_P] = is_sharing_K[other_P] = True
    return kept_K[is_sharing_K]


def _values_of(
    numbers_C: Int64s, ends: Int64s, reads: Sequence[Callable[[], bytes]]
) -> near.Uint32s:
    values_CV = np.empty((len(numbers_C), near.NUM_VALUES), np.uint32)
    begins = np.searchsorted(numbers_C, ends)
    for number, read in enumerate(reads):
        own = slice(begins[number], begins[number + 1])
        if numbers_C[own].size:
            values_CV[own] = from_npy(read())["values"][numbers_C[own] - ends[number]]
    return values_CV


def to_npy(array: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def from_npy(data: bytes) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array
