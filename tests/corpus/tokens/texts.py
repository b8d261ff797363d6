"""Text to train on, and tokenizers of each kind trained on it, as these tests need them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.corpus.tokens.train import train_tokenizer
from orchestrator.settings.corpus import Algorithm, Tokenizer

SENTENCES = (
    "The river rises in the eastern hills and runs through three provinces.",
    "Most of the people live on the coast, where the soil is good; few live in the mountains.",
    "Exports: timber, tin (about 40 %) and coffee!",
    "Nobody knows how many islands there are, and 1,302 of them have no name.",
    "\"Where is the harbour?\" she asked. 'It was closed in 1987.'",
    "La forêt brûlait déjà; Łódź és Győr are towns.",
    "我们今天去北京大学\uff0c然后回家吃饭。",
    "彼は東京大学で日本語を勉強しました。",
    "Special tokens are [MASK], [CLS], [SEP], [PAD], [UNK], <mask>, <s>, </s>, <pad> and <unk>.",
)
SPECIALS = ("[MASK]", "[CLS]", "[SEP]", "[PAD]", "<mask>", "<s>", "</s>", "<pad>")


def lines() -> Iterator[str]:
    """Words of many frequencies, many of the same one: each cut of a sentence is a line too."""
    for number, sentence in enumerate(SENTENCES):
        yield sentence
        for cut in range(number, len(sentence), 11):
            yield sentence[cut:]


def train(algorithm: Algorithm, folder: Path, **settings: object) -> CorpusTokenizer:
    given: dict[str, object] = {"algorithm": algorithm, "vocab_size": 420}
    train_tokenizer(lines(), Tokenizer(**(given | settings)), folder)  # type: ignore[arg-type]
    return open_tokenizer(folder)
