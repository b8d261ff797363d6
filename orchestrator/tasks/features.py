"""Examples as numbers: samples laid end to end, as an encoder reads them. No padding anywhere.

An example is one sample, or several that belong together (windows over a long context, choices).
A head reads the states at `places`: first tokens, first pieces of words, every token of a context.
Kinds build features; `pack` lays chosen examples out as one flat row for a pass of the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.corpus.arrays import Bools, Int32s, Int64s, flat_ranges, offsets
from orchestrator.tasks.tokens import Framed

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Features:
    """E examples have S samples of T tokens and P places; targets are per one of these."""

    tokens_T: Int32s
    segments_T: Int32s
    offsets_S1: Int64s  # of samples in tokens
    samples_E1: Int64s  # of examples in samples
    places_P: Int32s  # counted from the beginning of their sample
    place_offsets_S1: Int64s  # of samples in places
    is_cut_S: Bools
    of_examples: Mapping[str, Array]
    of_samples: Mapping[str, Array]
    of_places: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.samples_E1) - 1

    @property
    def truncated_share(self) -> float:
        """Examples of which the model does not read all."""
        if not len(self):
            return 0.0
        return float(np.logical_or.reduceat(self.is_cut_S, self.samples_E1[:-1]).mean())

    @property
    def tokens_E(self) -> Int64s:
        """How many tokens each example has."""
        return np.diff(self.offsets_S1[self.samples_E1])

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        arrays: dict[str, Array] = {
            "tokens": self.tokens_T,
            "segments": self.segments_T,
            "places": self.places_P,
        }
        arrays |= {"offsets": self.offsets_S1, "samples": self.samples_E1}
        for group in (self.of_examples, self.of_samples, self.of_places):
            arrays |= {name: group[name] for name in sorted(group)}
        for name, array in arrays.items():
            digest.update(f"{name} {array.dtype} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def take(self, chosen_E: Sequence[int] | Int64s) -> Features:
        """Examples in the order asked for."""
        chosen = np.asarray(chosen_E, np.int64)
        num_samples = np.diff(self.samples_E1)[chosen]
        samples = flat_ranges(self.samples_E1[:-1][chosen], num_samples)
        sizes = np.diff(self.offsets_S1)[samples]
        tokens = flat_ranges(self.offsets_S1[:-1][samples], sizes)
        num_places = np.diff(self.place_offsets_S1)[samples]
        places = flat_ranges(self.place_offsets_S1[:-1][samples], num_places)
        return Features(
            tokens_T=self.tokens_T[tokens],
            segments_T=self.segments_T[tokens],
            offsets_S1=offsets(sizes),
            samples_E1=offsets(num_samples),
            places_P=self.places_P[places],
            place_offsets_S1=offsets(num_places),
            is_cut_S=self.is_cut_S[samples],
            of_examples={name: array[chosen] for name, array in self.of_examples.items()},
            of_samples={name: array[samples] for name, array in self.of_samples.items()},
            of_places={name: array[places] for name, array in self.of_places.items()},
        )

    def groups(self, order_E: Int64s, *, max_tokens: int) -> Iterator[Int64s]:
        """The order in stretches of at most so many tokens, or of one example that has more."""
        sizes = self.tokens_E[order_E]
        begin, total = 0, 0
        for place, size in enumerate(sizes.tolist()):
            if place > begin and total + size > max_tokens:
                yield order_E[begin:place]
                begin, total = place, 0
            total += size
        if begin < len(order_E):
            yield order_E[begin:]


@dataclass(kw_only=True)
class Builder:
    """Collects samples; `end_example` after those of one."""

    tokens: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    num_places: list[int] = field(default_factory=list)
    cut: list[bool] = field(default_factory=list)
    _in_example: int = 0

    def add(self, sample: Framed, places: Sequence[int] = ()) -> None:
        size = len(sample.tokens)
        self.tokens += sample.tokens
        self.segments += [0] * sample.num_first + [1] * (size - sample.num_first)
        self.sizes.append(size)
        self.places += places
        self.num_places.append(len(places))
        self.cut.append(sample.is_cut)
        self._in_example += 1

    def end_example(self) -> None:
        self.samples.append(self._in_example)
        self._in_example = 0

    def build(
        self,
        *,
        of_examples: Mapping[str, Array] | None = None,
        of_samples: Mapping[str, Array] | None = None,
        of_places: Mapping[str, Array] | None = None,
    ) -> Features:
        return Features(
            tokens_T=np.asarray(self.tokens, np.int32),
            segments_T=np.asarray(self.segments, np.int32),
            offsets_S1=offsets(np.asarray(self.sizes, np.int64)),
            samples_E1=offsets(np.asarray(self.samples, np.int64)),
            places_P=np.asarray(self.places, np.int32),
            place_offsets_S1=offsets(np.asarray(self.num_places, np.int64)),
            is_cut_S=np.asarray(self.cut, np.bool_),
            of_examples=of_examples or {},
            of_samples=of_samples or {},
            of_places=of_places or {},
        )
