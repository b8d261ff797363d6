"""Places to write to: every law about the storage holds on a local disk and on an object store."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pyarrow import fs

from orchestrator.runs.code import read_tree
from orchestrator.runs.plan import Plan
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.probe import ProbeJob
from tests.real import cluster, environment, orchestrate, wandb_server
from tests.s3 import S3Server

# Fixtures of tests that need a real Ray.
__all__ = ["cluster", "environment", "orchestrate", "wandb_server"]

# A slow machine is no failure, and a fixture that only names a place may serve many examples.
# Few of them keep the fast tests fast; every run draws others.
settings.register_profile(
    "here",
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("here")

# Runs of tests are not followed to W&B, whatever this machine has, unless they ask for it.
os.environ["WANDB_MODE"] = "disabled"

# torch makes this folder when it is imported.
_COMPILED = os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="orchestrator-tests-")

_numbers = itertools.count()

# A server and its round trips, where the same law was just seen on a disk.
_STORES = {"s3_uri", "s3_endpoint"}


def pytest_configure() -> None:
    """Collecting makes a million objects, none of which is garbage."""
    gc.disable()


def pytest_unconfigure() -> None:
    shutil.rmtree(_COMPILED, ignore_errors=True)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        call = getattr(item, "callspec", None)
        is_stored = call is not None and "s3" in call.params.values()
        if is_stored or _STORES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Where a real S3 server listens, with credentials that are none."""
    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield server.endpoint
    server.stop()


@pytest.fixture
def s3_uri(s3_endpoint: str) -> str:
    """A folder that is not there yet, in a bucket of its own."""
    bucket = f"bucket-{next(_numbers)}"
    client = fs.S3FileSystem(
        endpoint_override=s3_endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True
    )
    client.create_dir(bucket)
    return f"s3://{bucket}/team%20a/runs?endpoint_override=http://{s3_endpoint}&region=us-east-1"


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    storage = open_storage(tmp_path / "team a" / "runs")
    assert isinstance(storage, LocalStorage)
    return storage


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    if request.param == "local":
        return request.getfixturevalue("local")
    return open_storage(request.getfixturevalue("s3_uri"))


class Disks:
    """Small file systems to fill up or to make read-only; unmounted when the test ends."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mounted: list[Path] = []

    def mount(self, options: str) -> Path:
        point = self._root / f"disk{len(self._mounted)}"
        point.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"needs to mount a tmpfs: {done.stderr.strip()}")
        self._mounted.append(point)
        return point

    def make_read_only(self, point: Path) -> None:
        self.remount(point, "ro")

    def remount(self, point: Path, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(point)], check=True)

    def unmount_all(self) -> None:
        for point in self._mounted:
            subprocess.run(["umount", str(point)], check=True)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    if os.name != "posix" or not Path("/proc/mounts").exists():
        pytest.skip("needs Linux mounts")
    made = Disks(tmp_path)
    yield made
    made.unmount_all()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A job, a little working directory and where they come from: all that a run is made of."""
    root = tmp_path / "project"
    (root / "package").mkdir(parents=True)
    (root / "package" / "model.py").write_text("LAYERS = 2\n")
    (root / "notes.txt").write_text("hello\n")
    job = ProbeJob(name="tiny", tags=("first",))
    tree, findings = read_tree(root, job.code)
    assert findings == []
    return Plan(
        kind=job.kind,
        job=job,
        overrides=("name=tiny", "tags=[first]"),
        storage="anywhere",
        code=tree,
        lineage={"user": "ada", "packages": {"numpy": "2.2"}},
    )
