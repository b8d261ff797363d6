"""Documents → rows of tokens, and what a model and its objectives must know of a tokenizer.

`prepare` calls `encode`, its hot path; training opens the corpus's tokenizer for the template and
the vocabulary. A document's tokens are those of its sentences encoded apart, laid end to end.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding

from orchestrator.corpus.arrays import Bools, Int64s, Integers, offsets
from orchestrator.corpus.packs.cut import Template
from orchestrator.corpus.packs.mask import Vocabulary
from orchestrator.corpus.rows import Rows
from orchestrator.corpus.text.words import Segment, segment_by
from orchestrator.corpus.tokens.folder import Described, read_folder
from orchestrator.corpus.tokens.marks import is_byte_level, read_marks
from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Segmenter

_TOKENS = ("model", "normalizer", "pre_tokenizer", "post_processor", "added_tokens")
_PADDED_TO = 64  # matrices of such widths are fast on every device


def open_tokenizer(folder: Path) -> CorpusTokenizer:
    """A folder that `train_tokenizer` or `take_tokenizer` made."""
    return CorpusTokenizer(read_folder(folder))


class CorpusTokenizer:
    """Use `open_tokenizer`."""

    def __init__(self, described: Described) -> None:
        pipeline = described.pipeline
        pipeline.no_truncation()
        pipeline.no_padding()
        pipeline.encode_special_tokens = True  # "[MASK]" in a text is six characters, not a mask
        self._pipeline = pipeline
        ids = pipeline.get_vocab()
        self.vocab_size = max(ids.values()) + 1
        self._names = [""] * self.vocab_size
        for name, number in ids.items():
            self._names[number] = name
        self._roles = {role: ids[token] for role, token in described.roles.items()}
        self.token_type = np.dtype(np.uint16 if self.vocab_size <= 2**16 else np.uint32)
        added = pipeline.get_added_tokens_decoder()
        specials = {number for number, token in added.items() if token.special}
        self._special_ids = sorted(specials | set(self._roles.values()))
        plain = json.loads(pipeline.to_str())
        self.unknown_id = _unknown_id(plain["model"], ids, self._roles)
        self.fingerprint = _fingerprint(plain, described.roles)
        self._marks = read_marks(plain, self._names)
        # Bytes know no word without the space before it, and a sentence's first is one like others.
        self._lead = " " if is_byte_level(plain) else ""

    @property
    def padded_vocab_size(self) -> int:
        """What a model is built with."""
        return -(-self.vocab_size // _PADDED_TO) * _PADDED_TO

    @property
    def pad_id(self) -> int:
        """Packs have no padding, but a model's config names one: 0 where the tokenizer does not."""
        return self._roles.get("pad_token", 0)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        if "mask_token" not in self._roles:
            raise RequestError(
                "The corpus's tokenizer has no mask token, which the objective needs; its special "
                f"tokens are {', '.join(self.words(self._special_ids)) or 'none'}.",
                hint="Name one as mask_token in its tokenizer_config.json and prepare the corpus "
                "again, or take objective=clm.",
            )
        holes = [number for number, name in enumerate(self._names) if not name]
        return Vocabulary(
            size=self.vocab_size,
            mask_id=self._roles["mask_token"],
            special_ids=tuple(sorted({*self._special_ids, *holes})),
        )

    @cached_property
    def template(self) -> Template:
        pair = self._pipeline.encode("a", "b")
        places = [number for number, of in enumerate(pair.sequence_ids) if of is not None]
        seconds = [number for number, of in enumerate(pair.sequence_ids) if of == 1]
        if not seconds or places[0] == seconds[0]:
            raise RequestError("The corpus's tokenizer makes no token of a letter: text is lost.")
        firsts = places[: -len(seconds)]
        return Template(
            prefix=tuple(pair.ids[: firsts[0]]),
            middle=tuple(pair.ids[firsts[-1] + 1 : seconds[0]]),
            suffix=tuple(pair.ids[seconds[-1] + 1 :]),
        )

    def encode(
        self, documents: Sequence[Sequence[str]], segmenter: Segmenter = Segmenter.NONE
    ) -> Rows:
        """Each document a list of sentences. One of which no token remains is no sentence."""
        segment = segment_by(segmenter)
        sentences = [self._lead + sentence for document in documents for sentence in document]
        encodings, tokens_T, lengths_N = self._look_up(sentences, is_placed=segment is not None)
        ends_N = np.cumsum(lengths_N)
        if segment is None:
            word_starts_T = self._marks.starts(tokens_T)
        else:
            word_starts_T = _segmented(sentences, encodings, segment)
        is_kept_N = lengths_N > 0
        word_starts_T[(ends_N - lengths_N)[is_kept_N]] = True
        counts_D = np.fromiter(map(len, documents), np.int64, len(documents))
        bounds_D1 = offsets(counts_D)
        offsets_D1 = offsets(lengths_N)[bounds_D1]
        sentence_offsets_D1 = offsets(is_kept_N.astype(np.int64))[bounds_D1]
        begins_N = np.repeat(offsets_D1[:-1], np.diff(sentence_offsets_D1))
        return Rows(
            tokens_T=tokens_T,
            offsets_D1=offsets_D1,
            sentence_ends_N=ends_N[is_kept_N] - begins_N,
            sentence_offsets_D1=sentence_offsets_D1,
            word_starts_T=word_starts_T,
        )

    def decode(self, ids: Integers | Sequence[int]) -> str:
        return self._pipeline.decode([int(number) for number in ids], skip_special_tokens=False)

    def pieces(self, ids: Integers | Sequence[int]) -> list[str]:
        """Each token as it looks in a text, with the space before it; � for a part of a letter."""
        if self._lead:
            return [self.decode([number]) for number in ids]
        return [self._piece(name) for name in self.words(ids)]

    def _piece(self, name: str) -> str:
        """WordPiece marks what goes on with a word, Unigram where one begins."""
        if self._marks_begin:
            return name.replace("▁", " ")
        return name[2:] if name.startswith("##") else f" {name}"

    @cached_property
    def _marks_begin(self) -> bool:
        return any(name.startswith("▁") for name in self._names)

    def words(self, ids: Integers | Sequence[int]) -> list[str]:
        return [self._names[int(number)] for number in ids]

    def _look_up(
        self, sentences: list[str], *, is_placed: bool
    ) -> tuple[list[Encoding], Integers, Int64s]:
        """Changes sentences that would give special tokens, of which some models know the words."""
        laid = self._lay(sentences, is_placed=is_placed)
        if bad := self._with_specials(laid):
            for number in bad:
                sentences[number] = self._disarm(sentences[number])
            laid = self._lay(sentences, is_placed=is_placed)
            if bad := self._with_specials(laid):
                raise RequestError(
                    f"The corpus's tokenizer makes special tokens of text: {sentences[bad[0]]!r}."
                )
        return laid

    def _lay(
        self, sentences: list[str], *, is_placed: bool
    ) -> tuple[list[Encoding], Integers, Int64s]:
        encode = self._pipeline.encode_batch if is_placed else self._pipeline.encode_batch_fast
        encodings = encode(sentences, add_special_tokens=False)
        ids_N = [encoding.ids for encoding in encodings]
        lengths_N = np.fromiter(map(len, ids_N), np.int64, len(ids_N))
        tokens_T = np.fromiter(
            chain.from_iterable(ids_N), self.token_type, count=int(lengths_N.sum())
        )
        return encodings, tokens_T, lengths_N

    def _with_specials(self, laid: tuple[object, Integers, Int64s]) -> list[int]:
        _, tokens_T, lengths_N = laid
        places = np.flatnonzero(self._is_special_V.take(tokens_T))
        return sorted(set(np.searchsorted(np.cumsum(lengths_N), places, side="right").tolist()))

    @cached_property
    def _is_special_V(self) -> Bools:
        """An unknown word is no wonder."""
        is_special_V = np.zeros(self.vocab_size, np.bool_)
        is_special_V[[number for number in self._special_ids if number != self.unknown_id]] = True
        return is_special_V

    def _disarm(self, sentence: str) -> str:
        """With a space inside of what the model knows as a special token."""
        normalizer = self._pipeline.normalizer
        text = normalizer.normalize_str(sentence) if normalizer else sentence
        names = sorted((self._names[number] for number in self._special_ids), key=len, reverse=True)
        pattern = "|".join(re.escape(name) for name in names)
        return re.sub(pattern, lambda found: f"{found[0][0]} {found[0][1:]}", text)


