"""A real headless Chromium: opens pages, presses keys, and tells every request that it made."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-extensions"),
    # Whatever a page would ask of another host fails at once.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
_PATIENCE_S = 30.0


class Browser:
    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.base = ""
        self._complaints: list[str] = []

    def size(self, width: int, height: int) -> None:
        what = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", what)

    def theme(self, name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, place: str = "#/runs") -> None:
        """A fresh page each time, shown and drawn."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.base}/{place}")
        self.until("document.getElementById('main')?.dataset.ready === 'yes'")

    def ask(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")

    def until(self, script: str) -> Any:
        """What the expression gives as soon as it is something."""
        return self.wait(lambda: self.ask(script), script)

    def wait(self, holds: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + _PATIENCE_S
        while not (found := holds()):
            if time.monotonic() > deadline:
                text = self.ask("document.body.innerText")
                raise AssertionError(f"never: {what}\n{text}\n{self.complaints()}")
            time.sleep(0.03)
        return found

    def press(self, *keys: str) -> None:
        self._actions().send_keys(*keys).perform()

    def drag(self, selector: str, right: int) -> None:
        begun = self._actions().move_to_element(self.find(selector)).click_and_hold()
        begun.move_by_offset(right, 0).release().perform()

    def drag_along(self, selector: str, down: int) -> None:
        begun = self._actions().move_to_element(self.find(selector)).click_and_hold()
        begun.move_by_offset(0, down).release().perform()

    def hover(self, selector: str) -> None:
        self._actions().move_to_element(self.find(selector)).perform()

    def double_click(self, selector: str) -> None:
        self._actions().double_click(self.find(selector)).perform()

    def _actions(self) -> Any:
        from selenium.webdriver import ActionChains

        return ActionChains(self.driver)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.ask(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.innerText)"
        )
        return found

    def complaints(self) -> list[str]:
        """Errors of scripts and of the content policy; answers that refuse are none."""
        self._complaints += [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and "Failed to load resource" not in entry["message"]
        ]
        return self._complaints

    def hosts(self) -> set[str]:
        """All that any page asked for since the browser began."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                params = message["params"]
                found.add(urlsplit(params.get("url") or params["request"]["url"]).netloc)
        return found - {""}

    def picture(self, path: Path) -> None:
        time.sleep(0.3)  # what moves has come to rest
        path.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(path))


@contextmanager
def browsing() -> Iterator[Browser]:
    """Skips where there is no Chromium, no driver for it or no Selenium."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    service = pytest.importorskip("selenium.webdriver.chrome.service")
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    chauffeur = shutil.which("chromedriver")
    if program is None or chauffeur is None:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = program
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=service.Service(chauffeur))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
