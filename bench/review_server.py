"""A running `curate review` for `bench.review`, and what talks to it: a client and a browser."""

import multiprocessing
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
from selenium import webdriver

from curate.review.review import ReviewRequest
from curate.review.review import run as run_review


@dataclass
class Server:
    """A running `curate review`: its process, its address with the token, and how long it took to print it."""

    process: "subprocess.Popen[str]"
    address: str
    seconds: float


@contextmanager
def review(out: Path) -> Iterator[Server]:
    """Context manager: a running server, which ends with Ctrl-C."""
    began = time.perf_counter()
    process = subprocess.Popen(curate("review", out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://\S+", line)
        if found:
            break
    else:
        raise RuntimeError("curate review ended without an address")
    try:
        yield Server(process, found[0], time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        process.stdout.close()


class _Address:
    """A listener that sends the lines that the command prints."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def start(self, step: str, total: int | None, unit: str = "photos", done: int = 0) -> None: ...
    def advance(self, count: int = 1) -> None: ...
    def finish(self) -> None: ...
    def note(self, message: str) -> None:
        self._pipe.send(message)


def _serve(out: Path, pipe: Connection) -> None:
    run_review(ReviewRequest(out), _Address(pipe))


@contextmanager
def forked(out: Path) -> Iterator[tuple[BaseProcess, str]]:
    """Context manager: a server in a process that is forked, which saves the imports, and its address; to be killed."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(out, sender))
    process.start()
    sender.close()
    try:
        while (found := re.search(r"http://\S+", receiver.recv())) is None:
            pass
        yield process, found[0]
    finally:
        process.kill()
        process.join()


@contextmanager
def client(address: str) -> Iterator[httpx.Client]:
    """Context manager: a client with the cookie."""
    origin = address.partition("/?")[0]
    with httpx.Client(base_url=origin, headers={"Origin": origin}, follow_redirects=True, timeout=60) as page:
        page.get(address)
        yield page


@contextmanager
def chromium() -> Iterator[Any]:
    """Context manager: a browser without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--window-size=1200,900",
    ):  # fmt: skip
        options.add_argument(flag)
    browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        yield browser
    finally:
        browser.quit()


def curate(*arguments: object) -> list[str]:
    """Return the command line of `curate`."""
    return [sys.executable, "-m", "curate.cli", *map(str, arguments)]
