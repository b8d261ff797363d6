from __future__ import annotations

import pytest

from orchestrator.tuning.lines import named_lines


def test_each_line_of_a_trial_begins_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    print("before")
    with named_lines("trial 0007"):
        print("one\ntwo", flush=True)
        print("three", end="")
    print("after")
    lines = ["before", "trial 0007 | one", "trial 0007 | two", "trial 0007 | three", "after"]
    assert capsys.readouterr().out.splitlines() == lines
