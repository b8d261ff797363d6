from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs.ids import LAST, child_id, choose, is_id, new_id, when

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(9000, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
IDS = st.builds(new_id, NAMES, MOMENTS)


@given(NAMES, MOMENTS)
def test_every_name_of_a_job_makes_an_id(name: str, moment: datetime) -> None:
    run_id = new_id(name, moment)
    assert is_id(run_id)
    assert name in run_id
    assert not run_id.startswith(("-", ".")) and "/" not in run_id


@given(IDS, st.integers(1, 200))
@example("20261121-235959-demo-zzzz", 1)
@example("20261121-235959-demo-zzzz", 200)
def test_a_pipelines_steps_follow_it_in_order_each_with_a_part_of_its_own(
    parent: str, number: int
) -> None:
    one, next_one = child_id(parent, "train", number), child_id(parent, "use", number + 1)
    assert is_id(one) and one == child_id(parent, "train", number)
    assert when(parent) < when(one) < when(next_one)
    assert len({run_id[-4:] for run_id in (parent, one, next_one)}) == 3


@given(MOMENTS, st.integers(1, 10**6), NAMES, NAMES)
def test_a_later_run_sorts_after_an_earlier_one(
    moment: datetime, seconds: int, name: str, other: str
) -> None:
    later = moment + timedelta(seconds=seconds)
    assert new_id(name, moment) < new_id(other, later)


@given(MOMENTS, st.integers(1041, 10**7), NAMES, NAMES)
def test_the_last_run_is_the_newest_even_within_a_second(
    moment: datetime, microseconds: int, name: str, other: str
) -> None:
    """A pipeline starts several in one second, and their names must not decide."""
    later = new_id(other, moment + timedelta(microseconds=microseconds))
    assert choose(LAST, [later, new_id(name, moment)], where="here") == later


@pytest.mark.parametrize(
    "text",
    [
        *("", "..", "../20261121-031522-probe-k7f2", "20261121-031522-probe-k7f2/x", "conf"),
        *("20261121-031522-probe-k7f2\n", ".20261121-031522-probe-k7f2", "20261121-031522-k7f2"),
        *("20261121-031522-Probe-k7f2", "20261121-031522--probe-k7f2", "20261121-031522-a/b-k7f2"),
    ],
)
def test_what_could_lead_elsewhere_is_no_id(text: str) -> None:
    assert not is_id(text)


@given(st.lists(IDS, min_size=1, max_size=8, unique=True), st.data())
def test_any_part_that_only_one_id_has_names_it(ids: list[str], data: st.DataObject) -> None:
    run_id = data.draw(st.sampled_from(ids))
    start = data.draw(st.integers(0, len(run_id) - 1))
    part = run_id[start : data.draw(st.integers(start + 1, len(run_id)))]
    having = [other for other in ids if part in other]
    try:
        assert choose(part, ids, where="here") == run_id
        assert having == [run_id] or part == run_id
    except NotFoundError as err:
        assert len(having) > 1
        assert all(other in str(err) for other in having[-8:] if len(having) <= 8)
    except RequestError:
        assert part.startswith("-")


@given(st.lists(IDS, min_size=1, max_size=8))
def test_a_whole_id_and_the_newest_one_always_name_a_run(ids: list[str]) -> None:
    assert choose(ids[0], ids, where="here") == ids[0]
    assert choose(LAST, ids, where="here") == max(ids, key=when)


def test_a_name_that_is_inside_of_another_still_names_its_own_run() -> None:
    run_id = "20261121-031522-probe-k7f2"
    assert choose(run_id, [run_id, f"{run_id}-{run_id}"], where="here") == run_id


@pytest.mark.parametrize(
    "part", ["", "../x", "a/b", "..", "*", "a b", "@first", "-x", "a\n", "%2e"]
)
def test_what_is_no_part_of_an_id_is_a_mistake_and_never_a_path(part: str) -> None:
    with pytest.raises(RequestError, match="cannot name a run"):
        choose(part, ["20261121-031522-probe-k7f2"], where="here")


def test_no_run_says_where_it_looked_and_how_many_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"No run in s3://here has 'zzz' in its id \(0 runs"):
        choose("zzz", [], where="s3://here")
    with pytest.raises(NotFoundError, match="There is no run in s3://here yet"):
        choose(LAST, [], where="s3://here")
