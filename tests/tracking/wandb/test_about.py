from __future__ import annotations

from collections.abc import Callable

from orchestrator.api.steps import parent_of
from orchestrator.runs.folder import create_run
from orchestrator.runs.plan import Forked, Plan
from orchestrator.runs.state import State, Status
from orchestrator.runs.storage import Storage
from orchestrator.settings.tracking import Tracking
from orchestrator.tracking.wandb.about import describe, exit_code
from tests.tracking.wandb.making import Writing

PIPELINE = "20261121-031523-pipeline-bbbb"
NewRun = Callable[..., Writing]


def test_a_run_has_one_id_and_its_own_settings(run: Writing) -> None:
    about = describe(run.folder, Tracking())
    assert (about.id, about.name, about.group) == (run.id, run.id, None)
    assert about.config["cluster"]["num_workers"] == 1
    assert about.config["lineage"]["user"] == "ada"


def test_a_diff_stays_in_the_runs_folder(new_run: NewRun, local: Storage) -> None:
    git = {"commit": "c0ffee", "diff": "x" * 1000, "changed": ["a"]}
    run = new_run(local, lineage={"git": git})
    lineage = describe(run.folder, Tracking()).config["lineage"]
    assert lineage["git"] == {"commit": "c0ffee"}
    assert lineage["uri"] == run.folder.uri


def test_steps_of_a_pipeline_are_a_group_and_a_fork_is_none(
    new_run: NewRun, local: Storage, plan: Plan
) -> None:
    pipeline = create_run(local, PIPELINE, plan)
    forked = Forked(run=PIPELINE, uri=pipeline.uri, job=pipeline.job(), step=4)
    parents = {PIPELINE: parent_of(pipeline, "train"), None: forked.to_plain()}
    for group, parent in parents.items():
        about = describe(new_run(local, parent=parent).folder, Tracking())
        assert about.group == group
        assert about.config["links"] == {"parent": PIPELINE}


def test_wandb_tells_finished_killed_and_failed_apart() -> None:
    codes = {state: exit_code(Status(state=state)) for state in State if state.is_over}
    assert codes == {State.FINISHED: 0, State.STOPPED: 255, State.FAILED: 1}
