"""`submit`: a real persistent cluster with token authentication, and what runs on it go through."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.cluster.http import RayHttp
from orchestrator.cluster.local import LocalCluster
from orchestrator.errors import ClusterError
from tests.dashboard.browser import browsing
from tests.dashboard.serving import serving
from tests.real import PLANTED, Orchestrate, command
from tests.tracking.wandb.making import Loopback

pytestmark = pytest.mark.ray

QUICK = ("probe.message_bytes=[4096]", "probe.matmul_size=64", "probe.storage_bytes=64KiB")
PICTURES = os.environ.get("DASHBOARD_PICTURES")
HOLDS = ("probe.checks=[clock]", "probe.hold=1h")


def submit(orchestrate: Orchestrate, *words: str) -> str:
    return str(json.loads(orchestrate("submit", "probe", "--json", *words).stdout)["run"])


def status_of(orchestrate: Orchestrate, run: str) -> dict:
    return json.loads(orchestrate("status", run, "--json").stdout)


def wait_for_state(orchestrate: Orchestrate, run: str, *states: str) -> dict:
    deadline = time.monotonic() + 120
    while True:
        status = status_of(orchestrate, run)
        if status["state"] in states:
            return status
        assert time.monotonic() < deadline, f"still {status['state']}, not {states}"
        time.sleep(0.5)


def sync_when_let(run: str, environment: dict[str, str]) -> None:
    """While the run's own forwarder still sends, it refuses."""
    deadline = time.monotonic() + 120
    while True:
        done = subprocess.run(
            command("wandb", "sync", run),
            cwd=environment["PROJECT"],
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return
        assert "still sends" in done.stderr and time.monotonic() < deadline, done.stderr
        time.sleep(1)


def test_a_submitted_probe_runs_as_planned_and_leaks_no_secret(
    orchestrate: Orchestrate,
    cluster: LocalCluster,
    environment: dict[str, str],
    wandb_server: Loopback,
) -> None:
    settings = (*QUICK, "name=whole", "tracking=online")
    planned = json.loads(orchestrate("plan", "probe", *settings, "--json").stdout)
    assert planned["resources"]["place"] == cluster.address
    assert planned["resources"]["has"]["CPU"] == 2
    assert not planned["resources"]["can_grow"]
    run = submit(orchestrate, *settings)
    followed = orchestrate("logs", "-f", run)
    assert "probe of 1 ranks" in followed.stdout
    assert status_of(orchestrate, run)["state"] == "finished"
    events = json.loads(orchestrate("events", run, "--json").stdout)["events"]
    [submitted] = [event for event in events if event["kind"] == "submitted"]
    assert submitted["plan"] == planned["fingerprint"]
    # Its forwarder ran on the cluster; where that was too busy for it, sync sends the rest.
    sync_when_let(run, environment)
    assert len(wandb_server.rows(run)) == 1
    secrets = [value.encode() for value in PLANTED.values()]
    folder = Path(environment["ORCHESTRATOR_STORAGE"]) / run
    assert (folder / "wandb" / "leases" / "000001.json").exists()
    for path in folder.rglob("*"):
        if path.is_file():
            assert not any(secret in path.read_bytes() for secret in secrets), path
    said = (json.dumps(cluster.http().jobs()) + str(wandb_server.state())).encode()
    assert not any(secret in said for secret in secrets)


@pytest.mark.long
def test_the_same_attempt_is_never_started_twice(
    orchestrate: Orchestrate, cluster: LocalCluster, environment: dict[str, str]
) -> None:
    from orchestrator.cluster.submit import submit_driver
    from orchestrator.runs.find import open_run

    run = open_run(f"{environment['ORCHESTRATOR_STORAGE']}/{last(orchestrate)}")
    with pytest.raises(ClusterError, match="already has a submission"):
        submit_driver(cluster.http(), run, 1, 10.0)


def test_without_the_token_nothing_is_told(
    orchestrate: Orchestrate, cluster: LocalCluster, environment: dict[str, str]
) -> None:
    runs = Path(environment["ORCHESTRATOR_STORAGE"])
    before = sorted(runs.glob("*"))
    another = environment["ORCHESTRATOR_HOME"] + "-of-another"
    stranger = {"ORCHESTRATOR_HOME": another, "HOME": another}  # Ray keeps tokens in a home too
    words = ("submit", "probe", f"cluster.address={cluster.address}")
    assert "asks for a token" in orchestrate(*words, code=3, **stranger).stderr
    stranger["RAY_AUTH_TOKEN"] = "0" * 64
    assert "refuses the token" in orchestrate(*words, code=3, **stranger).stderr
    assert sorted(runs.glob("*")) == before
    with pytest.raises(ClusterError, match="asks for a token"):
        RayHttp(cluster.address, token="").jobs()
    with pytest.raises(ClusterError, match="refuses the token"):
        RayHttp(cluster.address, token="0" * 64).jobs()
    assert Path(cluster.token_file).stat().st_mode & 0o777 == 0o600


@pytest.mark.long
def test_stop_then_resume_goes_on_with_the_same_run(
    orchestrate: Orchestrate, cluster: LocalCluster, environment: dict[str, str]
) -> None:
    run = submit(orchestrate, *HOLDS, "name=stopped")
    follower = subprocess.Popen(
        command("logs", "-f", run),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for_state(orchestrate, run, "running")
    orchestrate("stop", run)
    assert status_of(orchestrate, run)["state"] == "stopped"
    output, _ = follower.communicate(timeout=60)
    assert follower.returncode == 4
    assert output.splitlines().count("measuring clock") == 1
    orchestrate("resume", run)
    assert wait_for_state(orchestrate, run, "running")["attempt"] == 2
    orchestrate("resume", run, code=2)  # it runs: only a run that is over can be resumed
    orchestrate("delete", run, "--yes", code=2)
    orchestrate("stop", run, "--grace", "20")
    assert status_of(orchestrate, run)["state"] == "stopped"


@pytest.mark.long
def test_workers_that_are_never_placed_end_the_run(
    orchestrate: Orchestrate, cluster: LocalCluster
) -> None:
    """Another run holds both CPUs for longer than this one is willing to wait."""
    holder = submit(orchestrate, *HOLDS, "cluster.num_workers=2", "name=holder")
    wait_for_state(orchestrate, holder, "running")
    run = submit(orchestrate, *QUICK, "cluster.start_timeout=5s", "name=waiter")
    status = wait_for_state(orchestrate, run, "failed", "finished", "stopped")
    assert status["state"] == "failed"
    assert "cluster.start_timeout" in status["reason"]
    assert status["blame"] == "cluster"
    orchestrate("stop", holder)


@pytest.mark.long
@pytest.mark.browser
def test_the_page_of_clusters_shows_the_nodes_and_what_live_runs_hold(
    orchestrate: Orchestrate,
    cluster: LocalCluster,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = submit(orchestrate, *HOLDS, "cluster.num_workers=2", "name=shown")
    wait_for_state(orchestrate, run, "running")
    monkeypatch.setenv("ORCHESTRATOR_HOME", environment["ORCHESTRATOR_HOME"])  # with the token
    with serving(environment["ORCHESTRATOR_STORAGE"]) as served, browsing() as page:
        page.base = f"http://127.0.0.1:{served.server.port}"
        page.size(1280, 800)
        page.open("#/cluster")
        page.until("document.querySelector('[data-table=nodes] tbody tr')")
        page.until("document.querySelector('[data-resource=CPU]').innerText.includes('2 of 2')")
        assert page.texts("[data-cluster] h2") == [cluster.address]
        [node] = page.texts("[data-table=nodes] tbody tr")
        assert "the head" in node and "alive" in node and "%" in node
        [live] = page.texts("[data-table=live] tbody tr")
        assert run in live and "running" in live
        assert page.complaints() == []
        if PICTURES:
            page.picture(Path(PICTURES) / "cluster.png")
    orchestrate("stop", run)


def test_what_is_known_of_a_run_survives_its_cluster(
    environment: dict[str, str], orchestrate: Orchestrate, cluster: LocalCluster
) -> None:
    """The same folder, read by somebody who cannot reach the cluster."""
    elsewhere = {"ORCHESTRATOR_HOME": environment["ORCHESTRATOR_HOME"] + "-of-another"}
    for verb in ("status", "logs", "events", "metrics"):
        assert orchestrate(verb, "whole", **elsewhere).stdout
    assert "whole" in orchestrate("list", **elsewhere).stdout


def last(orchestrate: Orchestrate) -> str:
    return str(json.loads(orchestrate("list", "--json").stdout)["runs"][-1]["run"])
