"""The `predict` job: a model's answers, or vectors, for the rows of files of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.job import Job
from orchestrator.settings.precision import Precision
from orchestrator.settings.task import Pooling
from orchestrator.settings.units import Bytes, Count

COMPRESSED = (".gz", ".xz", ".zst")
PREFIX = Bounds(pattern=r"\w{0,40}", pattern_said="letters, digits and _, at most 40")


class InputKind(StrEnum):
    TEXT = "text"  # a row a line
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class OutputKind(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    NPY = "npy"


class OnBad(StrEnum):
    ERROR = "error"
    SKIP = "skip"


_INPUTS = {
    **{".txt": InputKind.TEXT, ".text": InputKind.TEXT},
    **{".jsonl": InputKind.JSONL, ".ndjson": InputKind.JSONL, ".parquet": InputKind.PARQUET},
    **{".csv": InputKind.CSV, ".tsv": InputKind.CSV},
}
_NO_OUTPUT = (".tsv", ".txt", ".text", ".ndjson", ".json")


@dataclass(frozen=True, kw_only=True)
class Input:
    path: tuple[str, ...] = setting(
        "Files: paths, globs or URIs, .gz, .xz and .zst too; they are read in this order",
        path=PathKind.FILE,
    )
    kind: InputKind | None = setting(
        "What the rows are in; null: by the names of the files (.txt, .jsonl, .csv, .parquet)",
        default=None,
    )
    columns: dict[str, str | tuple[str, ...]] = setting(
        "Role → column, where it is called otherwise than in the model's task: text, pair, words, "
        "question, context, choices",
        factory=dict,
    )
    delimiter: str = setting("Of csv: what stands between fields", default=",")
    quotes: bool = setting('Of csv: whether fields may stand in "…"', default=True)
    encoding: str = setting("Of files", default="utf-8")
    on_bad: OnBad = setting(
        "Rows that cannot be read: error: nothing is written; skip: they are written with an "
        "`error` in place of an answer",
        default=OnBad.ERROR,
    )
    part_bytes: Bytes | None = setting(
        "Bytes of rows that one task answers; null: by how much there is and how many workers",
        default=None,
        bounds=Bounds(at_least=256),
    )

    def findings(self) -> Iterator[Finding]:
        if not self.path:
            yield Finding(key="path", found="=[]", rule="names no file.", try_="path=[rows/*.csv].")
        if len(self.delimiter) != 1:
            rule = "must be one character."
            yield Finding(key="delimiter", found=f"={self.delimiter!r}", rule=rule)
        try:
            "".encode(self.encoding)
        except LookupError:
            rule = "is not an encoding that Python knows."
            yield Finding(key="encoding", found=f"={self.encoding}", rule=rule, try_="utf-8.")

    def kind_of(self, uri: str) -> InputKind | None:
        return self.kind or _INPUTS.get(_ending(uri))

    def delimiter_of(self, uri: str) -> str:
        return "\t" if self.delimiter == "," and _ending(uri) == ".tsv" else self.delimiter


@dataclass(frozen=True, kw_only=True)
class Output:
    path: str | None = setting(
        "The file, or with is_joined=false the folder; null: prediction/ in the run's folder",
        default=None,
        path=PathKind.FILE,
    )
    kind: OutputKind | None = setting(
        "What is written; null: by the end of `path`, else jsonl, and parquet for vectors. npy is "
        "for vectors alone, without columns",
        default=None,
    )
    is_joined: bool = setting("One file; or a folder of parts, in their order", default=True)
    prefix: str = setting(
        "Before the names of the columns that are added: prediction, confidence, vector, error",
        default="",
        bounds=PREFIX,
    )


@dataclass(frozen=True, kw_only=True)
class PredictJob(Job):
    kind: ClassVar[str] = "predict"

    encoder: str = setting(
        "The model: a run that made one for a task, or its directory; any encoder for vectors",
        path=PathKind.FILE_OR_NAME,
    )
    embed: bool = setting("A vector for each text in place of the task's answer", default=False)
    pooling: Pooling | None = setting(
        "Of vectors: what stands for a text; null: as the model's task says, else mean",
        default=None,
    )
    max_tokens: Count | None = setting(
        "The longest sample; null: as the model's task says, else all positions of the encoder",
        default=None,
        bounds=Bounds(at_least=8),
    )
    precision: Precision = setting(
        "What it computes in: fp32, bf16, fp16 (GPUs)", default=Precision.FP32
    )
    input: Input = setting("The rows")
    output: Output = setting("Where the answers go", factory=Output)

    @property
    def output_kind(self) -> OutputKind:
        if self.output.kind is not None:
            return self.output.kind
        named = _ending(self.output.path or "").removeprefix(".")
        if named in set(map(str, OutputKind)):
            return OutputKind(named)
        return OutputKind.PARQUET if self.embed else OutputKind.JSONL

    def findings(self) -> Iterator[Finding]:
        kind = self.output_kind
        if kind is OutputKind.NPY and not self.embed:
            rule = "is for vectors alone."
            yield Finding(key="output.kind", found="=npy", rule=rule, try_="embed=true, or jsonl.")
        if kind is OutputKind.CSV and self.embed:
            rule = "has no place for vectors."
            yield Finding(key="output.kind", found="=csv", rule=rule, try_="parquet, npy or jsonl.")
        if self.pooling is not None and not self.embed:
            rule = "has no effect without embed=true."
            yield Finding(key="pooling", found=f"={self.pooling}", rule=rule)
        if self.precision is Precision.FP16 and not self.cluster.gpus_per_worker:
            yield Finding(key="precision", found="=fp16", rule="is for GPUs.", try_="bf16.")
        path = self.output.path
        if self.output.kind is None and _ending(path or "") in _NO_OUTPUT:
            rule = f"ends as no output does; it would be {kind}."
            kinds = ", ".join(OutputKind)
            yield Finding(key="output.path", found=f"={path}", rule=rule, try_=f"one of {kinds}.")
        if path is not None and path.lower().endswith(COMPRESSED):
            rule = "is written as it is, not compressed."
            yield Finding(key="output.path", found=f"={path}", rule=rule, try_="parquet.")


def _ending(uri: str) -> str:
    """Of a file's name, in small letters, without what compresses it."""
    name = (uri.partition("?")[0] if "://" in uri else uri).rpartition("/")[2].lower()
    for end in COMPRESSED:
        name = name.removesuffix(end)
    dot = name.rfind(".")
    return name[dot:] if dot >= 0 else ""
