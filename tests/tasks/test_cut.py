"""What is cut off is whole groups, the same ones every time, and never what training needs."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.tasks.cut import cut_off
from orchestrator.tasks.example import Example, Where
from orchestrator.tasks.kinds.classification import CLASSIFICATION
from orchestrator.tasks.kinds.tagging import TAGGING

Split = tuple[Example, ...]


def example(text: str, *, group: str | None = None, label: str = "a") -> Example:
    return Example(texts=(text,), target=label, where=Where("f", 1), group=group)


def cut_of(examples: list[Example], share: float) -> tuple[Split, Split]:
    return cut_off(examples, share, salt="validation", kind=CLASSIFICATION)


def of_sizes(sizes: list[int]) -> list[Example]:
    groups = [str(group) for group, size in enumerate(sizes) for _ in range(size)]
    return [example(f"t{number}", group=group) for number, group in enumerate(groups)]


groups = st.lists(st.integers(0, 8), min_size=2, max_size=60).filter(lambda g: len(set(g)) > 1)


@given(groups=groups, share=st.floats(0.01, 0.5))
def test_no_group_is_divided_and_none_is_lost(groups: list[int], share: float) -> None:
    examples = [example(f"t{number}", group=str(group)) for number, group in enumerate(groups)]
    kept, cut = cut_of(examples, share)
    assert kept and cut
    assert not {one.group for one in kept} & {one.group for one in cut}
    assert Counter(one.texts for one in (*kept, *cut)) == Counter(one.texts for one in examples)
    wanted, smallest = max(round(share * len(groups)), 1), min(Counter(groups).values())
    assert len(cut) <= max(2 * wanted, smallest)


@pytest.mark.parametrize(
    ("sizes", "share", "size"),
    [
        ([90, 10], 0.1, 10),
        ([10, 90], 0.1, 10),
        ([90, 10], 0.5, 10),
        ([60, 61], 0.1, 60),  # too much, but nothing smaller is there
        ([400, 300, *[10] * 30], 0.1, 100),
        ([100], 0.1, 0),
    ],
)
def test_a_large_group_stays_in_training(sizes: list[int], share: float, size: int) -> None:
    kept, cut = cut_of(of_sizes(sizes), share)
    assert (len(kept), len(cut)) == (sum(sizes) - size, size)


@given(labels=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30))
def test_training_keeps_an_example_of_each_label(labels: list[str]) -> None:
    examples = [example(f"t{number}", label=label) for number, label in enumerate(labels)]
    kept, cut = cut_of(examples, 0.5)
    assert {one.target for one in kept} == set(labels)
    assert bool(cut) == (len(set(labels)) < len(labels))


def test_training_keeps_each_tag() -> None:
    tags = [("O", f"B-{number}") for number in range(9)] + [("O", "O")]
    examples = [
        Example(texts=(f"t{number}", "x"), target=target, where=Where("f", number))
        for number, target in enumerate(tags)
    ]
    _, cut = cut_off(examples, 0.5, salt="validation", kind=TAGGING)
    assert [one.target for one in cut] == [("O", "O")]


@given(order=st.permutations(range(30)))
def test_which_are_cut_off_does_not_depend_on_their_order(order: list[int]) -> None:
    examples = [example(f"text {number}", label="abc"[number % 7 % 3]) for number in range(30)]
    _, cut = cut_of(examples, 0.2)
    _, again = cut_of([examples[number] for number in order], 0.2)
    assert {one.texts for one in cut} == {one.texts for one in again}


def test_equal_texts_stay_together() -> None:
    kept, cut = cut_of([example(f"text {number % 10}") for number in range(60)], 0.3)
    assert cut
    assert not {one.texts for one in kept} & {one.texts for one in cut}
