from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.settings.units import (
    EXAMPLES,
    Unit,
    format_bytes,
    format_count,
    format_duration,
    parse,
)

SUFFIXES = [
    *((Unit.COUNT, suffix, 10**power) for suffix, power in [("", 0), ("k", 3), ("K", 3)]),
    *((Unit.COUNT, suffix, 10**power) for suffix, power in [("M", 6), ("G", 9), ("T", 12)]),
    *((Unit.SECONDS, suffix, n) for suffix, n in [("s", 1), ("m", 60), ("min", 60)]),
    *((Unit.SECONDS, suffix, n) for suffix, n in [("h", 3600), ("d", 86400)]),
    *((Unit.BYTES, f"{letter}B", 1000**i) for i, letter in enumerate(["", "k", "M", "G", "T"])),
    *((Unit.BYTES, f"{letter}iB", 1024**i) for i, letter in enumerate("KMGT", start=1)),
]


@given(st.sampled_from(SUFFIXES), st.integers(-(10**18), 10**18))
def test_a_whole_number_times_its_unit_is_exact(case: tuple[Unit, str, int], number: int) -> None:
    unit, suffix, scale = case
    assert parse(f"{number}{suffix}", unit) == number * scale
    assert parse(f"{number:_} {suffix} ", unit) == number * scale


@given(st.sampled_from(SUFFIXES), st.decimals(0, 10**6, places=4, allow_nan=False), st.booleans())
def test_a_decimal_fraction_times_its_unit_is_the_nearest_number(
    case: tuple[Unit, str, int], number: object, is_scientific: bool
) -> None:
    """1.001k is 1001, and not 1000.9999999999999, which would be refused as not whole."""
    unit, suffix, scale = case
    text = f"{number:e}" if is_scientific else str(number)
    exact = Fraction(text) * scale
    parsed = parse(f"{text}{suffix}", unit)
    assert parsed == (int(exact) if exact.denominator == 1 else float(exact))


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_plain_number_is_itself(number: float) -> None:
    assert parse(number, Unit.COUNT) == number


@given(st.text(max_size=12), st.sampled_from(Unit))
def test_any_text_is_a_finite_number_or_refused_with_a_reason(text: str, unit: Unit) -> None:
    try:
        assert abs(parse(text, unit)) < float("inf")
    except ValueError as err:
        assert str(err).startswith("is not a ")


@pytest.mark.parametrize(
    "wrong", ["", ".", "e5", "five", "1x", "1 2", "-", "4GiBs", None, True, []]
)
@pytest.mark.parametrize("unit", Unit)
def test_what_is_no_number_is_refused_with_examples(wrong: object, unit: Unit) -> None:
    with pytest.raises(ValueError, match=EXAMPLES[unit].split(",")[0]):
        parse(wrong, unit)


@pytest.mark.parametrize(
    "wrong",
    ["1e999", "1e999999999", float("inf"), float("nan"), 10**400, "9" * 400, "9" * 5000],
    ids=lambda wrong: str(wrong)[:12],
)
def test_what_no_machine_can_hold_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a finite number"):
        parse(wrong, Unit.SECONDS)


def test_the_examples_in_error_texts_are_numbers() -> None:
    for unit, said in EXAMPLES.items():
        for number in said.replace(" or ", ", ").split(", "):
            assert parse(number, unit) > 0


@given(st.integers(0, 2**50))
def test_bytes_read_back_as_nearly_what_they_were(count: int) -> None:
    assert parse(format_bytes(count), Unit.BYTES) == pytest.approx(count, rel=0.05)


@given(st.integers(0, 999_000_000_000_000))
@example(999_999)
def test_counts_read_back_as_nearly_what_they_were(number: int) -> None:
    text = format_count(number)
    assert "e" not in text
    assert parse(text, Unit.COUNT) == pytest.approx(number, rel=0.005)


@given(st.floats(0, 1e8))
def test_durations_read_back_as_nearly_what_they_were(seconds: float) -> None:
    words = format_duration(seconds).split()
    pairs = zip(words[::2], words[1::2], strict=True)
    total = sum(parse(f"{number}{unit}", Unit.SECONDS) for number, unit in pairs)
    assert total == pytest.approx(seconds, rel=0.05, abs=0.0006)
