from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import Run
from orchestrator.cli.watch import draw, watch
from orchestrator.runs.storage import LocalStorage
from tests.dashboard.making import Attempt, Script, make

curves = st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=300)


def dots(lines: list[str]) -> int:
    return sum(bin(ord(letter) - 0x2800).count("1") for line in lines for letter in line)


@given(curves, st.integers(1, 40), st.integers(2, 10))
def test_a_picture_has_its_size_and_every_curve_has_dots(
    values: list[float], width: int, height: int
) -> None:
    lines = draw(np.array(values), width=width, height=height)
    assert [len(line) for line in lines] == [width] * height
    assert dots(lines) >= min(len(values), 2 * width)


def test_greater_is_higher_and_later_is_further_right() -> None:
    lines = draw(np.arange(8.0), width=4, height=2)
    assert lines == ["⠀⠀⡠⠊", "⡠⠊⠀⠀"]


def test_a_spike_of_one_step_is_seen() -> None:
    values = np.zeros(10_000)
    values[6_000] = 1.0
    assert draw(values, width=10, height=2)[0].strip("⠀")


def test_without_a_terminal_each_change_is_a_line(
    local: LocalStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(local, Script(number=1, attempts=[Attempt(first=1, last=50, ended="stopped")]))
    assert watch(Run(run)).exit_code == 4
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("stopped | step 50 | loss 8.")
