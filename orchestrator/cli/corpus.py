"""corpus show, sample, verify: what is in a prepared corpus, and whether it is whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import Progress

from orchestrator.cli.given import Json
from orchestrator.cli.screen import console, footer, show_json
from orchestrator.corpus.shards.verify import Tell
from orchestrator.errors import OrchestratorError
from orchestrator.runs.storage import open_storage
from orchestrator.settings.home import state_home
from orchestrator.settings.units import format_bytes

app = typer.Typer()
verbs = typer.Typer(help="A prepared corpus: show, sample, verify.", no_args_is_help=True)
app.add_typer(verbs, name="corpus")

At = Annotated[str, typer.Argument(metavar="PATH", help="A prepared corpus's folder or URI.")]


@verbs.command()
def show(path: At, as_json: Json = False) -> int:
    """How much there is: documents, sentences, tokens, lengths, unknown words."""
    from orchestrator.corpus.picture import draw_corpus
    from orchestrator.corpus.shards.manifest import read_manifest

    corpus = open_storage(path)
    manifest = read_manifest(corpus)
    if as_json:
        splits = {
            name: {
                "statistics": split.statistics.to_plain(),
                "shards": len(split.shards),
                "size_bytes": sum(shard.size_bytes for shard in split.shards),
            }
            for name, split in manifest.splits.items()
        }
        show_json(
            "corpus.show",
            path=corpus.uri,
            name=manifest.name,
            fingerprint=manifest.fingerprint,
            sources=manifest.sources,
            tokenizer=vars(manifest.tokenizer),
            splits=splits,
        )
        return 0
    console.print(draw_corpus(manifest, corpus.uri))
    footer(f"orchestrator corpus sample {path}", f"orchestrator corpus verify {path}")
    return 0


@verbs.command()
def sample(
    path: At,
    count: Annotated[int, typer.Option("-n", min=1, help="How many of each.")] = 3,
    split: Annotated[str, typer.Option("--split", help="train or validation.")] = "train",
    seq_len: Annotated[int, typer.Option(min=8, help="Tokens of a sample, at most.")] = 128,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 0,
) -> int:
    """Documents as they were divided, packs as they are fed, and what masking makes of them."""
    from orchestrator.corpus.sample import draw_sample
    from orchestrator.corpus.shards.cache import ready_corpus
    from orchestrator.corpus.shards.read import open_corpus

    with (
        _bar("reading") as tell,
        ready_corpus(path, cache=state_home() / "corpora", limit_bytes=2**63, tell=tell) as folder,
    ):
        for line in draw_sample(
            open_corpus(folder), split, count=count, seq_len=seq_len, seed=seed
        ):
            console.print(line)
    return 0


@verbs.command()
def verify(path: At, as_json: Json = False) -> int:
    """Every byte against its checksum. All that is damaged is told, with its place."""
    from orchestrator.corpus.shards.manifest import read_manifest
    from orchestrator.corpus.shards.verify import find_damages, find_tokenizer_damage
    from orchestrator.corpus.tokens.tokenizer import open_tokenizer

    corpus = open_storage(path)
    manifest = read_manifest(corpus)
    with _bar("verifying") as tell:
        damages = list(find_damages(corpus, manifest, tell))
    of_tokenizer = find_tokenizer_damage(
        corpus, manifest, lambda folder: open_tokenizer(folder).fingerprint
    )
    damages += [of_tokenizer] if of_tokenizer else []
    if as_json:
        found = [{"path": damage.path, "found": damage.found} for damage in damages]
        show_json("corpus.verify", path=corpus.uri, is_whole=not damages, damages=found)
    elif damages:
        told = "\n".join(f"  {damage}" for damage in damages)
        raise OrchestratorError(
            f"{corpus.uri} is not what was prepared:\n{told}",
            hint="Copy what is named again from where it came, or prepare the corpus again.",
        )
    else:
        size = format_bytes(manifest.size_bytes)
        console.print(f"{corpus.uri} is whole: {len(manifest.shards)} shards, {size}.")
    return 1 if damages else 0


@contextmanager
def _bar(stage: str) -> Iterator[Tell]:
    """On a terminal only."""
    with Progress(disable=not sys.stdout.isatty(), transient=True) as progress:
        task = progress.add_task(stage)
        yield lambda done, total: progress.update(task, completed=done, total=total)
