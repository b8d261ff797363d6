from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.packs.audit import Audit, StepRecord, audit
from orchestrator.corpus.packs.mixture import Mixture, Portion
from orchestrator.corpus.packs.stream import Cursor, Share, Stream
from orchestrator.corpus.packs.window import Corpus, Phase, Recipe
from orchestrator.errors import RequestError
from tests.corpus.packs.synthetic import ListCorpus, a_recipe, realistic

PACKS = 3  # of a step
CORPUS = realistic(30)
RECIPE = a_recipe(
    seq_len=24,
    pack_tokens=64,
    window_documents=3,
    phases=(Phase(from_packs=20, seq_len=40),),
    mixture=Mixture(
        portions=(Portion(num_documents=20, weight=0.5), Portion(num_documents=10, weight=2.0))
    ),
)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    back: int = 0  # steps before the last one recorded: where its checkpoint is
    steps: int = 4
    world: int = 1
    micro_packs: int = 1


def train(attempts: list[Attempt], corpus: Corpus = CORPUS) -> list[StepRecord]:
    """What the ranks of each attempt feed, added up as they would, in the order of the ledger."""
    records: list[StepRecord] = []
    ends = {0: Cursor()}
    last = 0
    stream = Stream(corpus, RECIPE)
    for number, attempt in enumerate(attempts, start=1):
        last = max(last - attempt.back, 0)
        for step in range(last + 1, last + attempt.steps + 1):
            fed = 0
            for rank in range(attempt.world):
                share = Share(
                    packs_per_step=PACKS,
                    micro_packs=attempt.micro_packs,
                    world=attempt.world,
                    rank=rank,
                )
                packs, end = stream.step(ends[step - 1], share)
                fed += sum(pack.fed_hash() for row in packs for pack in row)
            ends[step] = end
            records.append(
                StepRecord(
                    step=step,
                    attempt=number,
                    begin=ends[step - 1],
                    end=end,
                    num_packs=PACKS,
                    fed_hash=fed % 2**64,
                )
            )
        last += attempt.steps
    return records


def audited(records: list[StepRecord], corpus: Corpus = CORPUS, recipe: Recipe = RECIPE) -> Audit:
    return audit(corpus, recipe, lambda: iter(records))


attempts = st.lists(
    st.builds(
        Attempt,
        back=st.integers(0, 5),
        steps=st.integers(0, 4),
        world=st.integers(1, 5),
        micro_packs=st.integers(1, 2),
    ),
    max_size=4,
)


@given(attempts)
def test_a_run_that_fed_its_stream_is_clean(attempts: list[Attempt]) -> None:
    """Whatever the worlds and the micro-batches, and however often it was rolled back."""
    records = train(attempts)
    found = audited(records)
    assert found.problems == () and found.is_clean
    last = 0
    for attempt in (one for one in attempts if one.steps):
        last = max(last - attempt.back, 0) + attempt.steps
    # An attempt without a step says nothing of where it began.
    if all(attempt.steps for attempt in attempts):
        assert found.steps == last
    fed = [pack for pack, _ in islice(Stream(CORPUS, RECIPE).packs(Cursor()), found.steps * PACKS)]
    assert found.samples == sum(len(pack.ids_S) for pack in fed)
    assert found.tokens == sum(len(pack.tokens_T) for pack in fed)
    again = [record.step for record in records if record.step <= found.steps]
    assert found.repeated_steps == len(again) - found.steps
    samples = [
        sum(len(pack.ids_S) for pack in fed[PACKS * (step - 1) : PACKS * step]) for step in again
    ]
    assert found.repeated_samples == sum(samples) - found.samples


def test_steps_that_were_rolled_back_and_never_repeated_do_not_count() -> None:
    """Seven steps, back to the fourth, one step: the model has seen five."""
    found = audited(train([Attempt(steps=7), Attempt(back=3, steps=1)]))
    assert found.is_clean and (found.steps, found.repeated_steps) == (5, 1)
    # Had the next attempt gone on from the eighth, sixth and seventh would be in no model.
    late = replace(train([Attempt(steps=8)])[-1], attempt=3)
    found = audited([*train([Attempt(steps=7), Attempt(back=3, steps=1)]), late])
    assert found.problems == ("Step 8 of attempt 3 is recorded where step 6 is due.",)


Records = list[StepRecord]
CLEAN = train([Attempt(steps=7, world=2), Attempt(back=3, steps=6, world=4)])


def change(at: int, **changes: object) -> Callable[[Records], Records]:
    def changed(records: Records) -> Records:
        return [*records[:at], replace(records[at], **changes), *records[at + 1 :]]

    return changed


def without(at: int) -> Callable[[Records], Records]:
    return lambda records: [*records[:at], *records[at + 1 :]]


def twice(at: int) -> Callable[[Records], Records]:
    return lambda records: [*records[:at], records[at], *records[at:]]


def swapped(at: int) -> Callable[[Records], Records]:
    return lambda records: [
        *records[:at],
        replace(records[at + 1], step=records[at].step),
        replace(records[at], step=records[at + 1].step),
        *records[at + 2 :],
    ]


