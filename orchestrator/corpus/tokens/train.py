"""Text → a tokenizer of its own, in a folder that `transformers` opens. Called by `prepare`.

The words are found by the tokenizers library, whose hash maps have another order in every process.
Here the same text gives the same bytes: what would follow that order is settled before or after.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Pipeline
from tokenizers import models, pre_tokenizers, trainers

from orchestrator.corpus.tokens import families
from orchestrator.corpus.tokens.families import FAMILIES
from orchestrator.corpus.tokens.folder import Described, write_folder
from orchestrator.corpus.tokens.spool import Spool
from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Algorithm, Tokenizer

_NUM_BYTES = 256
_MAX_LENGTH = 512  # of what the families were published with; models say their own
_DIGITS = 4  # of a score: sums in another order differ from the fourteenth on
_STEP = 1e-4  # between the scores that the library gives to characters which no word needs


def train_tokenizer(texts: Iterator[str], settings: Tokenizer, folder: Path) -> None:
    """Each text a line. At most `vocab_size` words: fewer where the text has no more."""
    texts = _some(texts)
    match settings.algorithm:
        case Algorithm.WORDPIECE:
            pipeline = _wordpiece(texts, settings)
        case Algorithm.BPE:
            pipeline = _bpe(texts, settings)
        case Algorithm.UNIGRAM:
            pipeline = _unigram(texts, settings)
    families.frame(pipeline, settings.algorithm)
    family = FAMILIES[settings.algorithm]
    write_folder(
        Described(pipeline=pipeline, roles=family.roles),
        folder,
        model_max_length=_MAX_LENGTH,
        model_input_names=family.inputs,
        clean_up_tokenization_spaces=False,
    )


def _some(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        if text.strip():
            return chain([text], texts)
    raise RequestError(
        "The corpus holds no text to train a tokenizer on: every line is empty.",
        hint="Look at corpus.sources: are path and column those of the text?",
    )


def _bpe(texts: Iterable[str], settings: Tokenizer) -> Pipeline:
    specials = FAMILIES[Algorithm.BPE].specials
    least = _NUM_BYTES + len(specials)
    if settings.vocab_size < least:
        raise RequestError(
            f"corpus.tokenizer.vocab_size={settings.vocab_size} is too small for algorithm=bpe, "
            f"which begins with all {_NUM_BYTES} bytes and {len(specials)} special tokens.",
            hint=f"Try {8 * least} or more, or algorithm=wordpiece.",
        )
    pipeline = families.bpe(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        min_frequency=settings.min_frequency,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pipeline.train_from_iterator(texts, trainer)
    return pipeline


def _wordpiece(texts: Iterable[str], settings: Tokenizer) -> Pipeline:
    """The library numbers the pieces inside of words as it meets them, in the order of a hash map,
    and equally frequent pairs are joined in the order of their numbers. So the single characters
    are named first, in the disguise of special tokens.
    """
    learner = families.wordpiece(models.WordPiece(), lowercase=settings.lowercase)
    normalizer, divider = learner.normalizer, learner.pre_tokenizer
    learner.normalizer = None  # the spool's text is normalised already

    def joins(char: str) -> bool:
        return len(divider.pre_tokenize_str(normalizer.normalize_str("a" + char))) == 1

    specials = [token.content for token in FAMILIES[Algorithm.WORDPIECE].specials]
    with Spool(texts, normalizer.normalize_str) as spool:
        characters = spool.characters(
            lambda char: 1 + joins(char), limit=settings.vocab_size - len(specials)
        )
        inner = [f"##{char}" for char in characters if joins(char)]
        trainer = trainers.WordPieceTrainer(
            vocab_size=settings.vocab_size,
            min_frequency=settings.min_frequency,
            special_tokens=[*specials, *characters, *inner],
            show_progress=False,
        )
        learner.train_from_iterator(spool.lines(characters), trainer)
    model = models.WordPiece(_model(learner)["vocab"], unk_token="[UNK]")
    return families.wordpiece(model, lowercase=settings.lowercase)


def _unigram(texts: Iterable[str], settings: Tokenizer) -> Pipeline:
    learner = families.unigram(models.Unigram(), lowercase=settings.lowercase)
    normalizer = learner.normalizer
    learner.normalizer = None
    family = FAMILIES[Algorithm.UNIGRAM]
    specials = family.specials
    with Spool(texts, normalizer.normalize_str) as spool:
        # Room for the space too, and the library runs over where characters fill it to the brim.
        limit = settings.vocab_size - len(specials) - 2
        characters = spool.characters(lambda char: 1, limit=limit)
        trainer = trainers.UnigramTrainer(
            vocab_size=settings.vocab_size,
            special_tokens=specials,
            unk_token=family.roles["unk_token"],
            show_progress=False,
        )
        learner.train_from_iterator(spool.lines(characters), trainer)
    model = _model(learner)
    words = _settled(model["vocab"], num_specials=len(specials))
    return families.unigram(models.Unigram(words, model["unk_id"]), lowercase=settings.lowercase)


def _settled(words: list[tuple[str, float]], *, num_specials: int) -> list[tuple[str, float]]:
    """Scores without what depends on the order of sums, in an order of their own.

    Characters that no word needs got the least scores, a step apart, in the order of a hash map.
    """
    specials, others = words[:num_specials], words[num_specials:]
    least = min(score for _, score in others)
    bound = least + _STEP * sum(len(word) == 1 for word, _ in others)
    settled = [
        (word, round(least if len(word) == 1 and score <= bound else score, _DIGITS))
        for word, score in others
    ]
    return [(word, score) for word, score in specials] + sorted(
        settled, key=lambda entry: (-entry[1], entry[0])
    )


def _model(pipeline: Pipeline) -> Any:
    return json.loads(pipeline.to_str())["model"]
