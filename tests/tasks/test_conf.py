"""Every task of conf/task/ is whole; those whose data comes along are read to the last row."""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestrator.settings.build import build, check
from orchestrator.settings.bundled import bundled
from orchestrator.settings.task import KINDS, Split, Task
from orchestrator.tasks.findings import check_task, column_findings, metric_findings
from orchestrator.tasks.kinds.kind import Columns, kind_of
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tasks.read import read_examples
from orchestrator.tasks.rows.factbook import question_rows
from tests.tasks.small import built, plain_task

FILES = sorted((bundled("conf") / "task").glob("*.yaml"))
SHIPPED = set(KINDS)
GLUE = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli")


def task_in(path: Path) -> Task:
    task, findings = build(Task, yaml.safe_load(path.read_text()), at="task")
    assert task is not None, [str(finding) for finding in findings]
    return task


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_task_is_whole_and_says_what_it_is(path: Path) -> None:
    text, task = path.read_text(), task_in(path)
    assert text.startswith("# ") and task.name == path.stem
    assert check(task, at="task") == []
    assert [*metric_findings(task), *column_findings(task, kind_of(task))] == []
    assert metrics_of(task)


def test_all_of_glue_and_one_of_every_kind_are_there() -> None:
    tasks = [task_in(path) for path in FILES]
    assert set(GLUE) <= {task.name for task in tasks}
    assert {task.kind for task in tasks} >= SHIPPED - {"multilabel"}
    mnli = next(task for task in tasks if task.name == "mnli")
    assert {"validation", "mismatched"} <= set(mnli.data.splits)


@pytest.mark.slow
def test_the_questions_of_the_factbook_have_their_answers_in_their_contexts() -> None:
    task = task_in(bundled("conf") / "task" / "factbook_questions.yaml")
    kind, columns = kind_of(task), Columns(task=task)
    examples = [kind.read(row, columns) for row in question_rows(task.data, "train")]
    assert len(examples) > 4000
    assert len({example.texts[0] for example in examples}) == len(examples)


def test_the_sections_of_the_factbook_are_split_by_country(tmp_path: Path) -> None:
    task = task_in(bundled("conf") / "task" / "factbook_sections.yaml")
    packed = (bundled("data") / "factbook.jsonl.xz").read_bytes()
    some = tmp_path / "some.jsonl"  # all of them take seconds
    some.write_bytes(b"\n".join(lzma.decompress(packed).splitlines()[:40]))
    splits = {"train": Split(path=(str(some),))}
    task = replace(task, data=replace(task.data, splits=splits))
    examples = read_examples(task)
    assert check_task(task, examples) == []
    countries = [{one.group for one in some} for some in examples.splits.values()]
    assert sum(map(len, countries)) == len(set.union(*countries)) == 40
    assert all(countries)


def test_mistakes_in_a_task_are_found_when_it_is_loaded() -> None:
    data = {"kind": "cvs", "splits": {"test": {"path": ["a"]}}, "delimiter": "ab"}
    plain = plain_task("clasification", data=data, metrics=["acuracy"], hypothesis="yes")
    task, _ = build(Task, plain, at="task")
    assert task is not None
    said = "\n".join(str(finding) for finding in check(task, at="task"))
    for part in (
        "task.kind=clasification is not a kind of task. Try classification.",
        "task.metrics=acuracy is not a metric. Try accuracy.",
        "task.hypothesis=yes has no {}",
        "task.data.kind=cvs is not a kind of data. Try csv.",
        "task.data.splits must have train; it has test.",
        "task.data.delimiter='ab' must be one character.",
    ):
        assert part in said


def test_a_kind_of_ones_own_is_read_like_others(tmp_path: Path) -> None:
    from orchestrator.tasks.kinds.classification import Classification

    class Loud(Classification):
        def class_names(self, target: str) -> tuple[str, ...]:
            return (target.upper(),)

    if "loud" not in KINDS:
        KINDS.register("loud", Loud())
    file = tmp_path / "rows.csv"
    file.write_text("text,label\none,a\ntwo,b\nthree,b\n")
    data = {"kind": "csv", "splits": {"train": {"path": [str(file)]}}}
    task = built(plain_task("loud", data=data))
    assert list(kind_of(task).class_names("a")) == ["A"]
    assert len(read_examples(task)["train"]) == 2
