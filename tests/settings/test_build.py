from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.settings.build import (
    build,
    check,
    check_parts,
    defaults_of,
    flatten,
    to_plain,
)
from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.schema import schema_key, schema_keys
from orchestrator.settings.units import Bytes, Count, Seconds


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Wheel:
    spokes: Count = setting("Spokes", default=32, bounds=Bounds(at_least=3, at_most=1000))
    lambda_: float = setting("A field called like a keyword", default=0.5)

    def findings(self) -> Iterator[Finding]:
        if self.spokes % 2:
            yield Finding(key="spokes", found=f"={self.spokes}", rule="is odd.", try_="one more.")


@dataclass(frozen=True, kw_only=True)
class Bike:
    kind: ClassVar[str] = "bike"

    owner: str = setting("Who rides it")
    wheel: Wheel = setting("Its wheel", factory=Wheel)
    spare: Wheel | None = setting("Another one", default=None)
    colour: Colour = setting("Colour", default=Colour.RED)
    load: Bytes = setting("Memory", default=2**20)
    wait: Seconds | None = setting("Patience", default=None, bounds=Bounds(above=0))
    bells: tuple[str, ...] = setting("Names of bells", default=())
    gears: tuple[int, ...] = setting("Teeth", default=(11, 12), bounds=Bounds(at_least=8))
    size: int | str = setting("A number or a word", default="m")
    notes: dict[str, int] = setting("Free keys", factory=dict)
    wheels: dict[str, Wheel] = setting("Wheels with names", factory=dict)
    extra: Any = setting("Anything", default=None)
    is_electric: bool = setting("Motor", default=False)


WHEELS = st.builds(
    Wheel,
    spokes=st.integers(2, 500).map(lambda half: 2 * half),
    lambda_=st.floats(allow_nan=False, allow_infinity=False),
)
BIKES = st.builds(
    Bike,
    owner=st.text(),
    wheel=WHEELS,
    spare=st.none() | WHEELS,
    colour=st.sampled_from(Colour),
    load=st.integers(0, 2**60),
    wait=st.none() | st.floats(0.1, 1e9),
    bells=st.lists(st.text(), max_size=3).map(tuple),
    gears=st.lists(st.integers(8, 99), max_size=3).map(tuple),
    size=st.integers() | st.sampled_from(["s", "xxl"]),
    notes=st.dictionaries(st.text(), st.integers(), max_size=3),
    wheels=st.dictionaries(st.text("ab-_2"), WHEELS, max_size=3),
    extra=st.none() | st.booleans() | st.lists(st.integers(), max_size=2),
    is_electric=st.booleans(),
)


@given(BIKES)
def test_what_was_built_and_written_out_builds_the_same_again(bike: Bike) -> None:
    again, findings = build(Bike, to_plain(bike))
    assert findings == []
    assert again == bike


@given(BIKES)
def test_every_leaf_of_a_value_is_a_key_of_the_schema(bike: Bike) -> None:
    free = ("notes.", "extra.")
    keys = schema_keys(Bike)
    leaves = {key for key in flatten(to_plain(bike)) if not key.startswith(free)}
    assert {schema_key(leaf, keys) for leaf in leaves} <= set(keys)


def test_defaults_are_what_an_empty_mapping_builds() -> None:
    bike, findings = build(Bike, {"owner": "ada"})
    assert findings == []
    assert bike == Bike(owner="ada")
    assert {"owner": "ada", **defaults_of(bike)} == to_plain(bike)


def test_a_keyword_is_typed_without_its_underscore() -> None:
    wheel, _ = build(Wheel, {"lambda": 2})
    assert wheel == Wheel(lambda_=2.0)
    assert to_plain(wheel)["lambda"] == 2.0


def test_units_are_read_where_the_type_says_so() -> None:
    bike, findings = build(
        Bike, {"owner": "ada", "load": "4GiB", "wait": "1.5m", "wheel": {"spokes": "1k"}}
    )
    assert findings == []
    assert bike is not None
    assert (bike.load, bike.wait, bike.wheel.spokes) == (4 * 2**30, 90.0, 1000)


