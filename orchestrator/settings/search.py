"""How a sweep is searched: who proposes the next trial, and which are given up early."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.settings.field import Bounds, setting


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


class Beside(StrEnum):
    NONE = "none"
    TIME = "time"
    SIZE = "size"


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
    beside: Beside = setting(
        "What trials should have little of, beside a good value. none; time: seconds of their "
        "steps; size: weights that they train. tpe looks for both; which trials are worth what "
        "they cost, `sweep status` shows",
        default=Beside.NONE,
    )
    margin: float = setting(
        "With `beside`: of the trials whose value is within so much of the best, the one that "
        "costs least wins",
        default=0.0,
        bounds=Bounds(at_least=0),
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
