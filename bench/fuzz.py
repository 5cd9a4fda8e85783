"""Fuzzing: mutated files of every kind that is read, in processes with limits; each find is written as a file.

Seeds are made by code, mutations follow from --seed, so a find can be had again. A case passes if reading succeeds or
raises the documented error, within 2 s of CPU and 500 MB more. Exit code 1 if there is a find.

    python -m bench.fuzz --seconds 120                 # a share of the time for every target
    python -m bench.fuzz --only png --cases 2000 --seed 7
"""

import argparse
import os
import pickle
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from bench.fuzz_targets import TARGETS, Target

CPU_SECONDS, MEMORY_MB = 2.0, 500
_HARD_CPU_SECONDS = 20
_HARD_SECONDS = 120  # of a process that waits for ever
_HARD_MEMORY = 3 << 30  # bytes of addresses more than the process has, with its libraries
_BATCH = 100
_INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x80",
    b"\0\1",
    b"'",
    b'"',
    b"[",
    b"{",
    b"\n",
)


@dataclass(frozen=True)
class Find:
    """A case that fails: its number, and what happened."""

    case: int
    reason: str


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One to eight random changes of a seed: bits, bytes, ranges removed, doubled, overwritten or of another seed."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        size = min(rng.choice((1, 1, 2, 4, 16, 200, 5000)), len(data) - at)
        match rng.randrange(8):
            case 0 | 1 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 2 if at < len(data):
                data[at] = rng.randrange(256)
            case 3:
                piece = rng.choice(_INTERESTING)
                data[at : at + len(piece)] = piece
            case 4:
                del data[at : at + size]
            case 5:
                data[at:at] = data[at : at + size] * rng.choice((1, 1, 2, 300))
            case 6:
                other = rng.choice(seeds)
                start = rng.randrange(len(other) + 1)
                data[at : at + size] = other[start : start + size]
            case _:
                if rng.random() < 0.2:
                    del data[at:]
    return bytes(data)


def case_data(name: str, seed: int, case: int, seeds: list[bytes]) -> bytes:
    """The file of one case."""
    return mutate(random.Random(f"{name} {seed} {case}"), seeds)


def run_batch(name: str, target: Target, seeds: list[bytes], seed: int, cases: range) -> tuple[int, int, list[Find]]:
    """Read the files of `cases` in a forked process.

    Returns how many were read, how many of these without an error, and the finds; a crash is the last one.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(writer, name, target, seeds, seed, cases)
    os.close(writer)
    finds, done, accepted = list[Find](), 0, 0
    with open(reader, "rb") as pipe:
        while True:
            try:
                reason = pickle.load(pipe)  # None: read without an error
            except (EOFError, pickle.UnpicklingError):
                break
            accepted += reason is None
            if reason:
                finds.append(Find(cases[done], reason))
            done += 1
    _, status = os.waitpid(child, 0)
    if done < len(cases):
        cause = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        finds.append(Find(cases[done], f"the process ended: {cause}"))
        done += 1
    return done, accepted, finds


def _child(writer: int, name: str, target: Target, seeds: list[bytes], seed: int, cases: range) -> None:
    """Read the files and send a reason, or "", for each. Ends the process."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        addresses = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + _HARD_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))
        with open(writer, "wb", buffering=0) as pipe:
            for case in cases:
                path = folder / target.name
                path.write_bytes(case_data(name, seed, case, seeds))
                signal.setitimer(signal.ITIMER_PROF, _HARD_CPU_SECONDS)
                signal.setitimer(signal.ITIMER_REAL, _HARD_SECONDS)
                pipe.write(pickle.dumps(_read(target, path)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def _read(target: Target, path: Path) -> str | None:
    """Read a file; return what is wrong with that, "" for a documented error, None for nothing."""
    began, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = None
    try:
        target.read(path)
    except target.errors:
        outcome = ""
    except BaseException as error:  # noqa: BLE001
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
    seconds = time.process_time() - began
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    if seconds > CPU_SECONDS or megabytes > MEMORY_MB:
        return f"{seconds:.1f} s of CPU, {megabytes:.0f} MB more"
    return outcome


def _import_everything(target: Target, seed: bytes) -> None:
    """Read an intact file in this process, so that imports are no part of a case."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / target.name
        path.write_bytes(seed)
        target.read(path)


def main() -> None:
    """Fuzz the targets; print a line for each, and its finds."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=120, help="of all targets together, wall clock")
    arguments.add_argument("--cases", type=int, help="of each target, instead of --seconds")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--only", choices=TARGETS, action="append", help="a target; may be repeated")
    arguments.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder of the finds")
    options = arguments.parse_args()
    names = options.only or list(TARGETS)
    total, found = 0, 0
    print("| target | cases | read without an error | CPU of all, s | finds |\n|---|---|---|---|---|")
    for name in names:
        target, seeds = TARGETS[name], TARGETS[name].seeds()
        until, began = time.monotonic() + options.seconds / len(names), _children_seconds()
        case, accepted, finds = 0, 0, list[Find]()
        _import_everything(target, seeds[0])
        while case < options.cases if options.cases else time.monotonic() < until:
            size = min(_BATCH, options.cases - case) if options.cases else _BATCH
            done, read, more = run_batch(name, target, seeds, options.seed, range(case, case + size))
            case, accepted, finds = case + done, accepted + read, finds + more
        for find in finds:
            path = options.out / f"{name}-{options.seed}-{find.case}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(case_data(name, options.seed, find.case, seeds))
            print(f"{path}: {find.reason}", file=sys.stderr, flush=True)
        print(f"| {name} | {case:,} | {accepted:,} | {_children_seconds() - began:.0f} | {len(finds)} |", flush=True)
        total, found = total + case, found + len(finds)
    print(f"\n{total:,} cases, {found} finds, seed {options.seed}")
    sys.exit(found > 0)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
