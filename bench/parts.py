"""Past one machine: kills of parts, photos that are added later, and the listing of millions of files.

    python -m bench.parts kills [--kills 100] [--seed 0]
    python -m bench.parts ray [--kills 20] [--seed 0]
    python -m bench.parts added [--photos 100000]
    python -m bench.parts listing [--files 3300000]

Protocol. Networks are stubs (`bench.stub_networks`) whose results depend on a photo's bytes alone, so that a run is
listing, shards, locks and files. Photos are hard links of a few files, in one folder per person.

- kills: 12 shards of 96 photos. An undisturbed run of one process is expected. In each trial, 2 processes measure parts
  of n = 1, 3 or 7, drawn anew for each process (so that shards are measured by two at once), and are killed (SIGKILL or
  SIGINT) after a random time. After four trials parts of another n run to their end, and every table must be as
  expected, byte by byte; no unfinished file is left.
- ray: the same shards on a local Ray cluster of two workers, of which one is killed (SIGKILL) after random times, again
  and again; every table must be as expected.
- added: all photos are measured (stub); then one is added, and the same command measures it. CPU seconds and wall clock
  of both; the share that counts has the true cost of a photo, 40 ms of CPU, in the first run.
- listing: `curate plan`, then the plan of a part from the frozen listing, each in a new process: wall clock, CPU and
  peak memory.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from bench.stub_networks import open_worker
from curate.engines.engine import Advance, WorkerDied
from curate.measure import measure
from curate.measure.job import MeasureJob, Shard
from curate.measure.measure import freeze, plan
from curate.measure.part import Part
from curate.measure.request import MeasureRequest, recorded_request
from curate.program import Interrupted
from manifests.partials import is_temporary

_CPU_PER_PHOTO = 0.040  # seconds, of `curate clean` with the built-in networks


def make_photos(root: Path, people: int, photos: int) -> None:
    """Write `people` folders of hard links of 60 small files, `photos` in all."""
    originals = root.parent / "originals"
    originals.mkdir(parents=True)
    for number in range(60):
        # No photo: the stub does not decode. A file system allows some 60,000 links of one file.
        for copy in range(photos // (60 * 60_000) + 1):
            (originals / f"{number}-{copy}").write_bytes(os.urandom(64))
    files = sorted(originals.iterdir())
    for person in range(people):
        folder = root / f"n{person:06d}"
        folder.mkdir(parents=True)
        for number in range(photos * person // people, photos * (person + 1) // people):
            os.link(files[number % len(files)], folder / f"{number:07d}_01.jpg")


def request_of(root: Path, out: Path, buckets: int | None = None) -> MeasureRequest:
    return MeasureRequest(
        layout="folder", root=root, out=out, models="builtin", device="cpu", workers=1, identities="first",
        buckets=buckets, template="simswap-224",
    )  # fmt: skip


def run_stub(request: MeasureRequest) -> None:
    """Measure without networks."""
    measure.ShardWorker = StubWorker  # type: ignore[misc,assignment]
    measure.run(plan(request))


def run_part(out: Path, part: Part) -> None:
    """Measure a part of a planned dataset without networks."""
    run_stub(replace(recorded_request(out), part=part, workers=1, device="cpu"))


class StubWorker:
    open = staticmethod(open_worker)


def child(action: Callable[[], object]) -> int:
    """Run in a child process; return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        action()
        code = 0
    except Interrupted:
        code = 130
    except BaseException as error:  # noqa: BLE001
        print(f"child: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(code)


def _interrupt(number: int, _: object) -> None:
    raise Interrupted(number)


def measured(action: Callable[[], object]) -> tuple[float, float, float]:
    """Run in a child process: its wall clock and CPU seconds, and its peak memory in GB."""
    began = time.monotonic()
    _, status, usage = os.wait4(child(action), 0)
    if status:
        raise RuntimeError(f"a run ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def tables(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("b-*.parquet"))}


def kills(folder: Path, count: int, seed: int) -> None:
    rng = random.Random(seed)
    make_photos(folder / "photos", 48, 12 * 96)
    once = request_of(folder / "photos", folder / "once", 12)
    wall, _, _ = measured(lambda: run_stub(once))
    expected, out, wrong, codes = tables(once.out), folder / "out", 0, dict[int, int]()
    for trial in range(count):
        if trial % 4 == 0:
            shutil.rmtree(out, ignore_errors=True)
            measured(lambda: freeze(request_of(folder / "photos", out, 12)))
        pids = []
        for _ in range(2):
            total = rng.choice((1, 3, 7))
            pids.append(child(partial(run_part, out, Part(rng.randrange(total), total))))
        time.sleep(rng.uniform(0.0, 1.2) * wall)
        for pid in pids:
            os.kill(pid, rng.choice((signal.SIGKILL, signal.SIGINT)))
        for pid in pids:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            codes[code] = codes.get(code, 0) + 1
            if code not in (0, 130, -signal.SIGKILL):
                wrong += 1
                print(f"trial {trial}: exit code {code}", file=sys.stderr)
        for name, data in tables(out).items():
            if expected[name] != data:
                wrong += 1
                print(f"trial {trial}: wrong under a final name: {name}", file=sys.stderr)
        if trial % 4 == 3 or trial == count - 1:
            total = rng.choice((1, 3, 7))
            for index in range(total):
                measured(partial(run_part, out, Part(index, total)))
            left = [path for path in out.rglob("*") if is_temporary(path.name)]
            if tables(out) != expected or left:
                wrong += 1
                print(f"trial {trial}: not as expected, left {left}", file=sys.stderr)
    print(f"| kills of parts (n = 1, 3, 7) | {2 * count} processes | wrong {wrong} | exit codes {codes} |")


def ray_kills(folder: Path, count: int, seed: int) -> None:
    import ray

    from curate.engines.ray import RayEngine

    rng = random.Random(seed)
    make_photos(folder / "photos", 48, 12 * 96)
    once = request_of(folder / "photos", folder / "once", 12)
    measured(lambda: run_stub(once))
    pids, killed, runs, wrong = folder / "pids", 0, 0, 0
    pids.mkdir()
    ended = threading.Event()

    def kill() -> None:
        nonlocal killed
        while not ended.wait(rng.uniform(1.0, 4.0)):
            for path in rng.sample(sorted(pids.iterdir()), min(1, len(list(pids.iterdir())))):
                path.unlink()
                os.kill(int(path.name), signal.SIGKILL)
                killed += 1

    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    measure.ShardWorker = SimpleNamespace(open=partial(open_recorded_worker, pids))  # type: ignore[misc,assignment]
    while killed < count:
        request = request_of(folder / "photos", folder / f"out-{runs}", 12)
        ended.clear()
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            measure.run(plan(request), engine=RayEngine(2, 1))
        except WorkerDied:  # three kills during one shard: the next run continues
            pass
        finally:
            ended.set()
            killer.join()
            for path in pids.iterdir():
                path.unlink()
        measure.run(plan(request), engine=RayEngine(2, 1))
        runs += 1
        if tables(request.out) != tables(once.out):
            wrong += 1
            print(f"run {runs}: not as expected", file=sys.stderr)
        print(f"| kills of Ray workers | {killed} in {runs} runs | wrong {wrong} |", flush=True)


def open_recorded_worker(pids: Path, job: MeasureJob) -> Callable[[Shard, Advance], None]:
    """Make a worker without networks of half a second a shard; write the id of its process, which the bench kills."""
    worker = open_worker(job)
    (pids / str(os.getpid())).touch()

    def work(shard: Shard, advance: Advance) -> None:
        time.sleep(0.5)
        worker(shard, advance)

    return work


def added(folder: Path, photos: int) -> None:
    make_photos(folder / "photos", max(1, photos // 350), photos)
    request = request_of(folder / "photos", folder / "out")
    first = measured(lambda: run_stub(request))
    (folder / "photos" / "n000000" / "new.jpg").write_bytes(b"new")
    again = measured(lambda: run_stub(request))
    whole = photos * _CPU_PER_PHOTO
    share = f"{again[1] / whole:.2%} of {whole:,.0f} s"
    print("| photos | run | wall clock, s | CPU, s | peak, GB | of the first run's CPU |\n|---|---|---|---|---|---|")
    for name, (wall, cpu, peak), note in (("first, stub networks", first, ""), ("one photo more", again, share)):
        print(f"| {photos:,} | {name} | {wall:.1f} | {cpu:.1f} | {peak:.2f} | {note} |")


def listing(folder: Path, files: int) -> None:
    make_photos(folder / "photos", max(1, files // 362), files)
    request = request_of(folder / "photos", folder / "out")
    rows = {
        "plan (a dry run without its sample)": lambda: plan(request),
        "curate plan: list and freeze": lambda: freeze(request),
        "part 0/64 of the frozen listing": lambda: plan(replace(recorded_request(request.out), part=Part(0, 64))),
    }
    print("| files | step | wall clock, s | CPU, s | peak, GB |\n|---|---|---|---|---|")
    for name, action in rows.items():
        wall, cpu, peak = measured(action)
        print(f"| {files:,} | {name} | {wall:.1f} | {cpu:.1f} | {peak:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", choices=("kills", "ray", "added", "listing"))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=3_300_000)
    parser.add_argument("--folder", type=Path, help="for the photos; default: the folder of temporary files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch)
        if options.bench == "kills":
            kills(folder, options.kills, options.seed)
        elif options.bench == "ray":
            ray_kills(folder, options.kills, options.seed)
        elif options.bench == "added":
            added(folder, options.photos)
        else:
            listing(folder, options.files)


if __name__ == "__main__":
    main()
