from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RequestError
from orchestrator.settings.build import defaults_of, flatten, to_plain
from orchestrator.settings.bundled import bundled
from orchestrator.settings.code import Code
from orchestrator.settings.field import setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import KINDS, freeze, thaw
from orchestrator.settings.load import change, check_overrides, group_choices, load
from orchestrator.settings.prepare import PrepareJob
from orchestrator.settings.probe import ProbeJob
from orchestrator.settings.schema import schema_keys

CONF = bundled("conf")
GROUPS = group_choices(CONF.parent)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A working directory; extensions found in it are forgotten afterwards."""
    modules, path = set(sys.modules), sys.path[:]
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _loaded(here: Path, *overrides: str) -> Any:
    job, findings = load("probe", overrides, working_dir=here)
    assert [str(finding) for finding in findings] == []
    return job


def _told(here: Path, *overrides: str) -> list[Finding]:
    job, findings = load("probe", overrides, working_dir=here)
    assert (job is None) == bool(findings)
    return findings


# ----- what ships


@pytest.mark.parametrize("kind", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_primary_config_is_a_job_and_loads(kind: str, here: Path) -> None:
    job, findings = load(kind, needed(kind), working_dir=here)
    assert findings == []
    assert isinstance(job, KINDS[kind])
    assert thaw(freeze(job)) == job


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_a_primary_config(kind: str) -> None:
    assert (CONF / f"{kind}.yaml").is_file()


@cache
def needed(kind: str) -> list[str]:
    """What a job of that kind must be told: here anything will do."""
    _, lacking = load(kind, [], working_dir=CONF)
    return [f"{finding.key}=any" for finding in lacking]


def rounds() -> list[tuple[str, list[str]]]:
    """Kinds with a choice in each of their groups, so that every choice is in one of them."""
    found, left = [], dict(GROUPS)
    for kind in sorted(KINDS):
        own = [group for group in left if group in schema_keys(KINDS[kind])]
        groups = {group: sorted(left.pop(group)) for group in own}
        for number in range(max(map(len, groups.values()), default=0)):
            chosen = [f"{group}={names[number % len(names)]}" for group, names in groups.items()]
            if "search=grid" in chosen:  # which takes no space but one of choices
                chosen += ["space=paper"]
            if {"search=pbt", "search=pb2"} & set(chosen):  # what can change within a trial
                chosen += ["space=schedule"]
            found.append((kind, chosen))
    assert not left, f"conf/{left}/ is for no job"
    return found


def composes_and_loads(kind: str, chosen: list[str], here: Path) -> None:
    words = [*needed(kind), *chosen]
    _, findings = load(kind, words, working_dir=here)
    if lacking := [one.key for one in findings if one.rule.startswith("must be given")]:
        _, findings = load(kind, [*words, *(f"{key}=any" for key in lacking)], working_dir=here)
    assert findings == [], (kind, chosen)


@pytest.mark.slow
def test_every_choice_of_a_group_composes_and_loads(here: Path) -> None:
    """But tasks, of which there are many: some, and all are built in tests/tasks/test_conf.py."""
    every = rounds()
    tasks = [one for one in every if any(choice.startswith("task=") for choice in one[1])]
    for kind, chosen in [*tasks[:8], *(one for one in every if one not in tasks)]:
        composes_and_loads(kind, chosen, here)


@pytest.mark.long
def test_every_choice_with_every_task_composes_and_loads(here: Path) -> None:
    for kind, chosen in rounds():
        composes_and_loads(kind, chosen, here)


ROWS = [
    *(
        (" = Valkyria Chronicles III = \n", True),
        (" = 2013 – 14 York City F.C. season = \n", True),
    ),
    *((" = = Gameplay = = \n", False), (" = = = Legacy = = = \n", False), (" \n", False)),
    (" As with previous games , a = b holds . \n", False),
]


def test_articles_of_wikitext_begin_at_their_titles(here: Path) -> None:
    job, _ = load("prepare", ["corpus=wikitext103"], working_dir=here)
    assert isinstance(job, PrepareJob)
    (source,) = job.corpus.sources.values()
    assert source.document_start is not None
    for row, is_start in ROWS:
        for text in (row, row.removesuffix("\n"), row.strip()):
            assert bool(re.match(source.document_start, text)) == is_start, row


def test_defaults_are_loaded_where_nothing_is_typed(here: Path) -> None:
    assert _loaded(here) == ProbeJob()


# ----- what is typed


def test_every_override_sets_its_key(here: Path) -> None:
    typed = {
        "cluster.start_timeout=30m": ("cluster.start_timeout", 1800.0),
        "cluster.memory_per_worker=4GiB": ("cluster.memory_per_worker", 4 * 2**30),
        "probe.message_bytes=[4KiB,1MiB]": ("probe.message_bytes", [4096, 2**20]),
        "probe.checks=[]": ("probe.checks", []),
        "note='two words, a: b # c and = \\${more}'": ("note", "two words, a: b # c and = ${more}"),
        "name=2024": ("name", "2024"),
        "+probe.repeats=2": ("probe.repeats", 2),
        "++probe.matmul_size=1k": ("probe.matmul_size", 1000),
        "cluster={num_workers: 3}": ("cluster.num_workers", 3),
        "cluster.min_workers=${cluster.num_workers}": ("cluster.min_workers", 3),
        "cluster=gpu_node": ("cluster.gpus_per_worker", 1.0),
        "notify.when=[failed]": ("notify.when", ["failed"]),
        "notify.url=null": ("notify.url", None),
        "tags=[a,1.5]": ("tags", ["a", "1.5"]),
    }
    flat = flatten(to_plain(_loaded(here, *typed)))
    assert {key: flat[key] for key, _ in typed.values()} == dict(typed.values())


def test_a_later_override_wins_and_beats_the_chosen_file(here: Path) -> None:
    job = _loaded(here, "cluster.num_workers=3", "cluster=gpu_node", "name=a", "name=b")
    assert (job.cluster.num_workers, job.cluster.gpus_per_worker, job.name) == (3, 1.0, "b")


@settings(max_examples=6)
@given(workers=st.integers(1, 99), gpus=st.integers(0, 8), note=st.text("ab {}:#,'\"", max_size=9))
def test_a_value_typed_is_the_value_in_the_job(
    tmp_path: Path, workers: int, gpus: int, note: str
) -> None:
    quoted = note.replace("'", "\\'")
    overrides = [f"cluster.num_workers={workers}", f"cluster.gpus_per_worker={gpus}"]
    job = _loaded(tmp_path, *overrides, f"note='{quoted}'")
    assert (job.cluster.num_workers, job.cluster.gpus_per_worker, job.note) == (workers, gpus, note)


# ----- mistakes


def test_every_mistake_is_collected_at_once_with_key_found_rule_and_try(here: Path) -> None:
    findings = _told(
        here,
        "clustr.num_workers=2",
        "cluster=gpu_nodes",
        "cluster.cpus_per_worker=-1",
        "code.max_bytes=5 parsecs",
        "probe.checks=[clock,storag]",
        "notify.url=ftp://x",
        "cluster.min_workers=0",
        "tags=[ok,-x]",
        "note=a,b",
        "hydra.run.dir=x",
        "~name",
        "nonsense",
    )
    assert sorted(finding.key for finding in findings) == sorted(
        [
            *("clustr.num_workers", "cluster", "cluster.cpus_per_worker", "code.max_bytes"),
            *("probe.checks", "notify.url", "cluster.min_workers", "tags[1]", "note"),
            *("hydra.run.dir", "name", ""),
        ]
    )
    assert all(finding.rule.endswith((".", ":")) for finding in findings)
    said = "\n".join(str(finding) for finding in findings)
    for sentence in (
        "clustr.num_workers is not a setting of probe. Try cluster.num_workers.",
        "cluster=gpu_nodes is not a file of conf/cluster/. Try gpu_node.",
        "cluster.cpus_per_worker=-1 must be above 0.",
        "probe.checks=storag is not a probe check. Try storage.",
        "note=a,b gives several values; a job takes one. Try note=[…]",
        "'nonsense' cannot be read as key=value",
        "hydra.run.dir is Hydra's own and has no effect here.",
        "name cannot be removed. Try name=null.",
    ):
        assert sentence in said


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("cluster.num_worker=2", "cluster.num_workers"),
        ("num_workers=2", "cluster.num_workers"),
        ("stop_grace=2", "cluster.stop_grace"),
        ("probe.check=[clock]", "probe.checks"),
        ("tag=[x]", "tags"),
    ],
)
def test_an_unknown_key_offers_the_one_that_was_meant(typed: str, near: str) -> None:
    _, (finding,) = check_overrides([typed], ProbeJob, GROUPS)
    assert finding.key == typed.partition("=")[0]
    assert near in finding.try_


@pytest.mark.parametrize(
    ("typed", "try_"),
    [
        ("corpus.sources.wiki.wieght=2", "corpus.sources.wiki.weight."),
        ("corpus.source.wiki.weight=2", "corpus.sources.wiki.weight."),
        ("sources.wiki.weight=2", "corpus.sources.NAME.weight."),
        ("weight=2", "corpus.sources.NAME.weight."),
        ("path=x", "corpus.path or corpus.sources.NAME.path or corpus.tokenizer.path."),
    ],
)
def test_an_unknown_key_below_a_name_offers_the_one_that_was_meant(typed: str, try_: str) -> None:
    texts, (finding,) = check_overrides([typed], PrepareJob, GROUPS)
    assert (texts, finding.try_) == ([], try_)


def test_keys_below_a_name_set_what_is_called_so(here: Path) -> None:
    overrides = ["corpus=wikipedia_bookcorpus", "corpus.sources.bookcorpus.weight=2"]
    job, findings = load("prepare", overrides, working_dir=here)
    assert findings == []
    assert isinstance(job, PrepareJob)
    weights = {name: source.weight for name, source in job.corpus.sources.items()}
    assert weights == {"wikipedia": 1, "bookcorpus": 2}
    changed, _ = change(job, ["corpus.sources.my-own.weight=3"], working_dir=here)
    assert changed is None
    changed, _ = change(job, ["corpus.sources.wikipedia.weight=3"], working_dir=here)
    assert isinstance(changed, PrepareJob)
    assert changed.corpus.sources["wikipedia"].weight == 3


def test_mistakes_below_a_name_are_told_with_it(here: Path) -> None:
    overrides = [
        *("corpus.sources.factbook.weight=0", "corpus.sources.own={kind: csv, path: [a.csv]}"),
        *("corpus.sources.own.delimiter=ab", "corpus.sources.other.kind=text"),
    ]
    _, findings = load("prepare", overrides, working_dir=here)
    assert {finding.key for finding in findings} == {
        *("corpus.sources.factbook.weight", "corpus.sources.own.delimiter"),
        "corpus.sources.other.path",
    }


@pytest.mark.parametrize(
    "typed",
    ["cluster=kubera", "cluster=null", "cluster=5", "cluster=[local,kuberay]", "cluster=a/b"],
)
def test_what_is_no_file_of_a_group_offers_those_that_are(typed: str) -> None:
    _, (finding,) = check_overrides([typed], ProbeJob, GROUPS)
    assert str(finding).startswith(f"{typed} is not a file of conf/cluster/. Try ")
    assert "kuberay" in finding.try_


@pytest.mark.parametrize(
    "typed", ["note=1,2", "name=a,b", "cluster=local,kuberay", "name=range(3)"]
)
def test_a_sweep_is_refused_because_a_job_is_one(typed: str) -> None:
    _, (finding,) = check_overrides([typed], ProbeJob, GROUPS)
    assert finding.key == typed.partition("=")[0]
    assert "a job takes one" in finding.rule


def test_an_interpolation_that_leads_nowhere_is_a_finding(here: Path) -> None:
    for typed in ("note=${nowhere}", "note='${oc.env:ORCHESTRATOR_NOT_SET}'"):
        (finding,) = _told(here, typed)
        assert "does not compose" in finding.rule


def test_a_kind_that_does_not_exist_is_refused_with_the_known_ones(here: Path) -> None:
    with pytest.raises(RequestError, match=r"prob is not a job\. Try probe\."):
        load("prob", [], working_dir=here)


WORDS = st.sampled_from(
    [
        *("cluster", "probe", "name", "note", ".", "num_workers", "local", "null", "5", "hydra"),
        *("=", "==", "+", "~", "@", "/", ",", "[", "]", "{", "}", ":", "${", "'", '"', "\\", " "),
        *("-", "é", "\n", "(", ")", "int(", "range(", "shuffle(", "%", "#", "???", "\x00", "*"),
    ]
)
TYPED = st.builds(str.__add__, st.sampled_from(["", "note="]), st.lists(WORDS).map("".join))


@given(TYPED)
def test_anything_typed_is_composed_or_told_never_both(typed: str) -> None:
    texts, findings = check_overrides([typed], ProbeJob, GROUPS)
    assert len(texts) + len(findings) == 1


@pytest.mark.slow
@settings(max_examples=12)
@given(TYPED)
def test_anything_typed_is_a_job_or_findings_never_an_exception(tmp_path: Path, typed: str) -> None:
    job, findings = load("probe", [typed], working_dir=tmp_path)
    assert (job is None) == bool(findings)
    if job is not None:
        assert thaw(freeze(job)) == job
    changed, findings = change(ProbeJob(), [typed], working_dir=tmp_path)
    assert (changed is None) == bool(findings)


@dataclass(frozen=True, kw_only=True)
class Free(ProbeJob):
    space: dict[str, Any] = setting("Free keys", factory=dict)


def test_keys_below_a_mapping_are_free_at_any_depth() -> None:
    texts, findings = check_overrides(["space.a=1", "space.b.c.d=1"], Free, {})
    assert findings == []
    assert texts == ["++space.a=1", "++space.b.c.d=1"]


# ----- the user's own conf/


def test_the_users_own_conf_comes_first(here: Path) -> None:
    _write(here / "conf/cluster/local.yaml", "num_workers: 7\n")
    assert _loaded(here).cluster.num_workers == 7
    _write(here / "conf/probe.yaml", "defaults: [_self_, {cluster: gpu_node}]\nname: mine\n")
    job = _loaded(here)
    assert (job.name, job.cluster.num_workers) == ("mine", 8)


def test_a_users_own_choice_stands_beside_ours(here: Path) -> None:
    _write(here / "conf/cluster/lab.yaml", "num_workers: 3\n")
    assert _loaded(here, "cluster=lab").cluster.num_workers == 3
    assert _loaded(here, "cluster=gpu_node").cluster.num_workers == 8
    (finding,) = _told(here, "cluster=labb")
    assert finding.try_ == "lab."


def test_a_users_own_experiment_sets_several_keys(here: Path) -> None:
    text = "# @package _global_\nname: night\nprobe: {repeats: 9}\n"
    _write(here / "conf/experiment/night.yaml", text)
    job = _loaded(here, "+experiment=night", "probe.repeats=3")
    assert (job.name, job.probe.repeats) == ("night", 3)


def test_one_working_directory_leaves_no_trace_in_the_next(here: Path) -> None:
    _write(here / "a/conf/cluster/local.yaml", "num_workers: 7\n")
    assert _loaded(here / "a").cluster.num_workers == 7
    assert _loaded(here / "b").cluster.num_workers == 1


def test_a_working_directory_may_have_any_name(here: Path) -> None:
    odd = here / "with space" / "a=b,c [x] ha#sh per%20cent" / "qu'ote ünï"
    _write(odd / "conf/cluster/lab.yaml", "num_workers: 3\n")
    assert _loaded(odd, "cluster=lab").cluster.num_workers == 3


@pytest.mark.parametrize(
    "text",
    [
        *("num_workers: [", "\tx: 1", "- a\n- b\n", "just words\n", "5\n", "clé: \xff\n"),
        *("x: ${nowhere}\n", "num_workers: 1\nnum_workers: 2\n", "defaults: [nope]\n"),
        *("defaults: 5\n", "!!python/object:os.system x\n", "num_wrokers: 2\n", "a: {b: !x 1}\n"),
    ],
)
def test_a_broken_file_of_the_users_own_is_a_finding(here: Path, text: str) -> None:
    path = here / "conf/cluster/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    (finding,) = _told(here, "cluster=mine")
    assert "conf/probe.yaml" in str(finding) or finding.key.startswith("cluster")
    assert "\n" not in str(finding)


def test_a_config_file_cannot_name_code_to_run(here: Path) -> None:
    text = f"_target_: pathlib.Path.touch\n_args_: [{here}/made]\n"
    _write(here / "conf/cluster/bad.yaml", text)
    assert {finding.key for finding in _told(here, "cluster=bad")} == {
        "cluster._target_",
        "cluster._args_",
    }
    assert not (here / "made").exists()


def test_a_users_extension_registers_names_that_settings_can_use(here: Path) -> None:
    text = "from orchestrator.settings.probe import CHECKS\nCHECKS.register('{0}', print)\n"
    _write(here / "checks_of_mine.py", text.format("mine-of-test-load"))
    (finding,) = _told(here, "probe.checks=[mine-of-test-load]")
    assert finding.key == "probe.checks"
    overrides = ("probe.checks=[mine-of-test-load]", "extensions=[checks_of_mine]")
    assert _loaded(here, *overrides).probe.checks == ("mine-of-test-load",)


# ----- secrets


@pytest.mark.parametrize(
    "typed",
    [
        *("note='x ${oc.env:PLANTED_TOKEN} y'", "tags=[a,'${oc.env:PLANTED_TOKEN}']"),
        *("notify.command=[curl,-H,'Auth: ${oc.env:PLANTED_TOKEN}']",),
        "notify.url='https://host/?t=${oc.env:PLANTED_TOKEN}'",
    ],
)
@pytest.mark.parametrize("secret", ["s3cr3t'va\\lue-línea-1\nb-2"])
def test_a_secret_in_the_settings_is_refused_by_the_name_of_its_variable(
    here: Path, monkeypatch: pytest.MonkeyPatch, typed: str, secret: str
) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", secret)
    said = [str(finding) for finding in _told(here, typed)]
    assert any("holds the value of the environment variable PLANTED_TOKEN" in text for text in said)
    assert not any(secret in text for text in said if "PLANTED_TOKEN" in text)


# ----- fork: a frozen job with overrides on top


def _changed(job: Job, here: Path, *overrides: str) -> Any:
    changed, findings = change(job, overrides, working_dir=here)
    assert [str(finding) for finding in findings] == []
    return changed


def test_nothing_typed_changes_nothing(here: Path) -> None:
    job = _loaded(here, "cluster=gpu_node", "note='é ☃'", "probe.hold=2h")
    assert _changed(job, here) == job


@given(st.text("ab$\\{}:. é", max_size=12), st.text("ab$\\{}", max_size=8))
def test_text_that_looks_like_an_interpolation_survives_a_change(
    tmp_path: Path, note: str, pattern: str
) -> None:
    job = ProbeJob(note=note, code=Code(exclude=(pattern,)))
    assert _changed(job, tmp_path, "name=x") == replace(job, name="x")


def test_a_change_of_one_key_is_what_loading_with_it_gives(here: Path) -> None:
    first = ["cluster.num_workers=4", "probe.repeats=2"]
    second = ["cluster.min_workers=2", "probe.hold=5m", "tags=[a,b]", "note=hi"]
    job = _loaded(here, *first)
    for override in second:
        job = _changed(job, here, override)
    assert job == _loaded(here, *first, *second)


def test_a_changed_group_choice_replaces_the_whole_node(here: Path) -> None:
    job = _loaded(here, "cluster=kuberay", "cluster.stop_grace=5")
    changed = _changed(job, here, "cluster=gpu_node", "cluster.num_workers=2")
    assert changed.cluster == _loaded(here, "cluster=gpu_node", "cluster.num_workers=2").cluster


def test_a_change_can_refer_to_what_the_job_has(here: Path) -> None:
    job = _loaded(here, "cluster.num_workers=4")
    changed = _changed(job, here, "cluster.min_workers=${cluster.num_workers}")
    assert changed.cluster.min_workers == 4


def test_all_mistakes_of_a_change_are_told_at_once(here: Path) -> None:
    overrides = ["clustr=x", "cluster.num_workers=0", "notify.url=ftp://x", "cluster=nope"]
    job, findings = change(ProbeJob(), overrides, working_dir=here)
    assert job is None
    assert sorted(finding.key for finding in findings) == [
        *("cluster", "cluster.num_workers", "clustr", "notify.url")
    ]


def test_an_interpolation_that_leads_nowhere_is_a_finding_of_a_change_too(here: Path) -> None:
    job, findings = change(ProbeJob(), ["note=${nowhere}"], working_dir=here)
    assert job is None
    assert len(findings) == 1


def test_a_secret_in_a_change_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", "s3cr3t-value-0123")
    job, findings = change(ProbeJob(), ["note=s3cr3t-value-0123"], working_dir=here)
    assert job is None
    assert "PLANTED_TOKEN" in str(findings[0])


def test_defaults_in_files_and_in_code_are_the_same_tree(here: Path) -> None:
    assert to_plain(_loaded(here)) == defaults_of(ProbeJob())
