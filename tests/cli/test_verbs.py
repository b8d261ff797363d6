"""What people type and what they get back: a few lines, the right exit code, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.api import Orchestrator, Run
from orchestrator.cli.main import VERBS, run
from orchestrator.cluster.place import Place

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with an empty storage, and no local cluster."""
    project = tmp_path / "project"
    (project / "jobs").mkdir(parents=True)
    (project / "jobs" / "probe.py").write_text("print('hello from the job')\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", str(tmp_path / "runs"))
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("ORCHESTRATOR_DEBUG", raising=False)
    return project


@pytest.fixture
def made(home: Path) -> Run:
    """A run that has ended (its script says nothing, so it failed)."""
    orchestrator = Orchestrator()
    return orchestrator.run(orchestrator.plan("probe", place=Place.HERE), say=lambda _: None)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("plan prob", 2, "prob is not a job. Try probe."),
        ("plan probe cluster.num_wrkers=2", 2, "Try cluster.num_workers."),
        ("plan probe cluster=locl", 2, "Try local."),
        ("run probe cluster.num_workers=two", 2, "is not a number such as"),
        ("run probe cluster.num_workers=4096", 2, "cannot grow"),
        ("submit probe", 3, "orchestrator cluster up"),
        ("submit probe cluster.address=http://127.0.0.1:9", 3, "nobody listens there"),
        ("submit probe cluster.address=ray://head:10001", 2, "must be the dashboard's URL"),
        ("status nosuch", 6, "No run in"),
        ("status @last", 6, "There is no run"),
        ("status ../../etc/passwd", 2, "cannot name a run"),
        ("status /etc", 2, "cannot name a run"),
        ("logs -f nosuch", 6, "No run in"),
        ("stop nosuch", 6, "No run in"),
        ("resume nosuch", 6, "No run in"),
        ("delete nosuch --yes", 6, "No run in"),
        ("cluster status", 6, "No local cluster is up"),
        ("list --storage s3://user:secret-word@bucket/runs", 2, "holds credentials"),
        ("list --storage s3:///runs", 2, "cannot be opened"),
        ("prune --older-than soon", 2, "--older-than=soon is not a number"),
        ("prune --older-than=-1d", 2, "is less than nothing"),
        ("plan probe --address localhost", 2, "must be the dashboard's URL"),
        ("nonsense", 2, "No such command"),
        ("run", 2, "Missing argument"),
    ],
)
def test_a_mistake_gets_its_exit_code_and_a_few_lines(
    home: Path, capfd: pytest.CaptureFixture[str], words: str, code: int, said: str
) -> None:
    assert run(words.split()) == code
    output, errors = capfd.readouterr()
    assert said in errors
    assert "Traceback" not in output + errors
    assert "secret-word" not in output + errors
    assert len(errors.splitlines()) <= 8
    assert not (home.parent / "runs").exists(), "a refused request leaves nothing behind"


