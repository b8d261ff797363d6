"""What training keeps in memory and in a checkpoint, in closed forms. Called by `plan`; no torch.

The forms say what DeepSpeed 0.19.8 allocates, read in its sources and seen by counting the bytes
of all live tensors. They leave out what a process takes by itself, what an allocator wastes, and
temporaries of the update: torch's fused AdamW has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.settings.precision import Precision
from orchestrator.settings.zero import BUCKET_ELEMENTS, Zero

MOMENTS = 8  # bytes of a parameter's two running means; all our optimizers have two, in fp32
MASTER = 4  # bytes of the fp32 copy that is stepped
NORM = 8  # DeepSpeed takes the norm of a gradient in fp64, one tensor after another
ALLREDUCE_ELEMENTS = 500_000_000  # without ZeRO, gradients are copied together up to so many


@dataclass(frozen=True, kw_only=True)
class Parameters:
    count: int  # all are trained; tied ones count once
    largest: int  # of one tensor: mostly the word embeddings


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the workers keep a model's states."""

    zero: Zero
    precision: Precision
    accumulated_in: Precision  # gradients of a step's micro-batches; without ZeRO as `precision`
    world: int
    bucket_elements: int = BUCKET_ELEMENTS


@dataclass(frozen=True, kw_only=True)
class States:
    """Of one worker, beside activations. Without a GPU, device and host are the same memory."""

    held_bytes: int  # on the device, from step to step
    gradients_bytes: int  # beside it on the device, while micro-batches are computed
    update_bytes: int  # beside it on the device, at most, when activations are gone
    host_bytes: int  # in the host's memory, of what is offloaded

    def device_bytes(self, activations_bytes: int) -> int:
        """At its highest."""
        beside = max(self.gradients_bytes + activations_bytes, self.update_bytes)
        return self.held_bytes + beside


def states(parameters: Parameters, division: Division) -> States:
    sizes = _Sizes(
        count=parameters.count,
        largest=parameters.largest,
        part=parameters.count / division.world,
        world=division.world,
        bucket=min(division.bucket_elements, parameters.count),
        low=division.precision.size_bytes,
        sum=division.accumulated_in.size_bytes,
    )
    if division.zero.stage == 0:
        return _whole(sizes)
    if division.zero.stage == 3:
        return _gathered(sizes, division.zero)
    if division.zero.offload_optimizer:
        return _stepped_on_host(sizes, division.zero.stage)
    if division.zero.stage == 1:
        return _reduced_whole(sizes, division.precision)
    return _reduced_in_parts(sizes)


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    count: int  # parameters
    largest: int
    part: float  # a worker's parameters
    world: int
    bucket: int
    low: int  # bytes of a parameter as it is computed with
    sum: int  # bytes of a gradient as it is added up

    @property
    def whole_tensors(self) -> float:
        """A worker's parameters, where the tensor in which they begin or end stays whole."""
        return min(self.count, self.part + self.largest) if self.world > 1 else self.count

    @property
    def step(self) -> float:
        """Of ZeRO 1 and 2: gradients one by one, laid flat, and in fp32; or one in fp64."""
        flat = self.sum + (MASTER if self.sum < MASTER else 0)
        return self.sum * self.whole_tensors + max(flat * self.part, NORM * self.largest)


def _whole(s: _Sizes) -> States:
    """ZeRO 0. DeepSpeed steps fp32 parameters in place, others through an fp32 copy."""
    master = MASTER if s.low < MASTER else 0
    gradients = s.low * s.count
    update = gradients + max(s.low * min(s.count, ALLREDUCE_ELEMENTS), master * s.count)
    return _rounded((s.low + master + MOMENTS) * s.count, gradients, update)


