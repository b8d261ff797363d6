"""Texts as an encoder reads them: ids with their places in the text, framed as its tokenizer does.

The tokenizer is that of the encoder's directory, or a corpus's own. Kinds call this to make
features; nothing is padded, and what does not fit is cut or divided by the kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.corpus.tokens.folder import Described, read_folder
from orchestrator.corpus.tokens.marks import is_byte_level
from orchestrator.corpus.tokens.take import take_tokenizer
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer
from orchestrator.errors import NotFoundError, RequestError

_WORDS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
Ids = list[int]


@dataclass(frozen=True, slots=True)
class Piece:
    """A text's tokens, and the characters that each stands for."""

    ids: Ids
    spans: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Framed:
    """A sample: a text or a pair between special tokens."""

    tokens: Ids
    num_first: int  # tokens with segment 0: those before the second text
    first_at: int  # where the first text begins
    second_at: int  # and the second one; the end where there is none
    is_cut: bool


class TaskTokenizer:
    """Use `open_task_tokenizer`."""

    def __init__(self, described: Described) -> None:
        self._corpus = CorpusTokenizer(described)  # sets the pipeline to neither cut nor pad
        self._pipeline = described.pipeline
        self._lead = " " if is_byte_level(json.loads(self._pipeline.to_str())) else ""
        unknown = self._corpus.unknown_id
        self._no_token = self._corpus.pad_id if unknown is None else unknown

    @property
    def vocab_size(self) -> int:
        return self._corpus.vocab_size

    @property
    def pad_id(self) -> int:
        return self._corpus.pad_id

    @property
    def fingerprint(self) -> str:
        return self._corpus.fingerprint

    def frame_size(self, *, is_pair: bool) -> int:
        """Special tokens of a sample."""
        template = self._corpus.template
        return len(template.prefix) + len(template.suffix) + is_pair * len(template.middle)

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        encodings = self._pipeline.encode_batch_fast(
            [self._lead + text for text in texts], add_special_tokens=False
        )
        return [encoding.ids for encoding in encodings]

    def pieces(self, texts: Sequence[str]) -> list[Piece]:
        encodings = self._pipeline.encode_batch(
            [self._lead + text for text in texts], add_special_tokens=False
        )
        lead = len(self._lead)
        return [
            Piece(
                encoding.ids,
                [(max(begin - lead, 0), max(end - lead, 0)) for begin, end in encoding.offsets],
            )
            for encoding in encodings
        ]

    def words(self, sentences: Iterable[Sequence[str]]) -> list[list[Ids]]:
        """Each word by itself; one of which no token remains is unknown."""
        sentences = list(sentences)
        known = list(dict.fromkeys(word for sentence in sentences for word in sentence))
        ids = {
            word: found or [self._no_token]
            for word, found in zip(known, self.ids(known), strict=True)
        }
        return [[ids[word] for word in sentence] for sentence in sentences]

    def frame(self, first: Ids, second: Ids | None, *, max_tokens: int) -> Framed:
        """Of a pair that is too long the longer text is cut at its end."""
        template = self._corpus.template
        room = max_tokens - self.frame_size(is_pair=second is not None)
        size = len(first) + len(second or ())
        if size > room:
            first, second = _cut(first, second, room)
        head = [*template.prefix, *first]
        if second is None:
            tokens = [*head, *template.suffix]
            num_first = second_at = len(tokens)
        else:
            head = [*head, *template.middle]
            tokens = [*head, *second, *template.suffix]
            num_first = second_at = len(head)
        return Framed(tokens, num_first, len(template.prefix), second_at, size > room)


def _cut(first: Ids, second: Ids | None, room: int) -> tuple[Ids, Ids | None]:
    if second is None:
        return first[:room], None
    longest_second = max(room - len(first), room // 2)
    second = second[:longest_second]
    return first[: room - len(second)], second


def open_task_tokenizer(path: Path | str) -> TaskTokenizer:
    """Of a Hugging Face directory, or the folder of a corpus's tokenizer."""
    folder = Path(path)
    if not any((folder / name).is_file() for name in _WORDS):
        raise NotFoundError(
            f"encoder={path} has no tokenizer: none of {', '.join(_WORDS)} is there.",
            hint="Put the files of the tokenizer that it was trained with beside its config.json.",
        )
    with TemporaryDirectory() as own:
        try:
            take_tokenizer(str(folder), Path(own))
        except RequestError as err:
            said = err.message.replace("corpus.tokenizer.path=", "encoder=", 1)
            raise RequestError(said, hint=err.hint) from err
        return TaskTokenizer(read_folder(Path(own)))
