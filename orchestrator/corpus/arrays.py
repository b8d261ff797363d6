"""Names of array types, and ranges laid end to end: the one idiom behind cutting and packing.

Letters at the end of an array's name are its shape: D documents, N sentences, S samples, T tokens,
W words, P predictions; D1 is D + 1, as offsets have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.integer[Any]]


def offsets(lengths: Int64s) -> Int64s:
    """0 and the running sums: where each of several pieces laid end to end begins."""
    sums = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=sums[1:])
    return sums


def flat_ranges(begins: Integers, lengths: Int64s) -> Int64s:
    """begins[0], begins[0] + 1, … for lengths[0] numbers, then those of the next range, and on."""
    starts = offsets(lengths)
    numbers = np.repeat(begins - starts[:-1], lengths)
    numbers += np.arange(starts[-1])
    return numbers
