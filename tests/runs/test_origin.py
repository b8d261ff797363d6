"""`encoder=` means the same whenever and wherever it is read, once it was found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import NotFoundError, OrchestratorError, RequestError
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.origin import Kind, find_origin, has_choice
from orchestrator.runs.storage import Storage, open_storage
from orchestrator.settings.export import ExportJob
from orchestrator.settings.probe import ProbeJob
from tests.trained import ID, a_job, a_run, commit

NEWER = "20261122-031522-later-bbbb"
EXPORT = "20261123-031522-export-cccc"
LOSSES = {100: 3.0, 200: 2.0, 300: 2.5, 400: None}


@pytest.fixture
def run(storage: Storage, tmp_path: Path) -> RunFolder:
    made = a_run(storage, a_job(tmp_path))
    for step, loss in LOSSES.items():
        commit(made, step, loss=loss)
    return made


def exported(runs: Storage) -> RunFolder:
    run = a_run(runs, ExportJob(encoder=ID), EXPORT)
    run.storage.write(f"{layout.EXPORT}/{layout.EXPORTED}", b"{}")
    return run


def test_a_run_is_frozen_as_its_whole_id_with_a_step(run: RunFolder, tmp_path: Path) -> None:
    asked = {
        **{"small": 400, "@last": 400, "small@last": 400, "@last@best": 200},
        **{"small@300": 300, f"{ID}@best": 200, "aaaa@100": 100},
    }
    origins = {text: find_origin(text, run.parent) for text in asked}
    for text, step in asked.items():
        origin = origins[text]
        assert (origin.kind, origin.frozen, origin.step) == (Kind.CHECKPOINT, f"{ID}@{step}", step)
    a_run(run.parent, a_job(tmp_path), NEWER)
    commit(run, 500, loss=0.1)
    for origin in origins.values():
        again = find_origin(origin.frozen, run.parent)
        assert (again.frozen, again.facts()) == (origin.frozen, origin.facts())


def test_a_run_of_another_storage_is_frozen_with_its_uri(run: RunFolder, tmp_path: Path) -> None:
    elsewhere = open_storage(tmp_path / "elsewhere")
    origin = find_origin(f"{run.uri}@best", elsewhere)
    assert (origin.frozen, origin.step) == (f"{run.uri}@200", 200)
    assert find_origin(origin.frozen, elsewhere).facts() == origin.facts()


def test_an_export_is_its_directory(run: RunFolder) -> None:
    made = exported(run.parent)
    origin = find_origin("export", run.parent)
    assert (origin.kind, origin.frozen) == (Kind.EXPORT, EXPORT)
    assert origin.uri == made.storage.uri_of(layout.EXPORT)
    assert origin.facts()["run"] == EXPORT and "checkpoint_step" not in origin.facts()


@pytest.mark.parametrize("name", ["model", "model@400"])
def test_a_directory_is_itself_whatever_its_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({}))
    origin = find_origin(str(folder), open_storage(tmp_path / "runs"))
    assert (origin.kind, origin.frozen, origin.uri) == (Kind.DIRECTORY, str(folder), str(folder))


NO_WEIGHTS: list[tuple[str, type[OrchestratorError], str]] = [
    ("nothing", NotFoundError, "No run in .* has 'nothing' in its id"),
    ("small@250", NotFoundError, "has no checkpoint of step 250; it has 100, 200, 300, 400"),
    ("probe", RequestError, "is of kind probe, which makes no encoder"),
    ("waits", NotFoundError, "has no checkpoint, and so no weights yet"),
    ("empty", NotFoundError, "has left no model yet"),
    ("export@400", RequestError, "its checkpoints are no encoders"),
    ("/nowhere/at/all", NotFoundError, "there is no such directory"),
    ("{tmp}@best", RequestError, "is a directory and has no checkpoints"),
]


def test_what_gives_no_weights_says_why(run: RunFolder, tmp_path: Path) -> None:
    exported(run.parent)
    a_run(run.parent, ProbeJob(), "20261121-031523-probe-aaaa")
    a_run(run.parent, a_job(tmp_path), "20261121-031524-waits-aaaa")
    a_run(run.parent, ExportJob(encoder=ID), "20261121-031525-empty-aaaa")
    for text, kind, said in NO_WEIGHTS:
        with pytest.raises(kind, match=said):
            find_origin(text.format(tmp=tmp_path), run.parent)


def test_the_best_is_not_guessed(storage: Storage, tmp_path: Path) -> None:
    run = a_run(storage, a_job(tmp_path))
    commit(run, 100)
    with pytest.raises(NotFoundError, match="knows its validation loss") as caught:
        find_origin("small@best", storage)
    assert caught.value.hint == f"encoder={ID}@100 is the newest."


def test_a_torn_commit_is_named_with_another_to_take(run: RunFolder) -> None:
    place = f"{layout.checkpoint(400)}/{layout.COMMIT}"
    run.storage.write(place, run.storage.read(place).replace(b"400", b"401"))
    with pytest.raises(RequestError, match=r"step-000400 of .* is torn") as caught:
        find_origin("small", run.parent)
    assert caught.value.hint == f"Take another: encoder={ID}@300"
    assert find_origin("small@best", run.parent).step == 200


def test_what_chooses_a_checkpoint() -> None:
    chosen = ["run@best", "@last@400", "/a/b@last", "s3://bucket/run?region=x@7"]
    left_open = ["run", "@last", "/a/b@7/c", "run@newest", "@400"]
    assert all(map(has_choice, chosen)) and not any(map(has_choice, left_open))
