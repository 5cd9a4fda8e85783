"""The page in a real browser: keys decide, what they decide survives a kill, two windows agree, names are inert."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, command

webdriver = pytest.importorskip("selenium.webdriver")
pytest.importorskip("starlette")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")

WAIT = 60.0
CONTROL, SHIFT = "\ue009", "\ue008"
"""Keys of WebDriver that are held while the others are pressed."""


@contextmanager
def server(dataset: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A running `curate review` and its address."""
    process = subprocess.Popen(command("review", dataset), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
        try:
            yield process, address
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            process.wait()


@contextmanager
def window(address: str) -> Iterator[Any]:
    """A browser without a window, at the address."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--window-size=1200,900",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        browser.get(address)
        until(lambda: text(browser, "title"))
        yield browser
    finally:
        browser.quit()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "the page does not get there"
        time.sleep(0.02)


def text(browser: Any, name: str) -> str:
    return str(browser.find_element("id", name).get_attribute("textContent"))


def press(browser: Any, *keys: str) -> str:
    """Press keys; return what the page then says."""
    browser.execute_script("document.getElementById('toast').textContent = ''")
    browser.find_element("tag name", "body").send_keys(*keys)
    until(lambda: text(browser, "toast"))
    return text(browser, "toast")


def test_a_review_in_two_windows_and_a_kill(dataset: Path) -> None:
    with server(dataset) as (process, address), ExitStack() as stack:
        kept = dataset / "review" / "address"
        assert (kept.read_text(), kept.stat().st_mode & 0o777) == (address, 0o600)
        first, second = (stack.enter_context(window(address)) for _ in range(2))
        assert "token" not in first.current_url
        before = text(second, "counts")
        assert press(first, "d") == "Dropped: 1 photo · U undoes"
        until(lambda: text(second, "toast") == "Another window: Dropped: 1 photo")
        assert text(second, "counts") == text(first, "counts") != before
        assert press(second, "u").startswith("nothing to undo")
        assert press(first, "u") == "Undone: 1 photo"
        assert text(first, "counts") == before
        assert press(first, SHIFT, "u") == "Redone: 1 photo"
        assert press(first, CONTROL, "z") == "Undone: 1 photo"
        assert press(first, CONTROL, "y") == "Redone: 1 photo"
        assert text(first, "counts") != before
        assert not [entry for entry in first.get_log("browser") if entry["source"] != "network"]
        os.kill(process.pid, signal.SIGKILL)
    with server(dataset) as (_, address), window(f"{address}#decided") as again:
        assert again.find_element("css selector", ".tile.is-drop.human")
    lines = (dataset / "overrides.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["drop"]


def test_the_page_opens_on_a_queue_with_something_to_decide(dataset: Path) -> None:
    doubtful = ["anna/4.jpg", "anna/5.jpg", "carla/3.jpg", '"=<b>""x/0.jpg"']
    lines = "".join(f"{image_id},keep\n" for image_id in doubtful)
    (dataset / "overrides.csv").write_text(f"image_id,verdict\n{lines}")
    with server(dataset) as (_, address), window(address) as browser:
        assert text(browser, "title") == "carla | dora"
        assert browser.current_url.endswith("#pairs")
        assert press(browser, "x") == "Two persons · the queue is finished · U undoes"


def test_an_address_without_a_queue_and_a_person_that_is_searched(dataset: Path) -> None:
    with server(dataset) as (_, address), window(f"{address}#filter:shoe_size > 40") as browser:
        until(lambda: "shoe_size" in text(browser, "toast"))
        first = text(browser, "title")
        browser.find_element("tag name", "body").send_keys("n")
        until(lambda: text(browser, "title") != first)
        browser.find_element("tag name", "body").send_keys("p")
        until(lambda: text(browser, "title") == first)
        browser.find_element("id", "person").send_keys("dor")
        until(lambda: browser.find_elements("css selector", "#person + div .person"))
        browser.find_element("css selector", "#person + div .person").click()
        assert press(browser, "m") == "Moved: 1 photo to dora · U undoes"
