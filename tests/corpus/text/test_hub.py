from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from orchestrator.errors import RequestError, StorageError
from orchestrator.settings.corpus import Source
from tests.corpus.text.reading import WHOLE, a_source, plan, texts

ROWS = [f"= {number} =" if number % 7 == 3 else f"text {number}" for number in range(60)]
DOCUMENTS = ["\n".join(ROWS[at : at + 7]) for at in range(3, 60, 7)]


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """With a cache that is gone afterwards, without a hub, and without the import of torch."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "TORCH_AVAILABLE", False)
    datasets.disable_progress_bars()
    yield datasets
    datasets.enable_progress_bars()


def refused(source: Source) -> RequestError:
    with pytest.raises(RequestError) as caught:
        texts(source)
    return caught.value


def a_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(3):
        table = pa.table({"id": [*range(20)], "text": ROWS[number * 20 : number * 20 + 20]})
        parquet.write_table(table, folder / f"{number}.parquet")
    return folder


@pytest.mark.parametrize("kind", ["saved", "stored", "streamed"])
def test_every_row_is_read_once_however_it_is_divided(
    tmp_path: Path, datasets: Any, kind: str
) -> None:
    folder = a_folder(tmp_path)
    if kind == "saved":
        rows = [*ROWS[:30], None, *ROWS[30:]]
        folder = tmp_path / "saved"
        datasets.Dataset.from_dict({"text": rows, "id": [*range(61)]}).save_to_disk(folder)
    streaming = kind == "streamed"
    source = a_source(folder, "dataset", streaming=streaming)
    started = a_source(folder, "dataset", streaming=streaming, document_start="=")
    for part_bytes in (1, 50, 300, WHOLE):
        assert texts(source, part_bytes) == ROWS
        assert texts(started, part_bytes) == ["\n".join(ROWS[:3]), *DOCUMENTS]
    parts = plan(source, part_bytes=100)
    if streaming:
        bounds = [[(span.begin, span.end) for span in part.spans] for part in parts]
        assert bounds == [[(0, 1)], [(1, 2)], [(2, 3)]]
    else:
        assert 5 < len(parts) < 20
        assert all(0 < part.size_bytes <= 110 for part in parts)
        assert plan(source)[0].spans[0].modified > 1.6e9


def test_a_split_of_a_saved_set_is_found_by_its_name(tmp_path: Path, datasets: Any) -> None:
    train, test = ({"text": [name]} for name in ("for training", "for testing"))
    of = datasets.Dataset.from_dict
    datasets.DatasetDict(train=of(train), test=of(test)).save_to_disk(tmp_path / "both")
    assert texts(a_source(tmp_path / "both", "dataset")) == ["for training"]
    assert texts(a_source(tmp_path / "both", "dataset", split="test")) == ["for testing"]
    told = str(refused(a_source(tmp_path / "both", "dataset", split="tests")))
    assert "has no split tests; it has test, train." in told
    assert "corpus.sources.s0.split; try test." in told


def test_a_set_that_changed_is_opened_again(tmp_path: Path, datasets: Any) -> None:
    for number, rows in enumerate((["one"], ["two", "three"])):
        folder = tmp_path / f"saved-{number}"
        datasets.Dataset.from_dict({"text": rows}).save_to_disk(folder)
        (tmp_path / "saved").unlink(missing_ok=True)
        (tmp_path / "saved").symlink_to(folder)
        assert texts(a_source(tmp_path / "saved", "dataset")) == rows


def test_a_name_that_no_hub_answers_for_is_told_with_the_next_step() -> None:
    err = refused(a_source("nobody/nothing", "dataset"))
    assert isinstance(err, StorageError)
    assert "corpus.sources.s0.path=nobody/nothing cannot be opened as a data set" in str(err)
    assert "the hub does not answer" in str(err)
    assert "save_to_disk" in str(err)


@pytest.mark.parametrize("streaming", [False, True])
def test_what_a_set_does_not_have_is_told(tmp_path: Path, datasets: Any, streaming: bool) -> None:
    folder = a_folder(tmp_path)
    for settings, found in (
        ({"column": "txt"}, "has no column txt; it has id, text."),
        ({"split": "nope"}, "nope"),
        ({"subset": "nope"}, "BuilderConfig 'nope' not found"),
        ({"column": "id"}, "row 0 of the column id holds int 0 and not a text"),
    ):
        source = a_source(folder, "dataset", streaming=streaming, **settings)
        assert found in str(refused(source))
    (tmp_path / "empty").mkdir()
    empty = a_source(tmp_path / "empty", "dataset", streaming=streaming)
    assert "cannot be opened as a data set" in str(refused(empty))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_that_is_no_text_is_told_by_its_number(tmp_path: Path, streaming: bool) -> None:
    (tmp_path / "files").mkdir()
    table = pa.table({"text": pa.array([None] * 5000 + [3])})
    parquet.write_table(table, tmp_path / "files" / "0.parquet")
    source = a_source(tmp_path / "files", "dataset", streaming=streaming)
    assert "row 5,000 of the column text holds int 3" in str(refused(source))


def test_a_set_without_a_row_is_a_mistake(tmp_path: Path, datasets: Any) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a"]}).filter(lambda row: False)
    rows.save_to_disk(tmp_path / "saved")
    assert "saved has no row in train" in str(refused(a_source(tmp_path / "saved", "dataset")))


def test_why_a_set_cannot_be_made_is_told(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (folder / "1.parquet").write_bytes(b"PAR1 and no more PAR1")
    told = str(refused(a_source(folder, "dataset")))
    assert "cannot be opened as a data set" in told
    assert "Parquet" in told


def test_a_file_of_a_stream_that_is_broken_is_told(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    source = a_source(folder, "dataset", streaming=True)
    plan(source)
    path = folder / "1.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    assert "files, shard 1 cannot be read on" in str(refused(source))
