"""The memory of one worker: its share of the states, activations, a checkpoint's copy, itself.

`pretrain.py` shows it for every way in which ZeRO can divide a model, and checks the chosen one in
every world that the run may have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.encoder.counts import Parameters
from orchestrator.planning import memory
from orchestrator.planning.activations import Kept, MicroBatch, activations_bytes
from orchestrator.settings.model import Model
from orchestrator.settings.precision import Precision
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.zero import Zero

# Python with torch, DeepSpeed, transformers and Ray, a loader's window, and what an allocator
# leaves unused: seen with small encoders.
PROCESS_BYTES = 850 * 2**20
CHOICES = (
    *(Zero(stage=stage) for stage in range(4)),
    *(Zero(stage=stage, offload_optimizer=True) for stage in (1, 2, 3)),
    Zero(stage=3, offload_optimizer=True, offload_parameters=True),
)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """What is trained, as far as memory depends on it."""

    model: Model
    vocab_size: int  # rows of its embeddings
    parameters: Parameters

    @property
    def largest(self) -> int:
        """Parameters of one tensor, at most."""
        model = self.model
        return model.hidden * max(self.vocab_size, model.max_positions, model.feed_forward)


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Of one worker, in bytes. On CPUs device and host are one memory."""

    states: int  # parameters, gradients and moments, from step to step and while they are added
    activations: int
    peak: int  # of the device
    host: int  # of what is offloaded, of a checkpoint's copy, and of the process
    checkpoint: int  # files of all workers
    on_gpu: bool

    @property
    def whole(self) -> int:
        return self.peak + self.host


def footprint(job: PretrainJob, encoder: Encoder, zero: Zero, world: int) -> Footprint:
    count = encoder.parameters.total
    # As zero.config_of tells DeepSpeed: sums in fp32, except without ZeRO.
    sums = job.precision if zero.stage == 0 else Precision.FP32
    states = memory.states(
        memory.Parameters(count=count, largest=encoder.largest),
        memory.Division(zero=zero, precision=job.precision, accumulated_in=sums, world=world),
    )
    activations = _activations(job, encoder)
    return Footprint(
        states=states.held_bytes + max(states.gradients_bytes, states.update_bytes),
        activations=activations,
        peak=states.device_bytes(activations),
        host=states.host_bytes + _copy_bytes(count, zero, job.precision, world) + PROCESS_BYTES,
        checkpoint=memory.checkpoint_bytes(count, zero, job.precision),
        on_gpu=bool(job.cluster.gpus_per_worker),
    )


def _activations(job: PretrainJob, encoder: Encoder) -> int:
    tokens = job.batch.micro_packs * job.batch.pack_tokens
    kept = Kept(
        model=encoder.model,
        vocab_size=encoder.vocab_size,
        precision=job.precision,
        is_checkpointed=job.compute.checkpoint_activations,
    )
    micro = MicroBatch(
        tokens=tokens,
        predictions=round(tokens * job.objective.mask_rate),
        seq_len=job.batch.seq_len,
        on_gpu=bool(job.cluster.gpus_per_worker),
    )
    return activations_bytes(kept, micro)


def _copy_bytes(count: int, zero: Zero, precision: Precision, world: int) -> int:
    """What rank 0 copies of a checkpoint, and keeps until it is written: others have no more."""
    whole = memory.checkpoint_bytes(count, zero, precision)
    if zero.stage == 0:
        return whole
    if zero.stage == 3:
        return whole // world
    parameters = precision.size_bytes * count
    return parameters + (whole - parameters) // world


def lighter(job: PretrainJob) -> list[tuple[str, PretrainJob]]:
    """Settings that take less memory, from those that cost least: what a finding can propose."""
    compute = replace(job.compute, checkpoint_activations=True)
    stages = [
        stage for stage in (1, 2, 3) if stage > job.zero.stage and job.cluster.num_workers > 1
    ]
    ways = [
        ("batch.micro_packs=1", replace(job, batch=replace(job.batch, micro_packs=1))),
        ("compute.checkpoint_activations=true", replace(job, compute=compute)),
        *((f"zero={stage}", replace(job, zero=Zero(stage=stage))) for stage in stages),
        *(
            (
                f"compute.checkpoint_activations=true zero={stage}",
                replace(job, compute=compute, zero=Zero(stage=stage)),
            )
            for stage in stages
        ),
        *((f"batch.pack_tokens={pack}", _with_packs(job, pack)) for pack in _shorter_packs(job)),
    ]
    return [(words, changed) for words, changed in ways if changed != job]


def _shorter_packs(job: PretrainJob) -> list[int]:
    """Halves of halves; samples of all lengths still fit, two at least."""
    batch, packs = job.batch, []
    pack = batch.pack_tokens // 2
    while pack >= 2 * batch.seq_len and batch.global_tokens % pack == 0:
        packs.append(pack)
        pack //= 2
    return packs


def _with_packs(job: PretrainJob, pack_tokens: int) -> PretrainJob:
    return replace(job, batch=replace(job.batch, pack_tokens=pack_tokens))
