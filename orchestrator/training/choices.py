"""What a run really does, derived from its settings: printed by rank 0 before the first step."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.encoder.counts import count_parameters
from orchestrator.settings.precision import Precision
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.units import format_count, format_duration
from orchestrator.training.port import WorkerPort
from orchestrator.training.recipe import course_of, share_of
from orchestrator.training.setup import Setup


def told_choices(port: WorkerPort, job: PretrainJob, setup: Setup) -> str:
    rows = list(_rows(port, job, setup))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _rows(port: WorkerPort, job: PretrainJob, setup: Setup) -> Iterator[tuple[str, str]]:
    batch, course = job.batch, course_of(job)
    model = setup.encoder.settings
    counted = count_parameters(  # of the module ZeRO 3 leaves nothing to count
        model,
        vocab_size=setup.encoder.vocab_size,
        pad_id=setup.encoder.pad_id,
        heads=setup.encoder.heads,
    )
    yield "encoder", f"{model.family.value}, {counted.total:,} parameters"
    yield "objective", " + ".join(f"{term.weight:g} × {term.name}" for term in setup.terms)
    low = job.precision is not Precision.FP32
    sums = f", sums in {'fp32' if job.zero.stage else job.precision.value}" if low else ""
    yield "workers", f"{port.world} on {port.device}, ZeRO {job.zero.stage}, {job.precision}{sums}"
    share = share_of(job, batch.packs, world=port.world, rank=0)
    idle = share.accumulation * port.world * batch.micro_packs - batch.packs
    spare = f", {idle} of weight zero" if idle else ""
    yield (
        "step",
        f"{format_count(batch.global_tokens)} tokens: {batch.packs} packs of "
        f"{batch.pack_tokens:,} in {share.accumulation} rounds{spare}",
    )
    lengths = " then ".join(
        f"{each.seq_len} from pack {each.from_packs:,}" for each in course.phases
    )
    yield "samples", f"up to {lengths}"
    if course.horizon is not None:
        nominal = course.horizon.packs * batch.pack_tokens
        epochs = nominal / max(setup.num_tokens, 1)
        end = f"{course.horizon.steps:,} steps, {format_count(nominal)} tokens, {epochs:.3g} epochs"
        yield "end", end
    if job.budget.max_duration is not None:
        yield "time", f"at most {format_duration(job.budget.max_duration)}"
    unit = job.schedule.counted_in.value
    warmup = course.curve.warmup * (batch.pack_tokens if unit == "tokens" else 1)
    yield (
        "rate",
        f"up to {job.optim.lr:g} over {format_count(warmup)} {unit}, {job.schedule.kind}; "
        f"{job.optim.kind}, decay {job.optim.weight_decay:g}",
    )
    if setup.standing.step:
        yield "going on", f"after step {setup.standing.step:,}, at {setup.standing.cursor}"