def _reduced_whole(s: _Sizes, precision: Precision) -> States:
    """ZeRO 1. fp32 parameters have a second copy to be stepped in, too.

    With bf16 and sums in fp32 another optimizer of DeepSpeed's is at work: it holds whole fp32
    gradients from step to step, and copies them to reduce them.
    """
    held = s.low * s.count + (MASTER + MOMENTS) * s.part
    if precision is Precision.BF16 and s.sum == MASTER:
        copied = (MASTER + s.low) * min(s.count, ALLREDUCE_ELEMENTS)
        return _rounded(held + MASTER * s.count, s.low * s.count, s.low * s.count + copied)
    gradients = s.sum * (s.count + s.bucket)
    return _rounded(held, gradients, max(gradients + s.sum * s.largest, s.step))


def _reduced_in_parts(s: _Sizes) -> States:
    """ZeRO 2. Sums are held in parts; in the parameters' type, a second set is made before it is
    added to the first."""
    held = s.low * s.count + (MASTER + MOMENTS) * s.part
    if s.sum > s.low:
        sums = s.sum * s.part
        backward = sums + s.low * s.bucket + (s.low + s.sum) * s.largest
        return _rounded(held, sums, max(backward, sums + NORM * s.largest))
    sums = s.sum * s.whole_tensors
    backward = 2 * sums + s.low * (s.bucket + s.largest)
    return _rounded(held, sums, max(backward, s.step))


def _stepped_on_host(s: _Sizes, stage: int) -> States:
    """ZeRO 1 and 2 with offload_optimizer: fp32 copy, its gradient and moments on the host, with
    a buffer through which parameters come back. A buffer for the largest gradient on both sides."""
    held = s.low * (s.count + s.largest)
    host = (2 * MASTER + MOMENTS + s.low) * s.part + s.low * s.largest
    if stage == 1:
        gradients = s.sum * (s.count + s.bucket)
        reduced, normed = s.sum * (s.bucket + s.largest), NORM * s.largest
        beside = reduced + normed if s.sum > s.low else max(reduced, normed)
        update = s.sum * s.count + beside
        return _rounded(held, gradients, update, host)
    if s.sum > s.low:
        sums = s.sum * s.part
        return _rounded(held, sums, sums + s.low * s.bucket + NORM * s.largest, host)
    host += s.low * s.whole_tensors
    return _rounded(held, 0, s.low * s.bucket + NORM * s.largest, host)


def _gathered(s: _Sizes, zero: Zero) -> States:
    """ZeRO 3. Sums of gradients and a bucket are held for good. A layer is gathered with what is
    fetched ahead of it, which DeepSpeed must be told to bound: by itself it fetches 50 million
    elements ahead and lets go of nothing below a thousand million."""
    parameters = s.low * s.part
    stepped = (MASTER + MOMENTS) * s.part
    sums = s.sum * s.part
    bucket = s.low * s.bucket
    live = min(s.count, s.bucket + s.largest) if s.world > 1 else 0
    computed = max(2 * s.low * live, s.low * (live + s.bucket + 2 * s.largest))
    if not zero.offload_optimizer:
        to_step = (s.sum + (MASTER if s.sum < MASTER else 0)) * s.part
        return _rounded(parameters + stepped + sums + bucket, computed, max(computed, to_step))
    computed = max(computed, NORM * s.largest)
    host = stepped + MASTER * s.part + sums
    if zero.offload_parameters:
        return _rounded(bucket, computed, computed, host + parameters)
    return _rounded(parameters + bucket, computed, computed, host)


def _rounded(held: float, gradients: float, update: float, host: float = 0.0) -> States:
    return States(
        held_bytes=round(held),
        gradients_bytes=round(gradients),
        update_bytes=round(update),
        host_bytes=round(host),
    )


def checkpoint_bytes(parameters: int, zero: Zero, precision: Precision) -> int:
    """Files of all ranks together, beside some kilobytes of each.

    ZeRO 0: parameters, moments, and the fp32 copy where there is one. ZeRO 1 and 2: all three.
    ZeRO 3: the fp32 copy and the moments. The world makes no difference.
    """
    low = precision.size_bytes
    if zero.stage == 3:
        return (MASTER + MOMENTS) * parameters
    is_copied = zero.stage > 0 or low < MASTER
    return (low + MOMENTS + (MASTER if is_copied else 0)) * parameters
