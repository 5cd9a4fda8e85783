"""The review page in a browser: time from a key to the painted result, first page, memory, kills, undo, keys per photo.

    python -m bench.review --photos 100000 --people 1000 --keys 120 --kills 0 --actions 200 --settle 1000
    python -m bench.review --photos 400 --people 10 --keys 0 --kills 120 --actions 0 --settle 0
    python -m bench.review --photos 1000000 --people 10000 --keys 20 --kills 0 --actions 0 --settle 0

Protocol: a synthetic dataset (bench/synthetic.py) in at most 1,000 buckets, 1 photo in 80 doubtful, 1 in 50 a copy,
whose rows show 64 random pictures of 224 px. `curate review` runs in a process of its own, Chromium without a window
opens its address. A key is timed in the page: from the event until the frame is painted in which the counts show the
answer of the server. First page: from opening the address until all pictures in view are loaded. The first
`--keys` keys are pressed at the pace of a fast person, the others as fast as they are painted. Memory: resident set of
the server after all that. Kills: a client without a browser sends decisions, undos and redos as fast as they are
answered, SIGKILL ends the server 0 to 0.6 s after the first, and every answered one must be in the log and in
overrides.csv after a new start. Undo: random actions and as many undos, then overrides.csv must have the same bytes.
Keys: a script presses one of K, D and M at the photo in focus until `--settle` doubtful photos are decided, or none is
left.
"""

import argparse
import random
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench.review_dataset import generate
from bench.review_server import chromium, client, curate, forked, review
from curate.review.document import Cells, Document, Edit
from curate.review.log import DecisionLog

PACE = 0.2
"""Seconds between the keys of a fast person."""
TIMER = """
window.times = [];
addEventListener("keydown", (event) => {
  const began = event.timeStamp;
  const seen = new MutationObserver(() => {
    seen.disconnect();
    requestAnimationFrame(() => {
      const painted = new MessageChannel();
      painted.port1.onmessage = () => window.times.push(performance.now() - began);
      painted.port2.postMessage(0);
    });
  });
  // The counts change when the answer of the server is shown.
  seen.observe(document.getElementById("counts"), { childList: true });
}, true);
"""


WAIT = """
const [before, done] = arguments;
const end = performance.now() + 5000;
// Asked for in the page: a question from outside every few milliseconds would take the time that is measured.
const look = () => times.length > before || performance.now() > end ? done(times.length) : setTimeout(look, 4);
look();
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--keys", type=int, default=120)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--actions", type=int, default=200)
    parser.add_argument("--settle", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    parser.add_argument("--out", type=Path, help="keep the dataset in this folder, or use the complete one in it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "dataset"
        if not (out / "dataset.json").exists():
            generate(out, options.photos, options.people)
            subprocess.run(curate("decide", out), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print(f"{options.photos:,} photos of {options.people:,} people\n\n| figure | value |\n|---|---|", flush=True)
        if options.keys:
            in_a_browser(out, options.keys, options.settle)
        if options.actions:
            undone(out, options.actions)
        if options.kills:
            killed(out, options.kills, options.seed)


def in_a_browser(out: Path, keys: int, settle: int) -> None:
    """Print the figures of the page and of the server's memory."""
    with review(out) as server, chromium() as browser:
        row("`curate review` prints its address, s", f"{server.seconds:.1f}")
        row("first page, s", f"{first_page(browser, server.address):.2f}")
        browser.execute_script(TIMER)
        process = psutil.Process(server.process.pid)
        first, began, before = _open(browser), time.perf_counter(), process.cpu_times()
        pressed = _press(browser, keys, PACE)
        row(f"key to painted result, ms, a key each {PACE} s: median, 95%, maximum", _quantiles(browser, 0))
        while pressed < 2 * settle and (left := min(settle, first) - (first - _open(browser))) > 0:
            pressed += _press(browser, min(left, 50))
        if pressed > keys:
            row("the same, each key as soon as the one before is painted", _quantiles(browser, keys))
        seconds, after = time.perf_counter() - began, process.cpu_times()
        done = first - _open(browser)
        row("CPU of the server a key, ms", f"{1e3 * (sum(after[:2]) - sum(before[:2])) / max(pressed, 1):.1f}")
        row("keys", f"{pressed:,}")
        row("doubtful photos settled", f"{done:,}; {pressed / max(done, 1):.2f} keys each, {seconds:.0f} s")
        row("memory of the server, MB", f"{process.memory_info().rss / 1e6:.0f}")


def _press(browser: Any, keys: int, pace: float = 0.0) -> int:
    """Press K, D and M in turn, each when the one before is painted, and `pace` seconds after it; return `keys`."""
    body = browser.find_element("tag name", "body")
    settled = _settled(browser)
    for number in range(keys):
        began = time.perf_counter()
        body.send_keys("kdm"[number % 3])
        settled = _wait(browser, settled)
        time.sleep(max(0.0, began + pace - time.perf_counter()))
    return keys


def _quantiles(browser: Any, start: int) -> str:
    times = np.array(browser.execute_script("return window.times"))[start:]
    return ", ".join(f"{value:.0f}" for value in np.percentile(times, [50, 95, 100]))


