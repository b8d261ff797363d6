"""The `sweep` job: many fine-tunes of one task, each with other settings, and the best of them.

Everything of a fine-tune is here and is what trials have in common; `space` says what they differ
in, `search` how the next one is chosen and which are given up early.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, ClassVar

from orchestrator.settings.build import build, check, to_plain
from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.finetune import EpochBudget, FinetuneJob
from orchestrator.settings.population import population_findings
from orchestrator.settings.schema import NAME, schema_keys
from orchestrator.settings.space import Space, read_space

TRIALS = 20  # where nobody says how many
POPULATION = 8  # of pbt and pb2
# What trials may differ in; the rest they share: data, encoder, workers, what is kept.
SEARCHED = ("optim", "schedule", "batch", "transfer", "precision")
SEARCHED_KEYS = ("budget.epochs", "evaluation.patience")


class SearchKind(StrEnum):
    GRID = "grid"
    RANDOM = "random"
    TPE = "tpe"
    PBT = "pbt"
    PB2 = "pb2"

    @property
    def is_population(self) -> bool:
        """Its trials go on side by side, and the worse take over from the better."""
        return self in (SearchKind.PBT, SearchKind.PB2)


class Stopping(StrEnum):
    NONE = "none"
    ASHA = "asha"
    HYPERBAND = "hyperband"
    MEDIAN = "median"


@dataclass(frozen=True, kw_only=True)
class Search:
    kind: SearchKind = setting(
        "How the next trial is chosen. grid: every point in turn; random; tpe: where the better "
        "trials so far lie (tree-structured Parzen estimators); pbt: a population, of which at "
        "each interval the worse go on from the better ones' weights, with settings moved by "
        "chance; pb2: the same, with settings that a Gaussian process proposes",
        default=SearchKind.RANDOM,
    )
    scheduler: Stopping = setting(
        "Which trials are given up early. none; asha: at each rung all but the best 1/reduction; "
        "hyperband: asha in brackets that begin to judge at different rungs; median: those worse "
        "than the median of the others so far",
        default=Stopping.NONE,
    )
    seed: int = setting(
        "Of what is drawn: the same seed proposes the same trials",
        default=1,
        bounds=Bounds(at_least=0, at_most=2**31 - 1),
    )
    max_concurrent: int | None = setting(
        "Trials at the same time; null: as many as the cluster has room for",
        default=None,
        bounds=Bounds(at_least=1),
    )
    startup_trials: int = setting(
        "Of tpe: so many are drawn at random before it models anything",
        default=8,
        bounds=Bounds(at_least=1),
    )
    grace_epochs: float = setting(
        "No trial is given up before it has read each example so often",
        default=1.0,
        bounds=Bounds(above=0),
    )
    reduction: float = setting(
        "Of asha and hyperband: each rung is so many times as far as the one before, and leaves "
        "one in so many",
        default=3.0,
        bounds=Bounds(above=1),
    )
    interval_epochs: float = setting(
        "Of pbt and pb2: how far all trials go before the worse take over from the better",
        default=1.0,
        bounds=Bounds(above=0),
    )
    quantile: float = setting(
        "Of pbt and pb2: the share of trials that take over, and of those that are taken over",
        default=0.25,
        bounds=Bounds(above=0, at_most=0.5),
    )
    resample: float = setting(
        "Of pbt: how often a setting is drawn anew instead of moved by a fifth",
        default=0.25,
        bounds=Bounds(at_least=0, at_most=1),
    )
    keep_models: int = setting(
        "Models of how many of the best trials stay in their folders",
        default=1,
        bounds=Bounds(at_least=1),
    )
    finalists: int = setting(
        "How many of the best are trained again with other seeds before one is chosen by its "
        "median; 0: the best trial wins",
        default=0,
        bounds=Bounds(at_least=0),
    )
    finalist_seeds: int = setting(
        "With how many further seeds", default=4, bounds=Bounds(at_least=1, at_most=100)
    )
    max_failed_share: float = setting(
        "The sweep fails when a larger share of its trials has, and more than two",
        default=0.5,
        bounds=Bounds(at_least=0, at_most=1),
    )


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
        if search.scheduler is not Stopping.NONE and self.num_seeds > 1:
            yield Finding(
                key="num_seeds",
                found=f"={self.num_seeds}",
                rule=f"does not go with search.scheduler={search.scheduler}: a median of seeds is "
                "known at the end only.",
                try_=f"search.finalists=3 search.finalist_seeds={self.num_seeds - 1}.",
            )
        if self.cluster.num_workers > 1 or self.zero.stage:
            found = f"={self.cluster.num_workers} with zero.stage={self.zero.stage}"
            yield Finding(
                key="cluster.num_workers",
                found=found,
                rule="is more than a trial can have: each is one worker, without ZeRO.",
                try_="cluster.num_workers=1 zero=0, and cluster.cpus_per_worker or "
                "gpus_per_worker for more of a node.",
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
