from __future__ import annotations

from orchestrator.cluster.finetune import summarize
from orchestrator.runs import layout
from orchestrator.runs.result import read_result, write_result
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.task import Data, Task


def summarized(local: LocalStorage, chooser: str, values: list[float | None]) -> dict[str, object]:
    for number, value in enumerate(values):
        seed = local.child(layout.trial(number))
        result = {"seed": number, "chosen_by": chooser, "metrics": {"validation": {chooser: value}}}
        write_result(seed, result)
        seed.write(f"{layout.EXPORT}/{layout.EXPORTED}", b"{}")
    task = Task(name="any", kind="regression", data=Data(kind="jsonl", splits={}))
    summarize(FinetuneJob(task=task, encoder="any", num_seeds=len(values)), local)
    found = read_result(local)
    assert found is not None
    return found


def test_a_score_of_nothing_is_better_than_one_below_it(local: LocalStorage) -> None:
    assert summarized(local, "spearman", [-0.5, 0.0])["best_seed"] == 1


def test_a_seed_without_a_score_is_never_the_best(local: LocalStorage) -> None:
    assert summarized(local, "mean_squared_error", [None, 0.5])["best_seed"] == 1


def test_seeds_without_any_score_are_told_so(local: LocalStorage) -> None:
    found = summarized(local, "spearman", [None, None])
    assert found["metrics"] == {"validation": {"spearman": None}}
