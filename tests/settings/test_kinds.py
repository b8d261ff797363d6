from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RequestError
from orchestrator.settings.build import flatten, to_plain
from orchestrator.settings.cluster import Cluster
from orchestrator.settings.code import Code
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import (
    KINDS,
    SCHEMA,
    changed_keys,
    differences,
    fingerprint,
    freeze,
    kind_class,
    thaw,
)
from orchestrator.settings.notify import Ending, Notify
from orchestrator.settings.probe import CHECKS, Probe, ProbeJob

POSITIVE = st.floats(0.001, 1e9)
TEXTS = st.lists(st.text(max_size=8), max_size=3).map(tuple)
JOBS = st.builds(
    ProbeJob,
    name=st.none() | st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True),
    tags=st.lists(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,8}", fullmatch=True), max_size=2
    ).map(tuple),
    note=st.text(),
    cluster=st.builds(
        Cluster,
        address=st.none() | st.just("http://head:8265"),
        num_workers=st.integers(5, 10**6),
        min_workers=st.none() | st.integers(1, 5),
        cpus_per_worker=POSITIVE,
        gpus_per_worker=st.integers(0, 8).map(float),
        memory_per_worker=st.none() | st.integers(1, 2**50),
        stop_grace=POSITIVE,
    ),
    notify=st.builds(
        Notify,
        command=TEXTS,
        url=st.none() | st.just("https://host/path?a=${b}"),
        when=st.lists(st.sampled_from(Ending), max_size=3).map(tuple),
    ),
    code=st.builds(Code, exclude=TEXTS, max_bytes=st.integers(1, 100 * 2**20)),
    extensions=st.lists(st.from_regex(r"[a-z_]+(\.[a-z_]+){0,2}", fullmatch=True), max_size=2).map(
        tuple
    ),
    probe=st.builds(
        Probe,
        checks=st.lists(st.sampled_from(sorted(CHECKS)), max_size=4).map(tuple),
        message_bytes=st.lists(st.integers(4, 2**32), max_size=3).map(tuple),
        repeats=st.integers(1, 10**9),
        hold=st.floats(0, 1e9),
    ),
)


@settings(max_examples=20)
@given(JOBS)
def test_a_frozen_job_thaws_to_an_equal_one(job: Job) -> None:
    text = freeze(job)
    assert thaw(text.encode().decode()) == job
    assert freeze(thaw(text)) == text


@settings(max_examples=10)
@given(JOBS, JOBS)
def test_two_jobs_have_one_fingerprint_only_if_they_are_equal(one: Job, other: Job) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    assert fingerprint(thaw(freeze(one))) == fingerprint(one)


@settings(max_examples=20)
@given(JOBS)
def test_differences_are_exactly_the_settings_that_are_not_at_their_default(job: Job) -> None:
    told = differences(job)
    flat, default = flatten(to_plain(job)), flatten(to_plain(ProbeJob()))
    assert set(told) == {key for key in flat if flat[key] != default.get(key)}
    assert all(told[key] == (default.get(key), flat[key]) for key in told)


def test_a_job_of_defaults_differs_in_nothing() -> None:
    assert differences(ProbeJob()) == {}


@given(
    st.dictionaries(st.text("ab", max_size=2), st.integers(0, 2)),
    st.dictionaries(st.text("ab", max_size=2), st.integers(0, 2)),
)
def test_changed_keys_turn_the_old_into_the_new(old: dict[str, int], new: dict[str, int]) -> None:
    result = dict(old)
    for key, (before, after) in changed_keys(old, new).items():
        assert old.get(key) == before
        result[key] = after
    assert {key: value for key, value in result.items() if value is not None} == new
    assert changed_keys(new, new) == {}


def test_a_mapping_that_is_filled_is_told_by_what_fills_it() -> None:
    empty, filled = flatten({"each": {}}), flatten({"each": {"seed": [1, 2]}})
    assert changed_keys(empty, filled) == {"each.seed": (None, [1, 2])}
    assert changed_keys(filled, empty) == {"each.seed": ([1, 2], None)}


def test_what_looks_like_an_interpolation_is_kept_as_it_is() -> None:
    job = ProbeJob(note="${oc.env:HOME} and \\${x}")
    assert thaw(freeze(job)).note == job.note


def test_every_kind_is_found_by_its_name_and_a_wrong_one_lists_them() -> None:
    for kind, cls in KINDS.items():
        assert kind_class(kind) is cls
        assert cls.kind == kind
    with pytest.raises(RequestError, match=r"prob is not a job\. Try probe\."):
        kind_class("prob")


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "5", "schema: other/1", "schema: orchestrator.job/2\nkind: probe"),
        *(f"schema: {SCHEMA}", f"schema: {SCHEMA}\nkind: probe", f"schema: {SCHEMA}\nkind: [1]"),
        *(f"schema: {SCHEMA}\nkind: nope\nsettings: {{}}", "a: [", "\t", "a: !!python/object:x.y"),
        f"schema: {SCHEMA}\nkind: probe\nsettings: {{cluster: {{num_workers: 0}}}}",
    ],
)
def test_a_damaged_or_foreign_file_is_refused_in_our_words(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        thaw(text, source="here/job.yaml")
    assert "here/job.yaml" in str(caught.value)


def test_a_job_with_names_that_only_an_extension_knows_can_be_read_without_it() -> None:
    job = ProbeJob(extensions=("my_checks",), probe=Probe(checks=("mine",)))
    assert thaw(freeze(job)) == job


def test_the_file_says_what_it_is() -> None:
    document = yaml.safe_load(freeze(ProbeJob(name="x")))
    assert document["schema"] == SCHEMA
    assert document["kind"] == "probe"
    assert document["settings"]["name"] == "x"
