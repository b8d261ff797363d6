"""One window of the stream: its documents, cut and packed, and its packs, laid out on request.

Planning a window costs by the sentence and by the sample; tokens are copied once, when a pack is
asked for. `stream.py` opens windows and goes from one to the next.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from orchestrator.corpus.arrays import Bools, Int32s, Int64s, Uint64s, flat_ranges, offsets
from orchestrator.corpus.keys import Purpose, draw, key_of, sum_of
from orchestrator.corpus.packs.cut import REPEAT, Cutting, Documents, Samples, Template, cut
from orchestrator.corpus.packs.mixture import Mixture, Portion
from orchestrator.corpus.packs.order import Order
from orchestrator.corpus.packs.pack import Packing, pack
from orchestrator.errors import RequestError


class Corpus(Protocol):
    """What a stream needs of prepared text; shards are one, a list in a test is another."""

    @property
    def num_documents(self) -> int: ...

    def read(self, indices_D: Int64s) -> Documents:
        """In the order asked for, and as often as asked for."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Samples of another length, in all windows that open at this pack of the run or later."""

    from_packs: int
    seq_len: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that packs depend on beside the corpus; nothing of it is about who reads them."""

    cutting: Cutting  # of the first phase
    phases: tuple[Phase, ...] = ()  # those after it
    pack_tokens: int
    window_documents: int  # of the order, cut and packed together; see `window_documents()`
    mixture: Mixture | None = None  # without one, an epoch reads every document once

    def __post_init__(self) -> None:
        begins = [0, *(phase.from_packs for phase in self.phases)]
        if any(begin >= end for begin, end in itertools.pairwise(begins)):
            raise RequestError(
                f"Phases begin at packs {', '.join(map(str, begins))}; each must begin after the "
                "one before it."
            )
        for seq_len in (self.cutting.seq_len, *(phase.seq_len for phase in self.phases)):
            replace(self.cutting, seq_len=seq_len)  # refuses what leaves no room for text
            if self.pack_tokens < seq_len:
                raise RequestError(
                    f"batch.pack_tokens={self.pack_tokens} is less than seq_len={seq_len}: a pack "
                    "holds whole samples.",
                    hint=f"Try batch.pack_tokens={16 * seq_len}.",
                )

    def cutting_at(self, packs_total: int) -> Cutting:
        """For a window that opens after so many packs of the run."""
        begun = [phase for phase in self.phases if phase.from_packs <= packs_total]
        return replace(self.cutting, seq_len=begun[-1].seq_len) if begun else self.cutting

    def mixture_of(self, corpus: Corpus) -> Mixture:
        count = corpus.num_documents
        mixture = self.mixture or Mixture(portions=(Portion(num_documents=count),))
        if mixture.num_documents != count:
            raise RequestError(
                f"The corpus has {count:,} documents and the portions of its mixture have "
                f"{mixture.num_documents:,}: every document belongs to one portion."
            )
        return mixture


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Samples laid end to end: the unit of a micro-batch."""

    index: int  # in the whole stream
    epoch: int
    weight: int  # 0: only there because a rank runs short; counts nothing and is in no audit
    tokens_T: Int32s
    positions_T: Int32s  # from 0 in each sample
    segments_T: Int32s  # 1 in the second text of a pair
    word_starts_T: Bools
    offsets_S1: Int32s  # cu_seqlens
    ids_S: Uint64s
    labels_S: Int64s

    def fed_hash(self) -> int:
        return fed_hash(self.ids_S, self.epoch) if self.weight else 0


@dataclass(frozen=True, kw_only=True)
class Fed:
    """What an audit knows of a pack."""

    num_samples: int
    num_tokens: int
    hash: int


def fed_hash(ids_S: Uint64s, epoch: int) -> int:
    """The sum over samples of a hash of (sample, epoch): adds up over packs, modulo 2^64."""
    return sum_of(draw(key_of(0, Purpose.FED, epoch), ids_S))