def _unknown_id(model: dict[str, Any], ids: dict[str, int], roles: dict[str, int]) -> int | None:
    """What the model gives; the role may be another's, or not named."""
    named = model.get("unk_id", ids.get(model.get("unk_token") or ""))
    return roles.get("unk_token") if named is None else int(named)


def _segmented(sentences: list[str], encodings: list[Encoding], segment: Segment) -> Bools:
    """A token starts a word where one begins at its first character, unless the token before has
    a part of that: its space, or some of its bytes.
    """
    is_start = []
    for sentence, encoding in zip(sentences, encodings, strict=True):
        begins, end_before = set(segment(sentence)), 0
        for begin, end in encoding.offsets:
            while sentence[begin : begin + 1].isspace():
                begin += 1
            is_start.append(begin in begins and begin >= end_before)
            end_before = max(end, begin + 1)
    return np.asarray(is_start, np.bool_)


def _fingerprint(plain: dict[str, Any], roles: dict[str, str]) -> str:
    """Of what changes tokens, without fields that say nothing: other versions may have more."""
    tokens = _said({name: plain.get(name) for name in _TOKENS})
    canonical = json.dumps([tokens, roles], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _said(plain: Any) -> Any:
    if isinstance(plain, dict):
        said = {key: _said(value) for key, value in plain.items()}
        return {
            key: value for key, value in said.items() if value is not None and value is not False
        }
    return [_said(value) for value in plain] if isinstance(plain, list) else plain
