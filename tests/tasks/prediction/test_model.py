"""Rows of files get what the model says of the same examples, in their order."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.encoder.build import save_encoder
from orchestrator.errors import RequestError
from orchestrator.settings.precision import Precision
from orchestrator.settings.predict import Input, InputKind, OnBad, Output, OutputKind, PredictJob
from orchestrator.settings.task import Pooling
from orchestrator.tasks.predict import predict
from orchestrator.tasks.prediction.asking import asking_of
from orchestrator.tasks.prediction.model import plain_answer
from orchestrator.tasks.record import read_record
from tests.tasks.prediction.answering import answered
from tests.tasks.prediction.inputs import looked_at, write_file
from tests.tasks.saved import Folders, Saved
from tests.tasks.small import MODEL, ROWS

pytestmark = pytest.mark.slow

# Kind → what of its rows is not told to the model.
ASKED_FOR = ("label", "labels", "score", "tags", "intent", "answers")


@pytest.fixture
def save(tmp_path: Path, tokenizer_folders: Folders) -> Callable[..., Saved]:
    def save(kind: str, **more: Any) -> Saved:
        folder = tmp_path / kind
        folder.mkdir()
        return Saved(kind, folder, tokenizer_folders, **more)

    return save


def lines_of(paths: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.mark.parametrize("kind", list(ROWS))
def test_rows_get_the_answers_of_their_examples_in_order(
    kind: str, save: Callable[..., Saved], tmp_path: Path
) -> None:
    saved = save(kind)
    bare = [
        {name: row[name] for name in row if name not in ASKED_FOR} | {"id": number}
        for number, row in enumerate(ROWS[kind] * 5)
    ]
    path = write_file(tmp_path / "rows.jsonl", InputKind.JSONL, bare)
    job = PredictJob(encoder="x", input=Input(path=(str(path),)))
    found = lines_of(answered(job, saved.folder, tmp_path / "out"))
    read = saved.read
    wanted = predict(saved.model, read.features, read.examples, read.labels, read.task)
    assert [row["id"] for row in found] == list(range(len(bare)))
    for number, row in enumerate(found):
        answer = plain_answer(wanted.answers[number % len(ROWS[kind])])
        sure = float(wanted.confidence_E[number % len(ROWS[kind])])
        if isinstance(answer, float):
            assert row["prediction"] == pytest.approx(answer, abs=1e-5)
        else:
            assert row["prediction"] == json.loads(json.dumps(answer))
        if math.isnan(sure):
            assert row["confidence"] is None
        else:
            assert row["confidence"] == pytest.approx(sure, abs=1e-5)


def test_columns_are_named_and_a_wrong_label_in_them_does_no_harm(
    save: Callable[..., Saved], tmp_path: Path
) -> None:
    saved = save("classification")
    rows = [{"body": row["text"], "label": "nobody's"} for row in ROWS["classification"]]
    path = write_file(tmp_path / "rows.csv", InputKind.CSV, rows)
    job = PredictJob(
        encoder="x",
        input=Input(path=(str(path),), columns={"text": "body"}),
        output=Output(path="answers.csv", prefix="my_", is_joined=False),
    )
    (part,) = answered(job, saved.folder, tmp_path / "out")
    first, *others = part.read_text().splitlines()
    assert first == "body,label,my_prediction,my_confidence"
    assert len(others) == len(rows) and all(",nobody's," in line for line in others)


def test_lines_of_text_are_asked_as_they_are(save: Callable[..., Saved], tmp_path: Path) -> None:
    saved = save("classification")
    rows = [{"text": row["text"]} for row in ROWS["classification"]]
    path = write_file(tmp_path / "rows.txt", InputKind.TEXT, rows)
    job = PredictJob(encoder="x", input=Input(path=(str(path),)))
    found = lines_of(answered(job, saved.folder, tmp_path / "out"))
    assert [row["text"] for row in found] == [row["text"] for row in rows]
    tagged = save("tagging")
    found = lines_of(answered(job, tagged.folder, tmp_path / "tags"))
    assert [len(row["prediction"]) for row in found] == [len(row["text"].split()) for row in rows]
    asked = save("qa")
    with pytest.raises(RequestError, match="reads context too"):
        answered(job, asked.folder, tmp_path / "qa")


def test_bad_rows_are_written_with_their_error_in_their_place(
    save: Callable[..., Saved], tmp_path: Path
) -> None:
    saved = save("classification")
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "the river"}\n{"text": 5}\n\n{"text": "\xff"}\n{"text": "coast"}\n')
    job = PredictJob(encoder="x", input=Input(path=(str(path),), on_bad=OnBad.SKIP))
    for kind in (OutputKind.JSONL, OutputKind.PARQUET):
        one = replace(job, output=Output(kind=kind))
        paths = answered(one, saved.folder, tmp_path / kind.value)
        if kind is OutputKind.JSONL:
            found = lines_of(paths)
            assert [("error" in row, "prediction" in row) for row in found] == [
                *[(False, True), (True, False), (True, False), (False, True)]
            ]
            assert found[1]["error"] == f"{path}, line 2: text=5 is not a text."
            assert f"{path}, line 4: has the byte 0xff" in found[2]["error"]


def test_a_column_that_is_added_must_not_be_there(
    save: Callable[..., Saved], tmp_path: Path
) -> None:
    saved = save("regression")
    path = write_file(tmp_path / "rows.jsonl", InputKind.JSONL, [{"text": "a", "prediction": 1}])
    job = PredictJob(encoder="x", input=Input(path=(str(path),)))
    record = read_record(saved.folder)
    looked, _ = looked_at(job.input, 256, asking_of(job, record, {InputKind.JSONL}))
    (bad,) = looked[0].bad
    assert bad.shown == "prediction" and "output.prefix" in bad.try_
    job = replace(job, output=Output(prefix="my_"))
    (row,) = lines_of(answered(job, saved.folder, tmp_path / "out"))
    assert list(row) == ["text", "prediction", "my_prediction", "my_confidence"]


def test_vectors_are_those_that_similarity_compares(
    save: Callable[..., Saved], tmp_path: Path
) -> None:
    saved = save("similarity")
    texts = [{"text": row[side]} for row in ROWS["similarity"] for side in ("text", "pair")]
    path = write_file(tmp_path / "rows.txt", InputKind.TEXT, texts)
    job = PredictJob(
        encoder="x", embed=True, input=Input(path=(str(path),)), output=Output(kind=OutputKind.NPY)
    )
    alone = replace(job, output=replace(job.output, is_joined=False))
    (part,) = answered(alone, saved.folder, tmp_path / "task")
    vectors_SD = np.load(part)
    assert vectors_SD.shape == (len(texts), MODEL.hidden) and vectors_SD.dtype == np.float32
    length_S = np.linalg.norm(vectors_SD, axis=1)
    cosines = (vectors_SD[0::2] * vectors_SD[1::2]).sum(axis=1) / (length_S[0::2] * length_S[1::2])
    np.testing.assert_allclose(cosines, saved.outputs()[0], atol=1e-5)

    plain = tmp_path / "plain"  # the same encoder without any task
    save_encoder(saved.model.encoder, plain)
    for file in saved.tokenizer_folder.iterdir():
        (plain / file.name).write_bytes(file.read_bytes())
    (part,) = answered(alone, plain, tmp_path / "plain-out")
    np.testing.assert_allclose(np.load(part), vectors_SD, atol=1e-5)
    first = replace(alone, pooling=Pooling.CLS)
    (part,) = answered(first, plain, tmp_path / "first")
    assert not np.allclose(np.load(part), vectors_SD, atol=1e-2)
    half = replace(alone, precision=Precision.BF16)
    (part,) = answered(half, plain, tmp_path / "half")
    np.testing.assert_allclose(np.load(part), vectors_SD, rtol=0.1, atol=0.05)


_PEAK = """
import resource, sys
from pathlib import Path
from orchestrator.settings.predict import Input, PredictJob
from tests.tasks.prediction.answering import answered
model, out, *paths = map(Path, sys.argv[1:])
for number, path in enumerate(paths):
    job = PredictJob(encoder="x", max_tokens=8, input=Input(path=(str(path),)))
    answered(job, model, out / str(number), size=2**30)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.long
def test_ten_times_the_rows_need_no_more_memory(save: Callable[..., Saved], tmp_path: Path) -> None:
    """Within one part: held as a whole, the larger file would take its size several times."""
    saved = save("classification")
    row = {"text": f"the river {'x' * 1200}"}  # a word too long to be one costs no time
    paths = []
    for count in (2_000, 20_000):
        paths.append(write_file(tmp_path / f"{count}.jsonl", InputKind.JSONL, [row] * count))
    assert paths[1].stat().st_size > 20 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(saved.folder), str(tmp_path / "out"), *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    small, large = map(int, done.stdout.split())
    assert large - small < 12 * 2**20, (small, large)
