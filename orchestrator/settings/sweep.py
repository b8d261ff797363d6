"""The `sweep` job: many fine-tunes of one task, each with other settings, and the best of them.

Everything of a fine-tune is here and is what trials have in common; `space` says what they differ
in, `search` how the next one is chosen and which are given up early.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from orchestrator.settings.build import build, check, to_plain
from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.finetune import EpochBudget, FinetuneJob
from orchestrator.settings.population import population_findings
from orchestrator.settings.precision import Precision
from orchestrator.settings.schema import NAME, schema_keys
from orchestrator.settings.search import Beside, Search, SearchKind, Stopping
from orchestrator.settings.space import Space, read_space

TRIALS = 20  # where nobody says how many
POPULATION = 8  # of pbt and pb2
# What trials may differ in; the rest they share: data, encoder, workers, what is kept.
SEARCHED = ("optim", "schedule", "batch", "transfer", "precision")
SEARCHED_KEYS = ("budget.epochs", "evaluation.patience")
# What changes how many weights a trial trains.
_SIZED = {"transfer.way", "transfer.layers", "transfer.rank", "transfer.reading"}


@dataclass(frozen=True, kw_only=True)
class SweepBudget(EpochBudget):
    trials: int | None = setting(
        f"How many configurations are tried; null: the whole grid, or {TRIALS} drawn ones",
        default=None,
        bounds=Bounds(at_least=1),
    )


@dataclass(frozen=True, kw_only=True)
class SweepJob(FinetuneJob):
    kind: ClassVar[str] = "sweep"

    budget: SweepBudget = setting(
        "When it ends; epochs are those of a trial, max_duration is of all together",
        factory=SweepBudget,
    )
    space: dict[str, Any] = setting(
        "What is tried, nested like the job: {optim: {lr: {log_uniform: [1e-5, 1e-4]}}}; choice, "
        "uniform, log_uniform, integer and quantised, and `when` beside them",
        factory=dict,
    )
    search: Search = setting("How it is searched", factory=Search)

    def read_space(self) -> Space:
        """Of a job that was checked."""
        return read_space(self.space)[0]

    @property
    def trains_in_groups(self) -> bool:
        """Whether a trial is a group of workers with DeepSpeed; else each is one, with torch alone.
        The same for all trials of the sweep."""
        precisions = [
            each.options for each in self.read_space().dimensions if each.key == "precision"
        ]
        return not self.trains_alone or any(Precision.FP16 in (some or ()) for some in precisions)

    def findings(self) -> Iterator[Finding]:
        space, wrong = read_space(self.space)
        yield from wrong
        unknown = list(_key_findings(space))
        yield from unknown
        if not wrong and not unknown:
            yield from self._point_findings(space)
        yield from self._search_findings(space)
        if self.search.kind.is_population and not wrong and not unknown:
            yield from self._population_findings(space)

    def _search_findings(self, space: Space) -> Iterator[Finding]:
        search = self.search
        if search.kind is SearchKind.GRID:
            for each in space.dimensions:
                if each.options is None:
                    yield Finding(
                        key=f"space.{each.key}.{each.shape}",
                        found="",
                        rule="has no end of values, and search.kind=grid tries them all.",
                        try_="choice, integer or quantised, or search=random.",
                    )
        if search.margin and search.beside is Beside.NONE:
            yield Finding(
                key="search.margin",
                found=f"={search.margin:g}",
                rule="is of trials that cost less, and search.beside=none says nothing of costs.",
                try_="search.beside=time or size.",
            )
        if search.beside is Beside.SIZE and not _SIZED & {each.key for each in space.dimensions}:
            yield Finding(
                key="search.beside",
                found="=size",
                rule="is of the weights that a trial trains, and no setting of the space changes "
                f"them: that is what {', '.join(sorted(_SIZED))} do.",
                try_="'+space.transfer.layers.choice=[1,2,4]' transfer.way=last, or "
                "search.beside=time.",
            )
        if search.scheduler is not Stopping.NONE and self.num_seeds > 1:
            yield Finding(
                key="num_seeds",
                found=f"={self.num_seeds}",
                rule=f"does not go with search.scheduler={search.scheduler}: a median of seeds is "
                "known at the end only.",
                try_=f"search.finalists=3 search.finalist_seeds={self.num_seeds - 1}.",
            )
        if search.kind.is_population and self.trains_in_groups:
            yield Finding(
                key="cluster.num_workers",
                found=f"={self.cluster.num_workers} with zero.stage={self.zero.stage}",
                rule=f"does not go with search={search.kind}, whose trials take over from one "
                "another: so far only those of one worker without ZeRO and fp16 can.",
                try_="cluster.num_workers=1 zero=0, or search=asha_tpe.",
            )

    def _population_findings(self, space: Space) -> Iterator[Finding]:
        search, every = self.search, self.evaluation.every_epochs
        kind = search.kind
        yield from population_findings(kind, space, needs_ranges=kind is SearchKind.PB2)
        shares = search.interval_epochs / every
        if abs(shares - round(shares)) > 1e-9 or round(shares) < 1:
            yield Finding(
                key="search.interval_epochs",
                found=f"={search.interval_epochs:g}",
                rule=f"is no multiple of evaluation.every_epochs={every:g}: trials are compared "
                "where they are measured.",
                try_=f"{max(1, round(shares)) * every:g}.",
            )
        elif search.interval_epochs >= self.budget.epochs:
            yield Finding(
                key="search.interval_epochs",
                found=f"={search.interval_epochs:g}",
                rule=f"is as long as a trial of budget.epochs={self.budget.epochs:g}: nobody would "
                "take over anything.",
                try_=f"{self.budget.epochs / 4:g}, with evaluation.every_epochs no larger.",
            )
        if self.budget.trials == 1:
            rule = f"is no population for search={kind}."
            yield Finding(key="budget.trials", found="=1", rule=rule, try_=f"{POPULATION}.")
        refused = {
            "search.scheduler": (search.scheduler, search.scheduler is not Stopping.NONE, "none"),
            "search.finalists": (search.finalists, search.finalists > 0, "0"),
            "num_seeds": (self.num_seeds, self.num_seeds > 1, "1"),
            "search.beside": (search.beside, search.beside is not Beside.NONE, "none"),
        }
        for key, (value, is_wrong, near) in refused.items():
            if is_wrong:
                rule = f"does not go with search={kind}, whose trials go on from one another."
                yield Finding(key=key, found=f"={value}", rule=rule, try_=f"{near}.")

    def _point_findings(self, space: Space) -> Iterator[Finding]:
        """Values that the schema refuses, alone or together."""
        told = {str(finding) for finding in self.trial({})[1]}  # said of the job itself
        for point in space.corners(most=256):
            _, findings = self.trial(point)
            for finding in findings:
                if str(finding) not in told:
                    told.add(str(finding))
                    said = ", ".join(f"{key}={value}" for key, value in point.items())
                    yield replace(
                        finding, key=f"space: {finding.key}", rule=f"{finding.rule} (In {said}.)"
                    )

    def trial(
        self, point: Mapping[str, Any], *, seed: int | None = None
    ) -> tuple[FinetuneJob | None, list[Finding]]:
        """The fine-tune that a point of the space is. What it scores on test is not asked."""
        plain = to_plain(self)
        own = {each.name.rstrip("_") for each in fields(FinetuneJob)}
        tree: dict[str, Any] = {key: value for key, value in plain.items() if key in own}
        del tree["budget"]["trials"]
        tree["budget"]["max_duration"] = None
        tree["evaluation"]["test"] = False
        tree |= {"name": None, "seed": self.seed if seed is None else seed}
        for key, value in point.items():
            *above, last = key.split(".")
            node = tree
            for part in above:
                node = node[part]
            node[last] = value
        job, findings = build(FinetuneJob, tree)
        return job, findings if job is None else check(job)


def _key_findings(space: Space) -> Iterator[Finding]:
    keys = {key: kind for key, kind in schema_keys(FinetuneJob).items() if NAME not in key}
    inner = {key.rpartition(".")[0] for key in keys}
    leaves = {key for key in keys if key not in inner and _is_searched(key)}
    for each in space.dimensions:
        if each.key in leaves:
            continue
        if each.key in keys and not _is_searched(each.key):
            rule = "is what trials have in common; it cannot be searched."
            yield Finding(
                key=f"space.{each.key}", found="", rule=rule, try_=f"{each.key}=… for all of them."
            )
            continue
        ends_alike = [key for key in leaves if key.endswith(f".{each.key.rpartition('.')[2]}")]
        near = f"{' or '.join(ends_alike)}." if ends_alike else did_you_mean(each.key, leaves)
        rule = "is not a setting of a fine-tune."
        yield Finding(key=f"space.{each.key}", found="", rule=rule, try_=near)


def _is_searched(key: str) -> bool:
    return key.partition(".")[0] in SEARCHED or key in SEARCHED_KEYS
