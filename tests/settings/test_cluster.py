from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.settings.build import build, check
from orchestrator.settings.cluster import Cluster
from orchestrator.settings.finding import Finding


def _findings(**plain: object) -> list[Finding]:
    value, findings = build(Cluster, plain, at="cluster")
    return findings if value is None else check(value, at="cluster")


@given(st.integers(1, 9), st.none() | st.integers(1, 9))
def test_a_world_can_shrink_to_at_most_itself(num_workers: int, min_workers: int | None) -> None:
    findings = _findings(num_workers=num_workers, min_workers=min_workers)
    least = Cluster(num_workers=num_workers, min_workers=min_workers).least_workers
    assert least == (num_workers if min_workers is None else min_workers)
    assert [finding.key for finding in findings] == ["cluster.min_workers"] * (least > num_workers)


@pytest.mark.parametrize(
    ("gpus", "is_right"), [(0, True), (0.25, True), (1, True), (2, True), (1.5, False), (-1, False)]
)
def test_only_a_single_gpu_is_shared(gpus: float, is_right: bool) -> None:
    assert (_findings(gpus_per_worker=gpus) == []) is is_right


@pytest.mark.parametrize("address", ["http://head:8265", "https://ray.example.com/"])
def test_a_dashboard_url_is_an_address(address: str) -> None:
    assert _findings(address=address) == []


@pytest.mark.parametrize(
    "address", ["head:8265", "ray://head:10001", "http://me:pass@head:8265", "http://", "auto", ""]
)
def test_an_address_that_is_no_dashboard_url_or_holds_a_password_is_refused(address: str) -> None:
    assert [finding.key for finding in _findings(address=address)] == ["cluster.address"]
