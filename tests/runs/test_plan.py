"""The plan as a value, its fingerprint, and how differences from it are told."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs.plan import Fingerprint, Plan, describe_differences
from orchestrator.settings.build import to_plain
from orchestrator.settings.finding import Finding
from orchestrator.settings.probe import ProbeJob

WORDS = st.text("ab", max_size=2)
PRINTS = st.builds(
    Fingerprint, settings=WORDS, code=WORDS, packages=st.dictionaries(WORDS, st.text("12."))
)
PLANNED = Fingerprint(settings="aa", code="bb", packages={"torch": "2.13.0", "python": "3.11.7"})


def test_a_difference_names_part_rank_and_node() -> None:
    other = dataclasses.replace(PLANNED, packages={"torch": "2.12.1", "python": "3.11.7"})
    told = describe_differences(PLANNED, [("n0", PLANNED), ("n1", other), ("n1", other)])
    assert told == ["rank 1, 2 (n1): torch 2.12.1 instead of 2.13.0"]


def test_what_every_rank_has_wrong_is_told_once() -> None:
    other = dataclasses.replace(PLANNED, code="cc")
    told = describe_differences(PLANNED, [("n0", other), ("n1", other)])
    assert told == ["every rank (n0, n1): code cc instead of bb"]


def test_a_missing_package_is_a_difference() -> None:
    other = dataclasses.replace(PLANNED, packages={"python": "3.11.7"})
    assert PLANNED.differences_from(other) == ["torch missing instead of 2.13.0"]
    assert other.differences_from(PLANNED) == ["torch 2.13.0 instead of none"]


def test_each_part_that_differs_is_told_in_words() -> None:
    worker = Fingerprint(settings="a2", code="c2", packages={"torch": "2.12.1", "extra": "1"})
    assert PLANNED.differences_from(worker) == [
        "settings a2 instead of aa",
        "code c2 instead of bb",
        "torch 2.12.1 instead of 2.13.0",
        "python missing instead of 3.11.7",
        "extra 1 instead of none",
    ]


@given(PRINTS, PRINTS)
def test_two_fingerprints_are_one_only_if_nothing_differs(
    one: Fingerprint, other: Fingerprint
) -> None:
    assert (one.whole == other.whole) == (one == other)
    assert bool(one.differences_from(other)) == (one != other)
    assert len(one.differences_from(other)) == len(other.differences_from(one))


@given(st.lists(st.tuples(st.sampled_from(["n0", "n1"]), PRINTS), max_size=5), PRINTS)
def test_every_rank_that_differs_is_in_some_line_and_no_other(
    found: list[tuple[str, Fingerprint]], expected: Fingerprint
) -> None:
    lines = describe_differences(expected, found)
    differing = [rank for rank, (_, mine) in enumerate(found) if mine != expected]
    assert bool(lines) == bool(differing)
    told = {
        int(rank)
        for line in lines
        if line.startswith("rank ")
        for rank in line.removeprefix("rank ").partition(" (")[0].split(", ")
    }
    if any(line.startswith("every rank ") for line in lines):
        assert len(differing) == len(found)
    else:
        assert told == set(differing)


@given(PRINTS)
def test_a_fingerprint_comes_back_from_an_event(fingerprint: Fingerprint) -> None:
    plain = json.loads(json.dumps(to_plain(fingerprint)))
    assert Fingerprint.from_plain(plain) == fingerprint


def test_the_same_request_has_the_same_plan_and_another_job_another(plan: Plan) -> None:
    assert plan.fingerprint is not None
    assert dataclasses.replace(plan).fingerprint == plan.fingerprint
    other = dataclasses.replace(plan, job=ProbeJob(name="other"))
    assert other.fingerprint is not None
    assert other.fingerprint.whole != plan.fingerprint.whole
    assert other.fingerprint.code == plan.fingerprint.code


def test_a_plan_without_a_job_or_code_has_no_fingerprint_and_can_still_be_shown(
    plan: Plan,
) -> None:
    finding = Finding(key="name", found="=X", rule="must be x.", try_="x.")
    broken = dataclasses.replace(plan, job=None, code=None, findings=(finding,))
    assert broken.fingerprint is None
    shown = json.loads(json.dumps(broken.to_plain()))
    assert shown["findings"] == [{"key": "name", "found": "=X", "rule": "must be x.", "try": "x."}]
    assert shown["settings"] is None
    assert shown["code"] is None


def test_a_shown_plan_tells_what_differs_from_the_defaults_and_no_diff(plan: Plan) -> None:
    lineage = {**plan.lineage, "git": {"commit": "abc", "diff": "a very long diff"}}
    shown = dataclasses.replace(plan, lineage=lineage).to_plain()
    assert shown["changed"]["name"] == {"default": None, "value": "tiny"}
    assert set(shown["changed"]) == {"name", "tags"}
    assert shown["settings"]["cluster.num_workers"] == 1
    assert shown["lineage"]["git"] == {"commit": "abc"}
    assert "a very long diff" not in json.dumps(shown)
    assert shown["code"]["files"] == 2
    assert lineage["git"] == {"commit": "abc", "diff": "a very long diff"}