def test_two_matches_are_listed(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    orchestrator = Orchestrator()
    plan = orchestrator.plan("probe", place=Place.HERE)
    ids = [orchestrator.create(plan).id for _ in range(2)]
    assert run(["status", "probe"]) == 6
    errors = capfd.readouterr().err
    assert all(id_ in errors for id_ in ids)


def test_the_traceback_is_there_for_whoever_asks(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", "nosuch", "--debug"]) == 6
    assert "Traceback" in capfd.readouterr().err


SAID = "[/w/pair.cc:144] peer [rank0] is gone"


@pytest.mark.parametrize("verb", ["status", "events", "list"])
def test_what_is_said_of_a_run_may_have_brackets(
    made: Run, capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    made.folder.note("failed", attempt=made.status().attempt, reason=SAID)
    assert run(["note", "@last", *SAID.split()]) == 0
    capfd.readouterr()
    assert run([verb, *([] if verb == "list" else ["@last"])]) == 0
    assert SAID in capfd.readouterr().out


READERS = ("list", "status", "events", "metrics", "plan", "diff", "doctor", "prune")


@pytest.mark.parametrize("verb", READERS)
def test_everything_that_reads_answers_in_json(
    made: Run, capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    arguments = {"plan": ["probe"], "diff": [made.id, made.id]}.get(verb, [])
    if verb in ("status", "events", "metrics"):
        arguments = ["@last"]
    run([verb, *arguments, "--json"])
    answer = json.loads(capfd.readouterr().out)
    assert answer["schema"] == f"orchestrator.{verb}/1"


def test_a_run_in_the_foreground_shows_its_output_and_exits_with_its_code(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", "probe"]) == 1
    output = capfd.readouterr().out
    assert "hello from the job" in output and " failed" in output
    assert run(["logs", "@last"]) == 0
    assert capfd.readouterr().out == "hello from the job\n"
    assert run(["logs", "-f", "@last"]) == 1


def test_tags_and_notes_are_kept_and_can_be_searched(
    made: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["tag", "@last", "best", "draft"]) == 0
    assert run(["tag", "@last", "--remove", "draft"]) == 0
    assert run(["note", "@last", "first", "light"]) == 0
    capfd.readouterr()
    run(["list", "--tag", "best", "--json"])
    [listed] = json.loads(capfd.readouterr().out)["runs"]
    assert (listed["run"], listed["tags"], listed["notes"]) == (made.id, ["best"], ["first light"])
    run(["list", "--tag", "draft", "--json"])
    assert json.loads(capfd.readouterr().out)["runs"] == []
    assert run(["tag", "@last", "two words"]) == 2


def test_a_fork_has_its_overrides_and_names_its_parent(
    made: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    run(["fork", made.id, "probe.repeats=7"])
    child = Orchestrator().find("@last")
    assert child.id != made.id
    assert child.folder.lineage()["parent"]["run"] == made.id
    capfd.readouterr()
    run(["diff", made.id, child.id, "--json"])
    changed = json.loads(capfd.readouterr().out)["settings"]
    assert changed == {"probe.repeats": {"a": 5, "b": 7}}
    assert run(["fork", made.id, "--checkpoint", "400"]) == 6
    assert "no checkpoint of step 400; it has none" in capfd.readouterr().err


def test_nothing_is_deleted_without_a_yes(made: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["delete", made.id]) == 2
    assert run(["prune", "--keep", "0", "--older-than", "0s"]) == 0
    assert "1 would be deleted" in capfd.readouterr().out
    assert made.folder.exists()
    assert run(["prune", "--keep", "0", "--older-than", "0s", "--yes"]) == 0
    assert not made.folder.exists()


def test_logs_follow_from_where_they_were(made: Run) -> None:
    """A follower that reads while another attempt writes gets every line once, in order."""
    job = Path.cwd() / "jobs" / "probe.py"
    job.write_text("import time\nfor i in range(40): print(i, flush=True); time.sleep(0.05)\n")
    seen: list[str] = []
    follower = threading.Thread(target=lambda: seen.extend(followed(made)))
    follower.start()
    made.resume(code_from=Path.cwd(), say=lambda _: None)
    follower.join()
    expected = ["hello from the job", *map(str, range(40))]
    assert seen == expected
    assert list(made.logs()) == expected


def followed(run: Run) -> list[str]:
    """From when the second attempt is under way: before, the run is over."""
    while run.status().attempt < 2:
        time.sleep(0.01)
    words = [sys.executable, "-m", "orchestrator", "logs", "-f", run.id]
    return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout.splitlines()


def test_what_only_looks_imports_no_framework(home: Path) -> None:
    """In a process of its own, through everything that is imported on the way."""
    code = (
        "import sys; from orchestrator.cli.main import run;"
        "codes = [run([*verb.split(), '--json']) for verb in ('plan probe', 'list', 'doctor')];"
        "heavy = {'ray', 'torch', 'deepspeed', 'transformers', 'datasets', 'wandb'};"
        "print(codes, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(home)},  # doctor looks at the token of whose home it is
    )
    assert done.stderr.splitlines()[-1] == "[0, 0, 0] []", done.stderr


def test_every_verb_explains_itself(home: Path) -> None:
    for verb in VERBS:
        assert run([verb, "--help"]) == 0


def test_python_by_hand_is_the_same_as_the_verb(home: Path) -> None:
    jobs = Path(__file__).resolve().parents[2] / "jobs"
    done = subprocess.run(
        [sys.executable, str(jobs / "probe.py"), "cluster.num_wrkers=2"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Try cluster.num_workers." in done.stderr and "Traceback" not in done.stderr
