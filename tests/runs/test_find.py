from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs.find import open_run
from orchestrator.runs.folder import create_run
from orchestrator.runs.plan import Plan
from orchestrator.runs.storage import LocalStorage, Storage, open_storage

ID = "20261121-031522-tiny-aaaa"


def test_a_run_is_found_by_its_own_uri(storage: Storage, plan: Plan) -> None:
    made = create_run(storage, ID, plan)
    found = open_run(made.uri)
    assert (found.id, found.uri) == (ID, made.uri)
    assert found.job() == plan.job


@pytest.mark.parametrize("name", ["with space", "ha#sh", "que?ry=1", "per%20cent", "a:b", "ü"])
def test_the_folder_above_may_have_any_name(tmp_path: Path, plan: Plan, name: str) -> None:
    made = create_run(open_storage(tmp_path / name), ID, plan)
    assert open_run(made.uri).job() == plan.job
    assert open_run(f"{made.uri}/").id == ID
    assert open_run((tmp_path / name / ID).as_uri()).job() == plan.job


def test_a_relative_path_is_taken_from_here(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_run(open_storage(tmp_path), ID, plan)
    monkeypatch.chdir(tmp_path)
    assert open_run(ID).job() == plan.job


def test_what_is_no_runs_folder_is_refused(local: LocalStorage) -> None:
    for uri in (local.uri, f"{local.uri}/{ID}/checkpoints", "", "/", f"{local.uri}/../x"):
        with pytest.raises(RequestError, match="is not a run's id"):
            open_run(uri)


def test_a_run_that_is_not_there_is_told_with_its_place(storage: Storage) -> None:
    with pytest.raises(NotFoundError, match="as seen from this node"):
        open_run(storage.child(ID).uri)