def first_page(browser: Any, address: str) -> float:
    """Open the address; return the seconds until all pictures of the first screen in view are loaded."""
    began = time.perf_counter()
    browser.get(address)
    while time.perf_counter() - began < 60 and not browser.execute_script(
        "const all = [...document.querySelectorAll('.tile img')]; return all.length && all.every((image) =>"
        "image.complete || image.getBoundingClientRect().top > innerHeight)"
    ):
        time.sleep(0.01)
    return time.perf_counter() - began


def _open(browser: Any) -> int:
    text = browser.find_element("css selector", "#counts .open").text
    return int(re.sub(r"\D", "", text))


def _settled(browser: Any) -> int:
    return int(browser.execute_script("return window.times.length"))


def _wait(browser: Any, before: int) -> int:
    """Wait until the key has been answered and painted, or refused; return the number of painted keys."""
    return int(browser.execute_async_script(WAIT, before))


def undone(out: Path, actions: int) -> None:
    """Print whether random actions and as many undos give the same bytes."""
    with review(out) as server, client(server.address) as page:
        before = _written(out)
        rng = random.Random(0)
        done = 0
        photos, people = (
            page.get("/api/state").json()["photos"],
            len(page.get("/api/queue?queue=all").json()["screens"]),
        )
        while done < actions:
            rows = rng.sample(range(photos), rng.choice([1, 1, 5, 50]))
            body = {"by": "bench", "rows": rows, "identity": rng.randrange(people), "other": rng.randrange(people)}
            body["action"] = rng.choice(["keep", "drop", "move", "split", "reset", "not_copy", "join", "apart"])
            done += page.post("/api/act", json=body).status_code == 200
        changed = _written(out) != before
        undos = sum(page.post("/api/undo", json={"by": "bench"}).status_code == 200 for _ in range(actions))
    same = "same bytes" if (out / "overrides.csv").read_bytes() == before else "OTHER bytes"
    row("random actions, undone", f"{actions} ({'changed' if changed else 'unchanged'}), {undos}: {same}")


def _written(out: Path) -> bytes:
    time.sleep(3)  # overrides.csv is written soon after an action
    return (out / "overrides.csv").read_bytes()


def killed(out: Path, kills: int, seed: int) -> None:
    """Print how many answered decisions were lost in kills.

    The state of each photo is that of the last answer. An action that was not answered before the kill may be there or
    not: at most one entry of the log, whose photos are not compared.
    """
    rng = random.Random(seed)
    human: dict[str, str] = {}
    answered = lost = unanswered = entries = 0
    for _ in range(kills):
        with forked(out) as (process, address), client(address) as page:
            numbers: list[int] = []
            sender = threading.Thread(target=_send, args=(page, rng.randrange(10**9), human, numbers))
            sender.start()
            time.sleep(rng.uniform(0.0, 0.6))
            process.kill()
            sender.join()
        log = DecisionLog(out)  # as the next start does
        log.close()
        known = {entry.number for entry in log.entries}
        pending = [entry for entry in log.entries if entry.number > max([entries, *numbers])]
        entries = len(log.entries)
        touched = {cells[0] for entry in pending for cells in _cells(log.document, entry.edit)}
        verdicts = {line.cells[0]: line.cells[1] for line in log.document.lines if line.cells}
        answered += len(numbers)
        unanswered += len(pending)
        lost += len(set(numbers) - known) + max(len(pending) - 1, 0)
        lost += sum(verdicts.get(name, "") != verdict for name, verdict in human.items() if name not in touched)
        human.update((name, verdicts.get(name, "")) for name in touched)
    name = "kills with SIGKILL; answered actions, unanswered ones in the log, lost"
    row(name, f"{kills}; {answered:,}, {unanswered}, {lost}")


def _cells(document: Document, edit: Edit) -> list[Cells]:
    texts = [*edit.added, *(text for _, text in (*edit.removed, *edit.inserted))]
    return [cells for text in texts if (cells := document.line(text).cells)]


def _send(page: httpx.Client, seed: int, human: dict[str, str], numbers: list[int]) -> None:
    """Decide and undo until the server is gone; note each answer."""
    rng = random.Random(seed)
    while True:
        action = rng.choice(["keep", "drop", "reset", "keep", "drop", "undo", "redo"])
        body: dict[str, object] = {"by": "bench"}
        if action not in ("undo", "redo"):
            body |= {"rows": rng.sample(range(100), rng.choice([1, 1, 3])), "action": action}
        try:
            answer = page.post(f"/api/{action if action in ('undo', 'redo') else 'act'}", json=body)
        except httpx.HTTPError:  # killed
            return
        if answer.status_code == 200:
            change = answer.json()
            numbers.append(change["number"])
            human.update((tile["name"], tile["verdict"] if tile["human"] else "") for tile in change["tiles"])


def row(name: str, value: str) -> None:
    """Print a row of the table."""
    print(f"| {name} | {value} |", flush=True)


if __name__ == "__main__":
    main()
