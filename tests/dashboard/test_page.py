"""The page in a real browser. With DASHBOARD_PICTURES=docs/images it also takes the pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.runs.folder import RunFolder, create_run
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.plan import Plan
from orchestrator.runs.samples import write_samples
from orchestrator.runs.storage import open_storage
from orchestrator.tracking.metrics import MetricsWriter
from tests.dashboard.browser import Browser, browsing
from tests.dashboard.making import Attempt, Script, gallery, make
from tests.dashboard.serving import TOKEN, serving
from tests.dashboard.sweeping import ID, make_sweep

pytestmark = pytest.mark.browser
MASKED = {
    "pieces": [" [CLS]", " the", " [MASK]", " rises", " in", " the", " eastern", " [MASK]", " ."],
    "masked": [
        [2, " river", [[" river", 0.61], [" sun", 0.2], [" water", 0.04]]],
        [7, " hills", [[" part", 0.18], [" hills", 0.11], [" coast", 0.1]]],
    ],
}
LIVE = "20261121-031522-live-aaaa"
PICTURES = os.environ.get("DASHBOARD_PICTURES")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsing() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("team") / "runs"


@pytest.fixture(scope="module")
def ids(folder: Path) -> list[str]:
    storage = open_storage(folder)
    found = gallery(storage, others=12)
    write_samples(RunFolder(storage, found[0]).storage, step=900, samples=[MASKED])
    make_sweep(storage)
    return found


@pytest.fixture(scope="module")
def address(folder: Path, ids: list[str]) -> Iterator[str]:
    with serving(str(folder)) as served:
        yield f"http://127.0.0.1:{served.server.port}"


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Browser]:
    """After each test: no script failed, and nothing was asked of any other host."""
    chromium.base = address
    chromium.size(1280, 900)
    chromium.theme("light")
    yield chromium
    assert chromium.complaints() == []
    assert chromium.hosts() <= {chromium.base.removeprefix("http://")}


@pytest.fixture
def sweep(page: Browser) -> Browser:
    page.open(f"#/run/{ID}")
    page.until("document.querySelector('.importance')?.dataset.ready === 'yes'")
    return page


def picture(page: Browser, name: str) -> None:
    if PICTURES:
        page.ask("document.activeElement.blur()")
        page.ask("document.getElementById('where').textContent = './runs'")  # of no machine
        page.picture(Path(PICTURES) / f"{name}.png")


def rows(page: Browser) -> list[str]:
    return page.texts(".runs-table td.id a")


def draws(page: Browser, metric: str, **what: int) -> None:
    facts = "".join(f" && chart.dataset.{name} >= {least}" for name, least in what.items())
    page.until(
        f"(() => {{ const chart = document.querySelector('[data-metric=\"{metric}\"]');"
        f" return chart?.dataset.ready === 'yes'{facts}; }})()"
    )


def test_all_runs_are_listed_newest_first(page: Browser, ids: list[str], folder: Path) -> None:
    page.open()
    assert rows(page)[:4] == [ID, *ids[::-1]]
    assert len(rows(page)) == 16
    assert page.texts("#where") == [str(folder)]
    picture(page, "runs")


def test_a_run_is_found_by_words_and_opened_from_the_keyboard(
    page: Browser, ids: list[str]
) -> None:
    page.open()
    page.press("/")
    page.press("tag:keep pretrain")
    assert rows(page) == [ids[1]]
    page.press("\ue00c")  # Escape leaves the field
    page.press("j")
    page.press("\ue007")
    page.until(f"location.hash === '#/run/{ids[1]}'")
    assert page.until("document.querySelector('h1')?.innerText").startswith(ids[1])


def test_rows_are_filtered_sorted_and_grouped(page: Browser) -> None:
    page.open()
    page.click('[data-name="failed"]')
    assert set(page.texts(".runs-table td.state")) == {"failed"}
    page.click('[data-name="all"]')
    page.click('th[data-key="loss"] button')
    losses = list(map(float, filter(None, page.texts(".runs-table td.loss"))))
    assert losses == sorted(losses, reverse=True)
    page.click('th[data-key="loss"] button')
    assert list(map(float, filter(None, page.texts(".runs-table td.loss")))) == losses[::-1]
    page.find("select").send_keys("model")
    groups = page.texts(".runs-table tr.group")
    assert sorted(text.split(" ")[0] for text in groups) == ["bert", "none", "roberta"]
    page.open("#/runs?q=nothing+like+it")
    assert page.texts(".runs-table td.none") == ["No run fits."]


def test_a_run_is_drawn_with_its_attempts_and_faults(page: Browser, ids: list[str]) -> None:
    page.open(f"#/run/{ids[1]}")
    draws(page, "train/loss", rows=900, series=1, marks=6)
    assert len(page.texts(".chart")) == 4
    assert "resumed attempt 2, step 300: from step 300, 40 steps lost" in "\n".join(
        page.texts(".marks li")
    )
    spent = dict(text.split("\n")[:2] for text in page.texts(".legend div"))
    assert set(spent) >= {"useful", "waiting", "starting", "repeated", "checkpointing"}


def test_another_run_is_laid_over_it(page: Browser, ids: list[str]) -> None:
    page.open(f"#/run/{ids[1]}?smooth=0.9")
    page.find('[aria-label="Overlay a run"]').send_keys(f"{ids[0]}\n")
    draws(page, "train/loss", series=2)
    assert ids[0] in page.ask("new URLSearchParams(location.hash.split('?')[1]).get('with')")
    picture(page, "run")
    page.theme("dark")
    picture(page, "run-dark")


def test_axes_and_scale_are_keys_and_stay_in_the_address(page: Browser, ids: list[str]) -> None:
    page.open(f"#/run/{ids[0]}")
    draws(page, "train/loss")
    for axis in ("tokens", "time"):
        page.press("a")
        page.until(f"location.hash.includes('axis={axis}')")
    page.press("l")
    page.open(page.until("location.hash.includes('log=1') && location.hash"))
    draws(page, "train/loss")
    assert page.texts('.segments [aria-pressed="true"]') == ["time"]


def test_a_part_that_is_dragged_over_is_drawn_closer(page: Browser, ids: list[str]) -> None:
    page.open(f"#/run/{ids[0]}")
    draws(page, "train/loss", rows=900)
    page.drag('[data-metric="train/loss"] .u-over', 100)
    page.until("document.querySelector('[data-metric=\"train/loss\"]').dataset.rows < 300")
    page.double_click('[data-metric="train/loss"] .u-over')
    draws(page, "train/loss", rows=900)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("system", "cpu"),
        ("checkpoints", "committed"),
        ("settings", "optim.lr"),
        ("lineage", "0123456789ab on main"),
        ("events", "checkpoint_quarantined"),
        ("logs", "step 1/200"),
    ],
)
def test_every_part_of_a_run_shows_what_it_has(
    page: Browser, ids: list[str], part: str, words: str
) -> None:
    page.open(f"#/run/{ids[1]}")
    number = ["curves", "system", "checkpoints", "settings", "lineage", "events", "logs"].index(
        part
    )
    page.press(str(number + 1))
    page.until(f"document.querySelector('.part')?.innerText.includes({words!r})")


def test_a_live_run_is_drawn_as_it_writes(
    page: Browser, folder: Path, ids: list[str], plan: Plan
) -> None:
    run = create_run(open_storage(folder), LIVE, plan)
    try:
        with (
            closing(Ledger(run.storage, attempt=1, writer="driver")) as ledger,
            closing(MetricsWriter(run.storage, attempt=1, writer="rank-000")) as metrics,
        ):
            ledger.record("attempt_started")
            ledger.record("running")
            page.open(f"#/run/{LIVE}")
            assert "No metrics yet." in page.texts(".part")[0]
            for step in range(1, 31):
                metrics.write(step, {"train/loss": 10 / step}, tokens=step)
                if step in (3, 30):
                    draws(page, "train/loss", rows=step)
            page.until("document.querySelector('[data-fact=loss]').innerText.includes('0.3333')")
            ledger.record("finished")
            page.until("document.querySelector('h1 .state').innerText === 'finished'")
    finally:
        open_storage(folder).remove(LIVE)


def test_only_who_has_the_token_can_stop_a_run(page: Browser, tmp_path: Path) -> None:
    attempts = [Attempt(first=1, last=5, ended="running")]
    run = make(open_storage(tmp_path), Script(number=1, attempts=attempts))
    with serving(str(tmp_path)) as served:
        page.base = f"http://127.0.0.1:{served.server.port}"
        page.open(f"#/run/{run.id}")
        assert page.ask("document.querySelector('.actions button').disabled")
        page.ask(
            f"fetch('/api/runs/{run.id}/stop', {{ method: 'POST' }})"
            ".then((answer) => { document.title = answer.status; })"
        )
        page.until("document.title === '403'")
        assert run.events()[-1].kind == "running"
        page.open(f"#token={TOKEN}")
        assert TOKEN not in page.ask("location.href")
        page.open(f"#/run/{run.id}")
        page.click(".actions button")
        assert run.events()[-1].kind == "running", "it asks first"
        page.click(".actions button")
        page.wait(lambda: run.events()[-1].kind == "stop_requested", "stop_requested")


def test_runs_that_are_chosen_are_compared(page: Browser, ids: list[str]) -> None:
    page.open()
    for key in "jjxjjxc":
        page.press(key)
    page.until("location.hash.startsWith('#/compare')")
    draws(page, "train/loss", series=2)
    assert "optim.lr" in page.texts('[data-table="settings"]')[0]
    assert "train/loss" in page.texts('[data-table="first"]')[0]
    picture(page, "compare")


def test_a_sweep_is_sorted_and_leads_to_its_trials_and_back(sweep: Browser) -> None:
    assert len(sweep.texts(".trials tbody tr")) == 12
    values = sweep.texts(".trials tbody tr td:nth-child(3)")
    assert sweep.texts('[data-fact="best accuracy"] dd') == values[:1]
    sweep.click('.trials th[data-key="optim.lr"] button')
    rates = list(map(float, sweep.texts(".trials tbody tr td:nth-child(6)")))
    assert rates == sorted(rates)
    assert sweep.ask("location.hash").endswith("?sort=optim.lr")
    sweep.click(".leaderboard .chip")
    assert len(sweep.texts(".trials tbody tr")) == 30
    first = sweep.texts(".trials tbody tr td.trial a")[0]
    sweep.press("j")
    sweep.press("\ue007")
    sweep.until(f"location.hash === '#/run/{ID}~{first}'")
    assert sweep.until("document.querySelector('h1')?.innerText").startswith(f"trial {first}")
    draws(sweep, "eval/accuracy", series=1)
    sweep.press("2")
    sweep.until("document.querySelectorAll('.examples tbody tr').length === 3")
    assert sweep.texts('.examples [data-right="false"] td.said') == ["positive"]
    sweep.press("\ue00c")  # Escape
    sweep.until(f"location.hash === '#/run/{ID}' && document.querySelector('.trials')")


def test_settings_and_values_of_trials_are_pictured_together(sweep: Browser) -> None:
    assert sweep.ask("document.querySelector('.sweep-curves').dataset.series") == "29"
    assert len(sweep.texts(".parallel .axis")) == 6
    assert sweep.texts(".weight code")[0] == "optim.lr"
    assert "10 trials" in sweep.texts(".importance")[0]
    sweep.find('[data-axis="x"]').send_keys("batch.examples")
    sweep.until("document.querySelector('.scatter').dataset.axes === 'batch.examples accuracy'")
    assert len(sweep.texts(".dot")) == 29, "one has no value"
    sweep.drag_along(".parallel .axis .handle", 60)
    kept = sweep.until("30 - document.querySelectorAll('.parallel .out').length")
    assert 0 < kept < 30
    assert sweep.ask("29 - document.querySelectorAll('.dot.out').length") in (kept, kept - 1)
    sweep.click(".parallel-chart .chip")
    sweep.until("document.querySelectorAll('.out').length === 0")
    sweep.hover(".dot[data-trial='12']")
    sweep.until("document.querySelector('.line.hot')?.dataset.trial === '12'")
    assert sweep.texts(".trials tr.at td.trial") == ["0012"]
    assert sweep.texts(".pointed")[0].startswith("trial 0012, finished: accuracy 0.88")
    sweep.theme("dark")
    sweep.size(1280, 1500)
    sweep.ask("scrollTo(0, 0)")
    picture(sweep, "sweep-dark")
    sweep.theme("light")
    picture(sweep, "sweep")


def test_masked_words_are_shown_with_what_the_model_says(page: Browser, ids: list[str]) -> None:
    page.open(f"#/run/{ids[0]}")
    page.press("2")
    page.until("document.querySelector('.sample')")
    assert page.texts(".hole b") == ["river", "hills"]
    assert page.texts(".hole rt") == ["river", "part"]
    assert page.texts(".sample-card figcaption") == ["9 tokens, 1 of 2 masked ones right"]


def test_nothing_yet_nothing_there_and_no_answer_are_told(
    page: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))  # where no cluster is known
    with serving(str(tmp_path / "none")) as served:
        page.base = f"http://127.0.0.1:{served.server.port}"
        page.open()
        assert "No runs yet." in page.texts("main")[0]
        page.driver.get(f"{page.base}/#/run/20261120-090000-pretrain-9999")
        page.until("document.querySelector('main').innerText.includes('There is no run')")
        page.open("#/cluster")
        assert "No cluster is known." in page.texts("main")[0]
        page.open("#/compare")
        assert "Choose two runs or more." in page.texts("main")[0]
    page.until("document.getElementById('link').dataset.state === 'lost'")


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_readable_narrow_and_wide_light_and_dark(
    page: Browser, ids: list[str], width: int, theme: str
) -> None:
    page.size(width, 900)
    page.theme(theme)
    sweep = (f"#/run/{ID}", f"#/run/{ID}~0007/samples", f"#/run/{ids[0]}/samples")
    compare = f"#/compare?runs={ids[0]},{ids[1]}"
    for place in ("#/runs", f"#/run/{ids[1]}", compare, "#/cluster", *sweep):
        page.open(place)
        assert page.ask("document.documentElement.scrollWidth") <= width, place
        ink, paper = (
            page.ask(f"getComputedStyle(document.documentElement).{name}")
            for name in ("color", "backgroundColor")
        )
        assert (luminance(ink) < luminance(paper)) == (theme == "light")
        assert contrast(ink, paper) > 7
    if width == 400:
        page.open("#/runs")
        picture(page, f"narrow-{theme}")


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