def test_every_mistake_is_told_at_once_with_its_key_what_was_found_and_the_rule() -> None:
    plain = {
        "wheel": {"spokes": 2, "spoke": 5, "lambda": "much"},
        "spare": {"spokes": 5},
        "colour": "bleu",
        "load": "5 apples",
        "wait": 0,
        "bells": "ding",
        "gears": [11, 7, 9.5],
        "size": [1],
        "notes": {"a": "x"},
        "wheels": {"front": {"spokes": 7}, "back": {"spokes": 2}, "third": 3},
        "is_electric": "yes",
        "bellz": 2,
    }
    bike, findings = build(Bike, plain)
    assert bike is None
    said = [str(finding) for finding in findings + check_parts(Bike, plain)]
    assert sorted(said) == sorted(
        [
            "bellz is not a setting. Try bells.",
            "owner must be given: Try owner=… (Who rides it)",
            "wheel.spoke is not a setting. Try spokes.",
            "wheel.spokes=2 must be at least 3.",
            "wheel.lambda=much is not a number such as 1000, 1_000, 512k or 1.5M.",
            "spare.spokes=5 is odd. Try one more.",
            "colour=bleu is not a choice. Try blue.",
            "load=5 apples is not a number such as 1048576, 512MiB, 4GiB or 4GB.",
            "wait=0 must be above 0.",
            "bells=ding must be a list. Try bells=[ding].",
            "gears[1]=7 must be at least 8.",
            "gears[2]=9.5 must be a whole number. Try 10.",
            "size=[1] must be a whole number or text.",
            "notes.a=x is not a number such as 1000, 1_000, 512k or 1.5M.",
            "wheels.front.spokes=7 is odd. Try one more.",
            "wheels.back.spokes=2 must be at least 3.",
            "wheels.third=3 must be a mapping. Try keys out of: spokes, lambda.",
            "is_electric=yes must be true or false.",
        ]
    )


def test_rules_between_fields_are_told_for_every_noun_of_a_tree() -> None:
    odd = Wheel(spokes=5)
    assert check(Bike(owner="ada")) == []
    bike = Bike(owner="ada", wheel=odd, spare=odd, wheels={"a": Wheel(), "b": odd})
    said = [str(finding) for finding in check(bike, at="bike")]
    assert said == [
        "bike.wheel.spokes=5 is odd. Try one more.",
        "bike.spare.spokes=5 is odd. Try one more.",
        "bike.wheels.b.spokes=5 is odd. Try one more.",
    ]


@given(BIKES, st.booleans())
def test_the_parts_of_a_tree_are_checked_as_the_whole_would_be(bike: Bike, is_odd: bool) -> None:
    plain = to_plain(bike)
    if is_odd:
        for wheel in (plain["wheel"], *plain["wheels"].values()):
            wheel["spokes"] += 1
    whole, _ = build(Bike, plain)
    assert whole is None or check_parts(Bike, plain) == check(whole)
    assert check_parts(Bike, {**plain, "colour": "bleu"}) == check_parts(Bike, plain)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(list(schema_keys(Bike))) | st.integers(), inner)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_anything_at_all_is_a_value_or_findings_never_an_exception(plain: object) -> None:
    bike, findings = build(Bike, plain)
    assert (bike is None) == bool(findings)
    check_parts(Bike, plain)


@given(st.sampled_from(sorted(schema_keys(Bike))), PLAIN)
def test_a_finding_names_the_key_that_is_wrong_or_one_below_it(key: str, wrong: object) -> None:
    below = wrong
    for part in reversed(key.split(".")):
        below = {part: below}
    assert isinstance(below, dict)
    for finding in build(Bike, {"owner": "ada", **below})[1]:
        assert finding.key.startswith(key)
        assert finding.rule


def test_text_may_be_typed_as_a_number_but_no_truth_value() -> None:
    assert build(Bike, {"owner": 5})[0] == Bike(owner="5")
    _, findings = build(Bike, {"owner": True})
    assert [finding.key for finding in findings] == ["owner"]


def test_text_that_no_file_can_hold_is_a_finding() -> None:
    """Bytes of a command line that are no UTF-8 arrive as lone surrogates."""
    _, findings = build(Bike, {"owner": "\udcff"})
    assert [finding.key for finding in findings] == ["owner"]
    str(findings[0]).encode()


@given(st.dictionaries(st.text("abc", min_size=1), st.integers() | st.just({}), max_size=4))
def test_flat_keys_keep_every_leaf_and_the_empty_mappings(leaves: dict[str, Any]) -> None:
    nested = {"x": {"y": leaves, "z": 1}} if leaves else {"x": {"z": 1}}
    expected = {f"x.y.{key}": value for key, value in leaves.items()}
    assert flatten(nested) == {**expected, "x.z": 1}


def test_a_setting_of_a_type_that_cannot_be_read_is_our_own_mistake() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        when: bytes = setting("Not a type of settings", default=b"")

    with pytest.raises(TypeError, match="when: settings cannot be declared as"):
        build(Odd, {"when": "x"})