def window_documents(*, num_documents: int, num_tokens: int, pack_tokens: int) -> int:
    """As many as make 256 packs: of those only the last is part empty, 0.2 % of all room."""
    return max(1, -(-256 * pack_tokens * num_documents // max(num_tokens, 1)))


def num_windows(num_documents: int, window_documents: int) -> int:
    return max(1, num_documents // window_documents)


def open_window(
    corpus: Corpus, recipe: Recipe, *, epoch: int, window: int, packs_before: int
) -> Window:
    """The order's positions are shared out evenly: no window is much smaller than another.

    A window is the same for any order of its documents; in the corpus's own they are read fastest.
    """
    cutting = recipe.cutting_at(packs_before)
    mixture = recipe.mixture_of(corpus)
    count = mixture.num_reads
    num = num_windows(count, recipe.window_documents)
    order = Order(count=count, seed=cutting.seed, epoch=epoch)
    reads_D = order.between(count * window // num, count * (window + 1) // num)
    numbers_D = mixture.documents(reads_D, seed=cutting.seed, epoch=epoch)
    numbers_D = numbers_D[np.argsort(numbers_D % REPEAT, kind="stable")]
    documents = replace(corpus.read(numbers_D % REPEAT), indices_D=numbers_D)
    samples = cut(documents, cutting, epoch)
    packing = pack(
        samples.sizes_S,
        samples.ids_S,
        pack_tokens=recipe.pack_tokens,
        seed=cutting.seed,
        epoch=epoch,
    )
    return Window(documents, samples, packing, cutting.template, epoch)


class Window:
    """Use `open_window`."""

    def __init__(
        self,
        documents: Documents,
        samples: Samples,
        packing: Packing,
        template: Template,
        epoch: int,
    ) -> None:
        self._documents = documents
        self._samples = samples
        self._packing = packing
        self._template = template
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._packing)

    def fed(self, number: int) -> Fed:
        """What the pack of this number feeds; its tokens are not laid out for that."""
        chosen = self._packing.samples_of(number)
        return Fed(
            num_samples=len(chosen),
            num_tokens=int(self._samples.sizes_S[chosen].sum()),
            hash=fed_hash(self._samples.ids_S[chosen], self._epoch),
        )

    def pack(self, number: int, *, index: int) -> Pack:
        """The number counts in this window, the index in the stream."""
        chosen = self._packing.samples_of(number)
        sizes_S = self._samples.sizes_S[chosen]
        offsets_S1 = offsets(sizes_S)
        tokens_T, segments_T, word_starts_T = self._lay_out(chosen, int(offsets_S1[-1]))
        return Pack(
            index=index,
            epoch=self._epoch,
            weight=1,
            tokens_T=tokens_T,
            positions_T=flat_ranges(np.zeros_like(sizes_S), sizes_S).astype(np.int32),
            segments_T=segments_T,
            word_starts_T=word_starts_T,
            offsets_S1=offsets_S1.astype(np.int32),
            ids_S=self._samples.ids_S[chosen],
            labels_S=self._samples.labels_S[chosen],
        )

    def _lay_out(self, chosen_S: Int64s, size: int) -> tuple[Int32s, Int32s, Bools]:
        """A sample is five pieces: prefix, text, middle, text, suffix; some of them empty."""
        template, samples = self._template, self._samples
        is_pair_S = samples.labels_S[chosen_S] >= 0
        lengths_S5 = np.empty((len(chosen_S), 5), np.int64)
        lengths_S5[:, 0] = len(template.prefix)
        lengths_S5[:, [1, 3]] = samples.lengths_S2[chosen_S]
        lengths_S5[:, 2] = np.where(is_pair_S, len(template.middle), 0)
        lengths_S5[:, 4] = len(template.suffix)
        begins_S5 = offsets(lengths_S5.ravel())[:-1].reshape(-1, 5)
        is_text_S5 = np.broadcast_to([False, True, False, True, False], lengths_S5.shape)
        is_text_T = np.repeat(is_text_S5.ravel(), lengths_S5.ravel())
        source = flat_ranges(
            samples.begins_S2[chosen_S].ravel(), samples.lengths_S2[chosen_S].ravel()
        )
        tokens_T = np.empty(size, np.int32)
        tokens_T[is_text_T] = self._documents.tokens_T.take(source)
        word_starts_T = ~is_text_T
        word_starts_T[is_text_T] = self._documents.word_starts_T.take(source)
        # The first word of a text may have begun before it, where a long sentence was split.
        word_starts_T[begins_S5[is_text_S5 & (lengths_S5 > 0)]] = True
        for piece, special in ((0, template.prefix), (2, template.middle), (4, template.suffix)):
            begins_S = begins_S5[lengths_S5[:, piece] > 0, piece]
            for place, token in enumerate(special):
                tokens_T[begins_S + place] = token
        is_second_S5 = np.zeros(lengths_S5.shape, np.int32)
        is_second_S5[:, 3:] = is_pair_S[:, None]
        return tokens_T, np.repeat(is_second_S5.ravel(), lengths_S5.ravel()), word_starts_T


def empty_pack(template: Template, *, epoch: int) -> Pack:
    """For a rank that runs short: as little as a model can be run on, at weight zero."""
    tokens = np.asarray([*template.prefix, *template.suffix] or [0], np.int32)
    zeros = np.zeros_like(tokens)
    return Pack(
        index=-1,
        epoch=epoch,
        weight=0,
        tokens_T=tokens,
        positions_T=np.arange(len(tokens), dtype=np.int32),
        segments_T=zeros,
        word_starts_T=np.ones(len(tokens), np.bool_),
        offsets_S1=np.asarray([0, len(tokens)], np.int32),
        ids_S=np.zeros(1, np.uint64),
        labels_S=np.full(1, -1),
    )
