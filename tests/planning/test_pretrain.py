"""A plan of pretraining: exact where it counts, right where it estimates, and it finds mistakes."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api import Orchestrator
from orchestrator.cluster.place import Place
from orchestrator.corpus.layout import corpus_uri
from orchestrator.corpus.packs.stream import Cursor
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.planning import memory
from orchestrator.planning.footprint import PROCESS_BYTES
from orchestrator.planning.prepared import packs_per_epoch, read_prepared
from orchestrator.planning.pretrain import Outlook, Surroundings, look_ahead
from orchestrator.planning.resources import resource_findings, resource_warnings
from orchestrator.runs.plan import Plan, Resources
from orchestrator.runs.storage import LocalStorage, open_storage
from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.cluster import Cluster
from orchestrator.settings.compute import Compute
from orchestrator.settings.corpus import Corpus
from orchestrator.settings.evaluation import Evaluation
from orchestrator.settings.load import load
from orchestrator.settings.model import Family
from orchestrator.settings.objective import Objective, Pairs
from orchestrator.settings.precision import Precision
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.zero import Zero
from orchestrator.tracking.metrics import MetricsWriter
from orchestrator.training.recipe import training_stream
from tests.planning.small import BATCH, MODEL, Training, prepare

pytestmark = pytest.mark.slow

GIB = 2**30


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans")


@pytest.fixture(scope="module")
def job(place: Path) -> PretrainJob:
    return prepare(str(place / "runs"), place)


@pytest.fixture
def storage(place: Path) -> LocalStorage:
    storage = open_storage(place / "runs")
    assert isinstance(storage, LocalStorage)
    return storage


def here(memory_bytes: float = 64 * GIB, **changes: Any) -> Resources:
    has = {"CPU": 64.0, "GPU": 64.0, "memory": float(memory_bytes)}
    return replace(Resources(asked={}, place="here", has=has), **changes)


def look(job: PretrainJob, storage: LocalStorage, resources: Resources | None = None) -> Outlook:
    return look_ahead(job, Surroundings(storage=storage, resources=resources or here()))


def told(outlook: Outlook) -> str:
    return "\n".join(map(str, outlook.findings))


def on(job: PretrainJob, **cluster: Any) -> PretrainJob:
    return replace(job, cluster=Cluster(**cluster))


# ----- figures


def test_figures_of_a_plan_follow_from_the_job(job: PretrainJob, storage: LocalStorage) -> None:
    outlook = look(on(job, num_workers=3, min_workers=1), storage)
    assert not outlook.findings
    derived = outlook.derived
    assert (derived["steps"], derived["tokens"]) == (10, 10 * 1024)
    assert derived["packs_per_step"] == 4 and derived["accumulation"] == 2
    assert derived["epochs"] == pytest.approx(10_240 / derived["tokens_per_epoch"], abs=0.01)
    rows = {row["workers"]: row for row in derived["worlds"]}
    assert {world: row["accumulation"] for world, row in rows.items()} == {1: 4, 2: 2, 3: 2}
    assert rows[3]["idle_share"] == pytest.approx(1 / 3, abs=1e-4)
    assert "duration_s" not in derived and "dollars" not in derived


def test_memory_is_told_for_every_division_and_the_chosen_one_is_marked(
    job: PretrainJob, storage: LocalStorage
) -> None:
    job = replace(on(job, num_workers=4), zero=Zero(stage=2), precision=Precision.BF16)
    derived = look(job, storage).derived
    rows = derived["memory_per_worker"]
    assert [(row["zero"], row["offloaded"]) for row in rows] == [
        *((stage, "") for stage in range(4)),
        *((stage, "optimizer") for stage in (1, 2, 3)),
        (3, "optimizer, parameters"),
    ]
    [chosen] = [row for row in rows if row["is_chosen"]]
    assert (chosen["zero"], chosen["offloaded"]) == (2, "")
    states = memory.states(
        memory.Parameters(count=derived["parameters"], largest=derived["vocabulary"] * 32),
        memory.Division(
            zero=job.zero, precision=Precision.BF16, accumulated_in=Precision.FP32, world=4
        ),
    )
    assert chosen["device_peak_bytes"] == states.device_bytes(derived["activations_bytes"])
    of_checkpoint = memory.checkpoint_bytes(derived["parameters"], job.zero, Precision.BF16)
    assert derived["checkpoint_bytes"] == chosen["checkpoint_bytes"] == of_checkpoint


def test_the_host_holds_what_is_offloaded_and_a_copy_of_a_checkpoint(
    job: PretrainJob, storage: LocalStorage
) -> None:
    """Rank 0 copies the most: parameters that are whole on every worker are its to write."""
    derived = look(on(job, num_workers=4), storage).derived
    count = derived["parameters"]
    host = {
        (row["zero"], row["offloaded"]): row["host_bytes"] - PROCESS_BYTES
        for row in derived["memory_per_worker"]
    }
    assert host[0, ""] == 12 * count
    assert host[1, ""] == host[2, ""] == 4 * count + 12 * count // 4
    assert host[3, ""] == 12 * count // 4
    for stage in (1, 2, 3):
        assert host[stage, "optimizer"] - host[stage, ""] >= 12 * count // 4
    assert host[3, "optimizer, parameters"] > host[3, "optimizer"]


SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "long samples": {"batch": replace(BATCH, seq_len=64)},
    "short samples": {"batch": replace(BATCH, seq_len=16)},
    "pairs": {"objective": Objective(pairs=Pairs.NSP)},
    "no short ones": {"objective": Objective(short_share=0.0)},
    "large packs": {"batch": Batch(global_tokens=4096, pack_tokens=1024, seq_len=64)},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("weight", [1.0, 0.4, 3.0])
def test_an_epoch_is_as_long_as_told(
    job: PretrainJob, storage: LocalStorage, name: str, weight: float
) -> None:
    [(source, given)] = job.corpus.sources.items()
    corpus = replace(job.corpus, sources={source: replace(given, weight=weight)})
    job = replace(job, corpus=corpus, **SETTINGS[name])
    folder = storage.path().parent / corpus_uri(storage.uri, job.corpus)
    prepared = open_corpus(folder)
    stream = training_stream(job, prepared, open_tokenizer(prepared.tokenizer))
    # Together they read each document as often: which ones an epoch reads is chance.
    epochs = takewhile(lambda place: place[1].epoch < 5, stream.places(Cursor()))
    packs = sum(1 for _ in epochs) / 5
    estimate = packs_per_epoch(job, read_prepared(open_storage(folder)))
    assert estimate == pytest.approx(packs, rel=0.04, abs=1)


# ----- time and price


def record_speeds(storage: LocalStorage, job: PretrainJob, run_id: str, speed: float) -> None:
    training = Training(storage, job, run_id)
    training.attempt_from(0, steps=1, world=2, commit=False)
    writer = MetricsWriter(training.folder.storage, attempt=1, writer="rank-000")
    for step in range(1, 6):
        writer.write(step, {"train/tokens_per_s": speed + step, "train/loss": 1.0})
    writer.close()


@pytest.fixture
def with_runs(job: PretrainJob, tmp_path: Path) -> Iterator[tuple[PretrainJob, LocalStorage]]:
    storage = open_storage(tmp_path / "runs")
    assert isinstance(storage, LocalStorage)
    job = prepare(storage.uri, tmp_path)
    record_speeds(storage, job, "20261121-101010-pretrain-aaaa", 1000.0)
    record_speeds(storage, job, "20261121-111010-pretrain-bbbb", 2000.0)
    large = replace(job, model=replace(MODEL, layers=3))
    record_speeds(storage, large, "20261121-121010-pretrain-cccc", 10.0)
    yield job, storage


def test_time_and_price_are_those_of_the_newest_run_alike(
    with_runs: tuple[PretrainJob, LocalStorage],
) -> None:
    job, storage = with_runs
    derived = look(on(job, num_workers=4, dollars_per_worker_hour=3.6), storage).derived
    assert derived["speed_from"] == "20261121-111010-pretrain-bbbb, on 2 workers"
    assert derived["tokens_per_s"] == 4006  # the median of a worker, four times
    assert derived["duration_s"] == pytest.approx(10_240 / 4006, abs=0.1)
    assert derived["dollars"] == pytest.approx(4 * 3.6 * 10_240 / 4006 / 3600, abs=0.01)


def test_a_given_speed_beats_a_measured_one_and_time_may_end_a_run(
    with_runs: tuple[PretrainJob, LocalStorage],
) -> None:
    job, storage = with_runs
    job = replace(job, compute=Compute(tokens_per_s=128))
    derived = look(job, storage).derived
    assert (derived["speed_from"], derived["duration_s"]) == ("compute.tokens_per_s", 80.0)
    short = replace(job, budget=Budget(steps=10, max_duration=40.0))
    derived = look(short, storage).derived
    assert (derived["steps"], derived["cut_short_by"]) == (5, "budget.max_duration")


# ----- mistakes


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "positions": ({"batch": replace(BATCH, seq_len=128)}, "model.max_positions=64 is less than"),
    "a small corpus": (
        {"batch": replace(BATCH, global_tokens=2**20)},
        "batch.global_tokens=1048576 is 4096 packs a step, and an epoch of the corpus has about",
    ),
    "no head for pairs": (
        {
            "model": replace(MODEL, family=Family.ROBERTA),
            "objective": Objective(pairs=Pairs.SOP),
        },
        "objective.pairs=sop needs a head for pairs, and the family roberta has none. "
        "Try objective.pairs=none, or a model of family bert.",
    ),
    "no room for text": ({"batch": replace(BATCH, seq_len=2)}, "seq_len=2 leaves 0 tokens"),
    "idle workers": ({"cluster": Cluster(num_workers=5)}, "1 workers would never have any"),
    "offload without a GPU": (
        {"zero": Zero(stage=2, offload_optimizer=True)},
        "zero.offload_optimizer=true takes memory off a GPU",
    ),
    "attention dropout on GPUs": (
        {"cluster": Cluster(gpus_per_worker=1)},
        "model.attention_dropout=0.1 needs the package flash-attn",
    ),
    "no encoder there": ({"encoder": "nosuch"}, ""),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_numbers(
    job: PretrainJob, storage: LocalStorage, name: str
) -> None:
    changes, said = MISTAKES[name]
    outlook = look(replace(job, **changes), storage)
    assert said in told(outlook)
    assert "duration_s" not in outlook.derived and "memory_per_worker" not in outlook.derived


def test_what_a_far_cluster_may_have_is_a_warning(job: PretrainJob, storage: LocalStorage) -> None:
    far = here(place="http://head:8265", is_this_machine=False)
    outlook = look(on(job, gpus_per_worker=1), storage, far)
    assert not outlook.findings
    assert "If workers are like this machine: model.attention_dropout=0.1" in outlook.warnings[0]
    beside = replace(job, corpus=replace(job.corpus, path=corpus_uri(storage.uri, job.corpus)))
    assert "the nodes of http://head:8265 cannot see it" in told(look(beside, storage, far))


def make_with(place: Path, **settings: Any) -> tuple[PretrainJob, LocalStorage]:
    storage = open_storage(place / "runs")
    assert isinstance(storage, LocalStorage)
    return prepare(storage.uri, place, documents=40, **settings), storage


def edit_tokenizer(job: PretrainJob, storage: LocalStorage, name: str, **changes: Any) -> None:
    file = Path(corpus_uri(storage.uri, job.corpus)) / "tokenizer" / name
    plain = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in plain.items() if value is not None}))


def test_a_tokenizer_without_a_mask_or_a_separator_is_refused(tmp_path: Path) -> None:
    job, storage = make_with(tmp_path)
    edit_tokenizer(job, storage, "tokenizer_config.json", mask_token=None)
    assert "has no mask token" in told(look(job, storage))
    edit_tokenizer(job, storage, "tokenizer.json", post_processor=None)
    pairs = replace(job, objective=Objective(pairs=Pairs.NSP))
    assert "needs a tokenizer that puts a separator between two texts" in told(look(pairs, storage))


def test_a_tokenizer_that_is_not_the_corpuss_is_found(tmp_path: Path) -> None:
    job, storage = make_with(tmp_path)
    edit_tokenizer(job, storage, "tokenizer.json", normalizer=None)
    assert "it is not the one with which the text was tokenised" in told(look(job, storage))


def test_validation_needs_documents(tmp_path: Path) -> None:
    job, storage = make_with(tmp_path, validation_share=0.0)
    assert not look(job, storage).findings
    wants = replace(job, evaluation=Evaluation(every_steps=5))
    assert "evaluation.every_steps=5 needs documents for validation" in told(look(wants, storage))


def test_a_corpus_of_other_sources_is_refused_and_of_other_settings_told(tmp_path: Path) -> None:
    job, storage = make_with(tmp_path)
    at = replace(job.corpus, path=corpus_uri(storage.uri, job.corpus))
    longer = replace(job, corpus=replace(at, part_bytes=4096))
    outlook = look(longer, storage)
    assert not outlook.findings and "was prepared with other settings" in outlook.warnings[0]
    [source] = at.sources.values()
    other = replace(job, corpus=replace(at, sources={"books": source}))
    assert "corpus.sources are books and" in told(look(other, storage))


# ----- memory


def least_that_fits(job: PretrainJob, storage: LocalStorage) -> int:
    outlook = look(job, storage)
    return max(row["host_needed_bytes"] for row in outlook.derived["worlds"])


def test_what_does_not_fit_is_refused_and_every_proposal_fits(
    job: PretrainJob, storage: LocalStorage, place: Path
) -> None:
    """Proposals are settings: put in, each of them makes a plan without that finding."""
    large = replace(
        job, batch=replace(BATCH, micro_packs=4), model=replace(MODEL, layers=24, hidden=512)
    )
    most = least_that_fits(large, storage)
    machine = here(most - 100 * 2**20)
    [finding] = look(large, storage, machine).findings
    assert "does not fit: 1 worker needs about" in str(finding)
    proposals = finding.try_.rstrip(".").split(" or ")
    assert proposals
    for words in proposals:
        changed, changes = large, {}
        for text in words.split():
            key, _, value = text.partition("=")
            changes[key] = value
        if "batch.micro_packs" in changes:
            changed = replace(changed, batch=replace(changed.batch, micro_packs=1))
        if "compute.checkpoint_activations" in changes:
            changed = replace(changed, compute=Compute(checkpoint_activations=True))
        if "batch.pack_tokens" in changes:
            pack = int(changes["batch.pack_tokens"])
            changed = replace(changed, batch=replace(changed.batch, pack_tokens=pack))
        assert changed != large and not look(changed, storage, machine).findings, words


def test_memory_is_judged_only_where_it_is_known(job: PretrainJob, storage: LocalStorage) -> None:
    """Of a cluster on this machine too; of others, what a node has left is not known."""
    huge = replace(job, model=replace(MODEL, layers=1000, hidden=8192))
    one = here(0, place="http://127.0.0.1:8265", nodes=1)
    assert "this machine has" in told(look(huge, storage, one))
    for other in ({"nodes": 2}, {"is_this_machine": False}):
        assert not look(huge, storage, replace(one, **other)).findings
    reserved = on(huge, memory_per_worker=GIB)
    assert "cluster.memory_per_worker=1.0 GiB does not fit" in told(
        look(reserved, storage, replace(one, is_this_machine=False))
    )


def test_workers_share_the_machine(job: PretrainJob, storage: LocalStorage) -> None:
    need = least_that_fits(job, storage)
    assert not look(on(job, num_workers=2), storage, here(2.1 * need)).findings
    refused = told(look(on(job, num_workers=2), storage, here(1.5 * need)))
    assert "cluster.num_workers=2 does not fit: each of 2 workers" in refused
    assert "cluster.num_workers=1." in refused


def test_a_smaller_world_that_needs_more_of_each_worker_is_found(
    job: PretrainJob, storage: LocalStorage
) -> None:
    large = replace(job, model=replace(MODEL, layers=12, hidden=1024), zero=Zero(stage=3))
    rows = look(on(large, num_workers=4, min_workers=1), storage).derived["worlds"]
    needs = {row["workers"]: row["host_needed_bytes"] for row in rows}
    assert needs[1] > needs[2] > needs[4]
    cluster = Cluster(num_workers=4, min_workers=1, memory_per_worker=needs[2] + 1)
    [finding] = look(replace(large, cluster=cluster), storage).findings
    assert finding.key == "cluster.min_workers" and finding.try_ == "cluster.min_workers=2."
    mended = replace(cluster, min_workers=2)
    assert not look(replace(large, cluster=mended), storage).findings
    little = replace(cluster, memory_per_worker=needs[4] - 1)
    [finding] = look(replace(large, cluster=little), storage).findings
    assert finding.key == "cluster.memory_per_worker"


def test_only_the_least_workers_must_fit_and_fewer_than_wanted_are_told() -> None:
    from orchestrator.settings.probe import ProbeJob

    job = ProbeJob(cluster=Cluster(num_workers=4, min_workers=2))
    resources = Resources(asked={"CPU": 4.0}, place="here", has={"CPU": 3.0}, ray_version=None)
    assert not list(resource_findings(job, resources))
    [warning] = resource_warnings(job, resources)
    assert "this machine has room for 3" in warning
    [finding] = resource_findings(job, replace(resources, has={"CPU": 1.0}))
    assert str(finding).startswith("cluster.min_workers=2") and "needs 2 CPU" in str(finding)
    assert not list(resource_warnings(job, replace(resources, has={"CPU": 4.0})))


# ----- as it is typed


def plan(project: Path, *overrides: str) -> Plan:
    orchestrator = Orchestrator(str(project / "runs"), working_dir=project)
    return orchestrator.plan("pretrain", overrides, place=Place.HERE)


def test_a_corpus_that_is_not_prepared_is_told_with_the_command_that_prepares_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCHESTRATOR_STORAGE", raising=False)
    (tmp_path / "a b.txt").write_text("One. Two.\n")
    typed = ["corpus=text", "corpus.sources.text.path=[a b.txt]", "budget.steps=5"]
    [finding] = plan(tmp_path, *typed).findings
    missing = finding.rule.removeprefix("is not prepared: ").partition(" has no ")[0]
    command = shlex.split(finding.try_.strip("`."))
    assert command[:3] == ["orchestrator", "run", "prepare"]
    words = [word for word in command[3:] if not word.startswith("--")]
    job, findings = load("prepare", words, working_dir=tmp_path)
    assert not findings and job is not None
    corpus = getattr(job, "corpus")  # noqa: B009  of a prepare job
    assert isinstance(corpus, Corpus)
    assert corpus_uri(str(tmp_path / "runs"), corpus) == missing


def test_a_plan_knows_its_corpus_and_loads_no_framework(tmp_path: Path) -> None:
    """In a process of its own, through everything that is imported on the way."""
    job = prepare(str(tmp_path / "runs"), tmp_path)
    folder = corpus_uri(str(tmp_path / "runs"), job.corpus)
    path = job.corpus.sources["text"].path[0]
    words = ["plan", "pretrain", "--json", "--storage", str(tmp_path / "runs"), "corpus=text"]
    words += [f"corpus.path={folder}", f"corpus.sources.text.path=[{path}]"]
    words += ["batch.global_tokens=4096", "batch.pack_tokens=1024", "evaluation.every_steps=null"]
    code = (
        "import sys; from orchestrator.cli.main import run; code = run(sys.argv[1:]);"
        "heavy = {'ray', 'torch', 'deepspeed', 'transformers', 'datasets', 'wandb'};"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr.splitlines()[-1] == "0 []", done.stderr + done.stdout
    answer = json.loads(done.stdout)
    checksum = read_prepared(open_storage(folder)).checksum
    assert answer["lineage"]["corpus"]["manifest"] == checksum
    assert answer["derived"]["steps"] == 200 and answer["derived"]["parameters"] > 0
