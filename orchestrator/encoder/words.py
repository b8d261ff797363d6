"""Whether the tokenizer in an encoder's directory is a corpus's: the same word at every number.

Asked when a job is planned, and again before its workers start. Without torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.corpus.tokens.folder import TOKENIZER, read_pipeline
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer
from orchestrator.settings.finding import Finding

_LINES, _MAPPING = "vocab.txt", "vocab.json"
FILES = (TOKENIZER, _LINES, _MAPPING)  # any of them will do


def words_findings(folder: Path, tokenizer: CorpusTokenizer) -> Iterator[Finding]:
    words = _words_of(folder)
    if words is None:
        yield Finding(
            key="encoder",
            found=f"={folder}",
            rule=f"has no tokenizer: none of {', '.join(FILES)}. Numbers of words mean nothing "
            "without theirs.",
            try_="saving it there with save_pretrained.",
        )
        return
    for number, word in enumerate(tokenizer.words(range(tokenizer.vocab_size))):
        if word and words.get(word) != number:
            there = words.get(word)
            yield Finding(
                key="encoder",
                found=f"={folder}",
                rule=f"has another tokenizer than the corpus: {word!r} is word {number:,} of the "
                f"corpus and {'none' if there is None else f'word {there:,}'} of the encoder.",
                try_="the corpus prepared with corpus.tokenizer.path= that directory.",
            )
            return


def _words_of(folder: Path) -> Mapping[str, int] | None:
    if (folder / TOKENIZER).is_file():
        return read_pipeline(folder / TOKENIZER).get_vocab()
    if (folder / _LINES).is_file():
        lines = (folder / _LINES).read_text(encoding="utf-8").split("\n")
        return {line: number for number, line in enumerate(lines)}
    if (folder / _MAPPING).is_file():
        plain = json.loads((folder / _MAPPING).read_text(encoding="utf-8"))
        return {str(word): int(number) for word, number in plain.items()}
    return None
