"""A few documents and packs of a corpus as text: `corpus sample`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from orchestrator.corpus.packs.cut import Cutting
from orchestrator.corpus.packs.mask import Masking, Unit, mask
from orchestrator.corpus.packs.order import Order
from orchestrator.corpus.packs.stream import Cursor, Stream
from orchestrator.corpus.packs.window import Recipe, window_documents
from orchestrator.corpus.picture import draw_document, draw_pack
from orchestrator.corpus.shards.read import PreparedCorpus
from orchestrator.corpus.tokens.tokenizer import open_tokenizer

_SAMPLES = 4  # in a pack: as much of it as one reads


def draw_sample(
    corpus: PreparedCorpus, split: str, *, count: int, seq_len: int, seed: int
) -> Iterator[Text]:
    """Documents in the order that a run of this seed reads them, then its first packs."""
    tokenizer = open_tokenizer(corpus.tokenizer)
    text = corpus.split(split)
    order = Order(count=text.num_documents, seed=seed, epoch=0)
    numbers_D = order.between(0, min(count, text.num_documents))
    documents = text.read(numbers_D)
    for place, number in enumerate(numbers_D.tolist()):
        yield Text(f"document {number} of {text.num_documents:,}", style="bold")
        yield draw_document(documents, place, tokenizer)
    recipe = Recipe(
        cutting=Cutting(seed=seed, seq_len=seq_len, template=tokenizer.template),
        pack_tokens=_SAMPLES * seq_len,
        window_documents=window_documents(
            num_documents=text.num_documents,
            num_tokens=text.num_tokens,
            pack_tokens=_SAMPLES * seq_len,
        ),
    )
    packs = Stream(text, recipe).packs(Cursor())
    vocabulary = tokenizer.vocabulary
    for _, (pack, _) in zip(range(count), packs, strict=False):
        samples = len(pack.offsets_S1) - 1
        share = f"{len(pack.tokens_T)} of {recipe.pack_tokens} tokens, {samples} samples"
        yield Text(f"pack {pack.index}: {share}", style="bold")
        yield from draw_pack(pack, None, tokenizer)
        yield Text(f"pack {pack.index}, whole words masked", style="bold")
        masked = mask(pack, Masking(seed=seed, unit=Unit.WORD), vocabulary)
        yield from draw_pack(pack, masked, tokenizer)
