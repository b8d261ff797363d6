"""Where the words of Chinese and Japanese begin, which no space tells: for whole-word masking.

Called by `tokens/tokenizer.py` where the corpus's settings name a segmenter. The libraries and the
Japanese dictionary come with `pip install orchestrator[cjk]`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Segmenter

Segment = Callable[[str], list[int]]  # a sentence → the characters at which its words begin


@cache
def segment_by(segmenter: Segmenter) -> Segment | None:
    """None where words are those of the tokenizer."""
    try:
        match segmenter:
            case Segmenter.CHINESE:
                return _chinese()
            case Segmenter.JAPANESE:
                return _japanese()
            case Segmenter.NONE:
                return None
    except ModuleNotFoundError as err:
        raise RequestError(
            f"corpus.segmenter={segmenter.value} needs the package {err.name}, which is not "
            "installed here.",
            hint="Run pip install orchestrator[cjk] on every node, or set corpus.segmenter=none.",
        ) from err


def _chinese() -> Segment:
    import rjieba

    return lambda sentence: _begins(sentence, rjieba.cut(sentence))


def _japanese() -> Segment:
    import fugashi  # type: ignore[import-untyped]
    import unidic_lite  # type: ignore[import-untyped]

    folder = unidic_lite.DICDIR  # named, since another dictionary that is installed comes first
    tagger = fugashi.Tagger(f'-O wakati -d "{folder}" -r "{folder}/mecabrc"')

    def segment(sentence: str) -> list[int]:
        # MeCab takes a zero character for the end of the sentence.
        return _begins(sentence, tagger.parse(sentence.replace("\0", " ")).split())

    return segment


def _begins(sentence: str, words: list[str]) -> list[int]:
    """Of the words in turn; spaces are none."""
    begins, end = [], 0
    for word in words:
        begin = sentence.index(word, end)
        end = begin + len(word)
        if not word.isspace():
            begins.append(begin)
    return begins
