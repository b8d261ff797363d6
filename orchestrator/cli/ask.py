"""ask: one input to a trained model, and its answer: a class, tags, a span, a score, a word."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from orchestrator.api import Orchestrator
from orchestrator.cli.given import Json, Storage
from orchestrator.cli.screen import console, lead, show_json, table
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.origin import Kind, Origin, find_origin

if TYPE_CHECKING:
    from orchestrator.tasks.answer import Answer, Ranking

app = typer.Typer()
_BAR = 24  # characters


@app.command()
def ask(
    model: Annotated[
        str, typer.Argument(metavar="RUN|DIRECTORY", help="A run, or a directory of a model.")
    ],
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT…", help="One, or as many as the model takes, in quotes."),
    ],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="Of entailment: what the text may be about; several times."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many answers at most.")] = 5,
    storage: Storage = None,
    as_json: Json = False,
) -> int:
    """Ask a model: a fine-tuned one for its answer, a pretrained one for the words at [MASK]."""
    with _in_words_of_ask(), _directory(model, storage) as folder:
        said = _ask(folder, texts, tuple(label or ()), top)
    if as_json:
        plain = dataclasses.asdict(said)
        plain["rankings"] = [ranking[:top] for ranking in plain["rankings"]]
        show_json("ask", model=model, texts=texts, **plain)
    else:
        _draw(said, texts, top)
    return 0


def _ask(folder: Path, texts: list[str], labels: tuple[str, ...], top: int) -> Answer:
    from orchestrator.tasks.answer import answer
    from orchestrator.tasks.blanks import open_filler
    from orchestrator.tasks.directory import is_task_directory, open_task_directory

    if is_task_directory(folder):
        return answer(open_task_directory(folder), texts, labels=labels)
    filler = open_filler(folder)
    if labels or len(texts) > 1:
        found = "--label" if labels else f"{len(texts)} texts"
        raise RequestError(
            f"{found}: an encoder without a task takes one text, with {filler.mask} in it."
        )
    return filler.fill(texts[0], top=top)


@contextmanager
def _directory(model: str, storage: str | None) -> Iterator[Path]:
    """Of a run that has only checkpoints one is made, for as long as it is asked."""
    from orchestrator.encoder.nearby import nearby

    runs = Orchestrator(storage).storage
    named = str(Path(model).resolve()) if Path(model).is_dir() else model
    origin = find_origin(named, runs)
    if origin.kind is not Kind.CHECKPOINT:
        with nearby(origin.uri) as folder:
            yield folder
        return
    with TemporaryDirectory(prefix="orchestrator-ask-") as scratch:
        _make(origin, Path(scratch) / "export")
        yield Path(scratch) / "export"


@contextmanager
def _in_words_of_ask() -> Iterator[None]:
    """What opens models speaks to those who typed settings of a job."""
    try:
        yield
    except OrchestratorError as err:
        message = err.message
        for key in ("encoder=", "corpus.tokenizer.path="):
            message = message.removeprefix(key)
        hint = err.hint
        if hint and "orchestrator run" not in hint:
            hint = hint.replace("encoder=", "")
        raise type(err)(message, hint=hint) from err


def _make(origin: Origin, target: Path) -> None:
    from orchestrator.training.exporting import Export, make_directory

    assert origin.run is not None and origin.step is not None
    size_bytes = Checkpoints(origin.run.storage).read(origin.step).size_bytes
    export = Export(run=origin.run.uri, step=origin.step, target=str(target), is_trimmed=True)
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(f"taking the weights of step {origin.step}", total=size_bytes)
        make_directory(export, lambda done: progress.update(task, completed=done))


def _draw(said: Answer, texts: list[str], top: int) -> None:
    if said.kind == "qa":
        _draw_span(str(said.answer), texts[1], said.confidence)
    elif said.kind in ("regression", "similarity"):
        what = "the cosine of their vectors" if said.kind == "similarity" else "the score"
        lead(f"{said.answer:.4f}", f"  {what}")
    elif said.kind == "multilabel":
        console.print(Text(", ".join(said.answer) or "none of its classes", style="bold"))
    if said.tags:
        _draw_tags(said)
    for number, ranking in enumerate(said.rankings, 1):
        if len(said.rankings) > 1:
            console.print(Text(f"blank {number}", style="dim"))
        console.print(_table(ranking[:top]))
        if len(ranking) > top:
            console.print(Text(f"… and {len(ranking) - top:,} more: --top {len(ranking)}"))


def _draw_span(found: str, context: str, confidence: float | None) -> None:
    share = "" if confidence is None else f"  {confidence:.1%}"
    console.print(Text.assemble((found or "The context has no answer.", "bold"), share))
    if found and context.count(found) == 1:
        before, _, after = context.partition(found)
        console.print(Text.assemble((before, "dim"), (found, "bold reverse"), (after, "dim")))


def _draw_tags(said: Answer) -> None:
    rows = table("word", "tag", "share")
    for each in said.tags:
        style = "dim" if each.tag == "O" else "bold"
        rows.add_row(Text(each.word), Text(each.tag, style=style), f"{each.share:.1%}")
    console.print(rows)
    if said.rankings:
        console.print()


def _table(ranking: Ranking) -> Table:
    rows = table("answer", "share", "")
    rows.columns[1].justify = "right"
    for number, choice in enumerate(ranking):
        bar = Text("█" * round(choice.share * _BAR) or "▏")
        style = "bold" if number == 0 else ""
        rows.add_row(Text(choice.name, style=style), f"{choice.share:.1%}", bar)
    return rows