# CLEAN has steps 1 to 7 of attempt 1, then 5 to 10 of attempt 2 (from the eighth record on).
TAMPERED: dict[str, tuple[Callable[[Records], Records], str]] = {
    "hash": (change(9, fed_hash=5), r"Step 7 of attempt 2 fed what adds up to 0000000000000005; "),
    "beginning": (
        change(9, begin=Cursor(epoch=0, window=1, pack=0, packs_total=18)),
        r"Step 7 of attempt 2 began at epoch 0, window 1, pack 0 \(pack 18 of the run\); step 6 ",
    ),
    "end": (
        change(9, end=replace(CLEAN[9].end, window=9)),
        r"Step 7 of attempt 2 ended at epoch \d+, window 9, .*; packs 18 to 20 of the stream end",
    ),
    "foreign window": (
        change(9, begin=replace(CLEAN[9].begin, window=99)),
        r"cannot have begun where it says. .* window 99, .* an epoch has 10 windows",
    ),
    "foreign pack": (
        change(
            9,
            begin=replace(CLEAN[9].begin, pack=5000, packs_total=5018),
            end=replace(CLEAN[9].end, pack=5003, packs_total=5021),
        ),
        r"cannot have begun where it says. .* pack 5000 .* that window has \d+ packs",
    ),
    "count": (change(9, num_packs=4), r"Step 7 of attempt 2 has 4 packs, and its cursors are 3"),
    "missing": (without(9), r"Step 8 of attempt 2 is recorded where step 7 is due"),
    "missing first": (without(0), r"Step 2 of attempt 1 is recorded where step 1 is due"),
    "twice": (twice(9), r"Step 7 of attempt 2 is recorded where step 8 is due"),
    "out of order": (
        lambda records: [*records[:9], records[10], records[9], *records[11:]],
        r"Step 8 of attempt 2 is recorded where step 7 is due",
    ),
    "swapped": (swapped(9), r"Step 7 of attempt 2 began at .*; step 6 of attempt 2 ended at"),
    "another attempt's": (
        change(2, attempt=9),
        r"Step 4 of attempt 1 is recorded after attempt 9 began",
    ),
    "a gap after a resume": (
        lambda records: [*records[:4], *records[8:]],
        r"Step 6 of attempt 2 is recorded where step 5 is due",
    ),
    "an earlier checkpoint's cursor": (
        lambda records: [*records[:7], *(replace(one, step=one.step + 1) for one in records[7:])],
        r"Step 6 of attempt 2 began at .* \(pack 12 of the run\); step 5 of attempt 1 ended at",
    ),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_tampered_with_is_found(kind: str) -> None:
    tamper, problem = TAMPERED[kind]
    assert audited(CLEAN).is_clean
    records = tamper(list(CLEAN))
    found = audited(records)
    assert not found.is_clean
    assert any(re.search(problem, said) for said in found.problems), found.problems


@given(st.integers(0, len(CLEAN) - 1), st.sampled_from(["fed_hash", "begin", "end", "num_packs"]))
def test_any_record_that_counts_is_checked_whole(at: int, name: str) -> None:
    record = CLEAN[at]
    value = getattr(record, name)
    other = value.next_pack() if isinstance(value, Cursor) else value ^ 1
    found = audited(change(at, **{name: other})(list(CLEAN)))
    was_rolled_back = record.attempt == 1 and record.step >= 5
    assert found.is_clean == was_rolled_back


def test_another_seed_corpus_or_recipe_is_found() -> None:
    cutting = replace(RECIPE.cutting, seed=1)
    others = ListCorpus([[7, 8, 9]] * 30)
    for found in (
        audited(CLEAN, recipe=replace(RECIPE, cutting=cutting)),
        audited(CLEAN, recipe=replace(RECIPE, phases=())),
        audited(CLEAN, recipe=replace(RECIPE, pack_tokens=65)),
        audited(CLEAN, corpus=others),
        audit(CORPUS, RECIPE, lambda: CLEAN, start=Cursor(window=1)),
    ):
        assert not found.is_clean


def test_of_many_problems_the_first_are_said() -> None:
    records = [replace(record, fed_hash=0) for record in train([Attempt(steps=30)])]
    found = audited(records)
    assert len(found.problems) == 21
    assert found.problems[0].startswith("Step 1 of attempt 1 fed")
    assert found.problems[-1] == "And 10 more."


def test_an_attempt_that_begins_during_the_audit_is_left_to_the_next() -> None:
    reads = iter([CLEAN[:7], CLEAN])
    found = audit(CORPUS, RECIPE, lambda: next(reads))
    assert found.is_clean and found.steps == 7


def test_an_audit_tells_how_far_it_is() -> None:
    told: list[int] = []
    audit(CORPUS, RECIPE, lambda: CLEAN, tell=told.append)
    assert told == list(range(1, 11))


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**40))
def test_a_record_survives_json_and_its_hash_is_text(fed_hash: int, number: int) -> None:
    cursor = Cursor(epoch=number, window=2, pack=3, packs_total=number + 3)
    record = StepRecord(
        step=number, attempt=2, begin=cursor, end=cursor, num_packs=1, fed_hash=fed_hash
    )
    line = json.dumps({"time": 1.5, **record.to_plain()})
    assert StepRecord.from_plain(json.loads(line)) == record
    assert len(json.loads(line)["fed_hash"]) == 16


def test_a_torn_record_is_refused() -> None:
    whole = CLEAN[0].to_plain()
    for name in whole:
        torn = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(RequestError, match="is no "):
            StepRecord.from_plain(torn)
    for name, value in {"step": "3", "fed_hash": 7, "begin": {"epoch": 0}, "end": None}.items():
        with pytest.raises(RequestError, match="is no "):
            StepRecord.from_plain({**whole, name: value})
