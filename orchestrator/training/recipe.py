"""From a job and its corpus to the stream of packs that is trained on. No torch: `audit` walks it.

All that the order and the content of packs depend on is put together here, and nowhere else.
"""

from __future__ import annotations

from orchestrator.corpus import layout
from orchestrator.corpus.packs.cut import Cutting
from orchestrator.corpus.packs.mask import Masking, Unit
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.corpus.packs.stream import Share, Stream
from orchestrator.corpus.packs.window import Phase, Recipe, window_documents
from orchestrator.corpus.shards.read import PreparedCorpus, ShardedCorpus
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.schedule import Course


def course_of(job: PretrainJob) -> Course:
    return Course(batch=job.batch, schedule=job.schedule, budget=job.budget)


def training_stream(job: PretrainJob, corpus: PreparedCorpus, tokenizer: CorpusTokenizer) -> Stream:
    weights = {name: source.weight for name, source in job.corpus.sources.items()}
    text = corpus.split(layout.TRAIN)
    first, *rest = course_of(job).phases
    recipe = Recipe(
        cutting=_cutting(job, tokenizer, first.seq_len),
        phases=tuple(Phase(from_packs=each.from_packs, seq_len=each.seq_len) for each in rest),
        pack_tokens=job.batch.pack_tokens,
        window_documents=_window_documents(job, text),
        mixture=corpus.mixture(layout.TRAIN, weights),
    )
    return Stream(text, recipe)


def validation_stream(
    job: PretrainJob, corpus: PreparedCorpus, tokenizer: CorpusTokenizer
) -> Stream | None:
    """Always of the full length. None where the corpus keeps no document for validation."""
    text = corpus.split(layout.VALIDATION)
    if not text.num_documents:
        return None
    recipe = Recipe(
        cutting=_cutting(job, tokenizer, job.batch.seq_len),
        pack_tokens=job.batch.pack_tokens,
        window_documents=_window_documents(job, text),
    )
    return Stream(text, recipe)


def masking_of(job: PretrainJob) -> Masking:
    objective = job.objective
    return Masking(
        seed=job.seed,
        rate=objective.mask_rate,
        unit=Unit(objective.mask_unit.value),
        mask_share=objective.mask_share,
        random_share=objective.random_share,
    )


def share_of(job: PretrainJob, packs_per_step: int, *, world: int, rank: int) -> Share:
    return Share(
        packs_per_step=packs_per_step, micro_packs=job.batch.micro_packs, world=world, rank=rank
    )


def _window_documents(job: PretrainJob, text: ShardedCorpus) -> int:
    return window_documents(
        num_documents=text.num_documents,
        num_tokens=text.num_tokens,
        pack_tokens=job.batch.pack_tokens,
    )


def _cutting(job: PretrainJob, tokenizer: CorpusTokenizer, seq_len: int) -> Cutting:
    return Cutting(
        seed=job.seed,
        seq_len=seq_len,
        template=tokenizer.template,
        pairing=Pairing(job.objective.pairs.value),
        short_share=job.objective.short_share,
    )
