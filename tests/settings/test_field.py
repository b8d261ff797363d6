from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.settings.field import Bounds

NUMBERS = st.integers(-100, 100) | st.floats(-100, 100)


@given(NUMBERS, NUMBERS)
def test_bounds_refuse_exactly_what_is_outside(limit: float, value: float) -> None:
    assert (Bounds(at_least=limit).broken_by(value) is None) == (value >= limit)
    assert (Bounds(above=limit).broken_by(value) is None) == (value > limit)
    assert (Bounds(at_most=limit).broken_by(value) is None) == (value <= limit)


def test_a_pattern_is_for_the_whole_text_and_a_broken_one_is_said_in_words() -> None:
    bounds = Bounds(pattern="[a-z]+", pattern_said="lower-case letters")
    assert bounds.broken_by("abc") is None
    for wrong in ("abc\n", "aBc", "", " abc"):
        assert bounds.broken_by(wrong) == "must be lower-case letters."


def test_numbers_have_no_pattern_and_text_no_limits() -> None:
    assert Bounds(pattern="x", pattern_said="x").broken_by(5) is None
    assert Bounds(at_least=5).broken_by("1") is None
    assert Bounds(at_least=5).broken_by(True) is None
