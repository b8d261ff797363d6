from __future__ import annotations

import pytest

from orchestrator.settings.finding import Finding, did_you_mean


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (Finding(key="a.b", found="=5", rule="is odd.", try_="6."), "a.b=5 is odd. Try 6."),
        (Finding(key="a.b", found="", rule="is not a setting."), "a.b is not a setting."),
        (Finding(key="", found="conf/x.yaml", rule="is torn."), "conf/x.yaml is torn."),
        (Finding(key="code", found="a.py", rule="is odd."), "code: a.py is odd."),
        (Finding(key="url", found=" for h", rule="is odd."), "url for h is odd."),
    ],
)
def test_a_finding_reads_as_a_sentence(finding: Finding, said: str) -> None:
    assert str(finding) == said


def test_a_near_name_is_offered_and_a_far_one_gets_the_list() -> None:
    known = ["num_workers", "min_workers", "address"]
    assert did_you_mean("num_worker", known) == "num_workers."
    assert did_you_mean("zzz", known) == "one of: address, min_workers, num_workers."


def test_a_long_list_is_cut_and_says_how_long_it_is() -> None:
    said = did_you_mean("#", [f"name{i:02d}" for i in range(40)], show=3)
    assert said == "one of: name00, name01, name02 … (40 in all)."
    assert did_you_mean("x", []) == "nothing: none is known."
