"""A corpus as one would look at it: how much there is, how long documents are, what packs hold.

Pure: values in, text out. `prepare` ends with it, and `corpus show` and `corpus sample` print it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from orchestrator.corpus.arrays import Bools
from orchestrator.corpus.packs.cut import Documents
from orchestrator.corpus.packs.mask import Masked
from orchestrator.corpus.packs.window import Pack
from orchestrator.corpus.shards.manifest import Manifest
from orchestrator.corpus.shards.statistics import Statistics
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer
from orchestrator.settings.units import format_bytes, format_count

_BAR = 40
_SHOWN_TOKENS = 300  # of a document: enough to see how it was divided
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def draw_corpus(manifest: Manifest, uri: str) -> Group:
    """Figures of each split side by side, then the lengths of documents."""
    names = [name for name, split in manifest.splits.items() if split.shards]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(manifest.name)
    for name in names:
        table.add_column(name, justify="right")
    columns = [list(_figures(manifest.splits[name].statistics)) for name in names]
    for row in zip(*columns, strict=True):
        table.add_row(row[0][0], *(figure for _, figure in row))
    shards = sum(len(split.shards) for split in manifest.splits.values())
    size = sum(shard.size_bytes for split in manifest.splits.values() for shard in split.shards)
    foot = f"{uri}: {shards} shards, {format_bytes(size)}, fingerprint {manifest.fingerprint}"
    title = Text("\ntokens in a document", style="dim")
    train = manifest.splits[names[0]].statistics if names else Statistics()
    return Group(table, title, *draw_lengths(train.document_lengths), Text(foot, style="dim"))


def _figures(statistics: Statistics) -> Iterator[tuple[str, str]]:
    documents, tokens = max(statistics.documents, 1), max(statistics.tokens, 1)
    yield "documents", f"{statistics.documents:,}"
    yield "sentences", f"{statistics.sentences:,}"
    yield "tokens", f"{statistics.tokens:,}"
    yield "text", format_bytes(statistics.text_bytes)
    yield "bytes of text a token", f"{statistics.text_bytes / tokens:.2f}"
    yield "tokens a document", f"{statistics.tokens / documents:,.0f}"
    yield "longest document, tokens", f"{statistics.longest:,}"
    yield "unknown tokens", f"{statistics.unknown / tokens:.4%}"
    yield "pieces of long documents", f"{statistics.divided:,}"


def draw_lengths(counts: Sequence[int]) -> Iterator[Text]:
    """A bar for each power of two, from the shortest documents that there are to the longest."""
    filled = [number for number, count in enumerate(counts) if count]
    if not filled:
        return
    most = max(counts)
    for number in range(filled[0], filled[-1] + 1):
        low, high = (0, 0) if number == 0 else (2 ** (number - 1), 2**number - 1)
        label = f"{low:,}" if low == high else f"{low:,}–{high:,}"
        yield Text(f"{label:>19}  {_bar(counts[number] / most)} {format_count(counts[number])}")


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    if share and not eighths:
        eighths = 1  # what is there can be seen
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def draw_document(documents: Documents, number: int, tokenizer: CorpusTokenizer) -> Text:
    """Sentences apart, a dot between words of one token and the pieces of others."""
    begin, whole = documents.offsets_D1[number : number + 2].tolist()
    end = min(whole, begin + _SHOWN_TOKENS)
    ends = documents.sentence_ends_N
    inside = ends[(ends > begin) & (ends < end)].tolist()
    text = Text()
    for first, last in zip([begin, *inside], [*inside, end], strict=True):
        words = tokenizer.words(documents.tokens_T[first:last])
        text.append(_joined(words, documents.word_starts_T[first:last]))
        text.append(" ¶ " if last < end or end == whole else " ", style="dim cyan")
    if end < whole:
        text.append(f"… {whole - end:,} more tokens", style="dim")
    return text


def draw_pack(pack: Pack, masked: Masked | None, tokenizer: CorpusTokenizer) -> Iterator[Text]:
    """A line a sample; where masked, what is read in place of what stood there."""
    shown = (masked.tokens_T if masked else pack.tokens_T).astype(np.int64)
    words = tokenizer.words(shown)
    targets = {}
    if masked is not None:
        names = tokenizer.words(masked.targets_P)
        targets = dict(zip(masked.chosen_P.tolist(), names, strict=True))
    for begin, end in zip(pack.offsets_S1[:-1].tolist(), pack.offsets_S1[1:].tolist(), strict=True):
        text = Text()
        for place in range(begin, end):
            gap = " " if place > begin else ""
            if place in targets:
                text.append(gap)
                text.append(f"{targets[place]}→{words[place]}", style="bold reverse")
            else:
                style = "cyan" if pack.segments_T[place] else ""
                text.append(gap + words[place], style=style)
        yield text


def _joined(words: list[str], is_start_T: Bools) -> str:
    return "".join(
        f"{' ' if start else '·'}{word}" for word, start in zip(words, is_start_T, strict=True)
    ).strip()
