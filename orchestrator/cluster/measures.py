"""What `probe` measures on every rank: storage, clocks, all-reduce, matrix multiplication.

Each check is a function of a Bench that returns {metric: value}; every rank calls it at once, so a
check may use collectives. Units are in the metrics' names.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import distributed

from orchestrator.cluster.workers import Worker
from orchestrator.errors import ClusterError, NotFoundError
from orchestrator.settings.probe import Probe
from orchestrator.settings.units import format_bytes

_LONG_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Bench:
    worker: Worker
    probe: Probe
    device: torch.device


def measure_storage(bench: Bench) -> dict[str, float]:
    """Each rank writes a file, reads its neighbour's and checks it: shared, writable, how fast."""
    worker = bench.worker
    payload = _payload(worker.rank, bench.probe.storage_bytes)
    folder = f"probe/{worker.attempt:04d}"
    storage = worker.run.storage
    begin = time.perf_counter()
    storage.write(f"{folder}/rank-{worker.rank}.bin", payload)
    write_s = time.perf_counter() - begin
    worker.gather(None)
    neighbour = (worker.rank + 1) % worker.world
    begin = time.perf_counter()
    problem = _check_neighbour(bench, f"{folder}/rank-{neighbour}.bin", neighbour)
    read_s = time.perf_counter() - begin
    problems = [told for told in worker.gather(problem) if told]
    if worker.rank == 0:
        storage.remove("probe")
    if problems:
        raise ClusterError(
            f"The storage {storage.uri} is not shared by all nodes: {'; '.join(problems)}.",
            hint="Use a storage that every node mounts, or an object store: --storage s3://…",
        )
    megabytes = bench.probe.storage_bytes / 1e6
    return {
        "storage_write_mb_per_s": megabytes / write_s,
        "storage_read_mb_per_s": megabytes / read_s,
    }


def measure_clock(bench: Bench) -> dict[str, float]:
    """How far this rank's clock is from rank 0's, from the quickest of several round trips."""
    worker = bench.worker
    skew_s = 0.0
    for peer in range(1, worker.world):
        offsets = [_round_trip(worker, peer) for _ in range(bench.probe.repeats)]
        if worker.rank == peer:
            skew_s = min(offsets)[1]
    skews = worker.gather((worker.node, skew_s))
    limit = bench.probe.max_clock_skew
    late = [f"{node} is off by {skew:.3f} s" for node, skew in skews if abs(skew) > limit]
    if late:
        raise ClusterError(
            f"Clocks differ by more than probe.max_clock_skew={limit:g} s: {'; '.join(late)}.",
            hint="Set the nodes' clocks (NTP, chrony).",
        )
    return {"clock_skew_ms": skew_s * 1e3}


def measure_allreduce(bench: Bench) -> dict[str, float]:
    """Latency and bus bandwidth (2(n-1)/n of the message crosses a link) for each size."""
    values: dict[str, float] = {}
    world = bench.worker.world
    for size in bench.probe.message_bytes:
        message = torch.zeros(size // 4, dtype=torch.float32, device=bench.device)
        seconds = _median_s(partial(distributed.all_reduce, message), bench)
        name = f"allreduce_{format_bytes(size).replace(' ', '').replace('.0', '')}"
        values[f"{name}_ms"] = seconds * 1e3
        values[f"{name}_gb_per_s"] = size * 2 * (world - 1) / world / seconds / 1e9
    return values


def measure_matmul(bench: Bench) -> dict[str, float]:
    """Matrix multiplication in TFLOP/s, fp32 and bf16."""
    values: dict[str, float] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        size = bench.probe.matmul_size
        seconds = _multiply_s(bench, size // 4, dtype)
        # A CPU without bf16 units would take minutes for the whole size; the small one says enough.
        if seconds * 4**3 < _LONG_S:
            seconds = _multiply_s(bench, size, dtype)
        else:
            size //= 4
        values[f"matmul_{name}_tflops"] = 2 * size**3 / seconds / 1e12
    return values


def _multiply_s(bench: Bench, size: int, dtype: torch.dtype) -> float:
    left = torch.randn(size, size, device=bench.device).to(dtype)
    return _median_s(lambda: torch.mm(left, left), bench)


def _median_s(work: Callable[[], object], bench: Bench) -> float:
    work()  # the first call allocates and connects
    times = []
    for _ in range(bench.probe.repeats):
        _synchronize(bench.device)
        begin = time.perf_counter()
        work()
        _synchronize(bench.device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _payload(rank: int, size_bytes: int) -> bytes:
    """Different on every rank, and known to its neighbour."""
    block = hashlib.sha256(f"rank {rank}".encode()).digest()
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def _check_neighbour(bench: Bench, path: str, neighbour: int) -> str | None:
    worker = bench.worker
    try:
        found = worker.run.storage.read(path)
    except NotFoundError:
        return f"rank {worker.rank} on {worker.node} does not see rank {neighbour}'s file"
    if found != _payload(neighbour, bench.probe.storage_bytes):
        return f"rank {worker.rank} on {worker.node} reads other bytes than rank {neighbour} wrote"
    return None


def _round_trip(worker: Worker, peer: int) -> tuple[float, float]:
    """(how long it took, how far the peer's clock is ahead), known to rank 0 and to the peer."""
    stamp = torch.zeros(3, dtype=torch.float64)
    if worker.rank == 0:
        sent = time.time()
        distributed.send(stamp, dst=peer, group=worker.control)
        distributed.recv(stamp, src=peer, group=worker.control)
        back = time.time()
        result = torch.tensor(
            [back - sent, float(stamp[0]) - (sent + back) / 2], dtype=torch.float64
        )
        distributed.send(result, dst=peer, group=worker.control)
        return float(result[0]), float(result[1])
    if worker.rank == peer:
        distributed.recv(stamp, src=0, group=worker.control)
        stamp[0] = time.time()
        distributed.send(stamp, dst=0, group=worker.control)
        result = torch.zeros(2, dtype=torch.float64)
        distributed.recv(result, src=0, group=worker.control)
        return float(result[0]), float(result[1])
    return 0.0, 0.0
