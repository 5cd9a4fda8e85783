"""Start-up of the programs: `--help`, and `curate clean` on five photos, beside a bare `import torch`.

    SWAPSET_DATA=DIR python -m bench.startup [--rounds 5]

Protocol: each command runs in a new process, the commands in turn, with a warm file cache; median over the rounds.
`curate clean` runs with the built-in models into a new folder. Prints a Markdown table of wall-clock and CPU seconds.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.photos import sample
from bench.process import Seconds

PHOTOS = 5


def timed_process(command: list[str]) -> Seconds:
    """Run a command to its end; the CPU time includes its child processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        photos, out = Path(scratch, "photos"), Path(scratch, "curated")
        (photos / "person").mkdir(parents=True)
        for path in sample("celebs-color", "*/*.jpg", PHOTOS):
            shutil.copy(path, photos / "person" / f"{path.parent.name}-{path.name}")
        curate = [sys.executable, "-m", "curate.cli"]
        commands = {
            "`python -c 'import torch'`": [sys.executable, "-c", "import torch"],
            "`curate --help`": [*curate, "--help"],
            "`simswap --help`": [sys.executable, "-m", "train.cli", "--help"],
            f"`curate clean`, {PHOTOS} photos": [
                *curate, "clean", "folder", "--root", str(photos), "--out", str(out), "--models", "builtin",
                "--device", "cpu",
            ],
        }  # fmt: skip
        results: dict[str, list[Seconds]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                shutil.rmtree(out, ignore_errors=True)
                results[name].append(timed_process(command))
    print("| command | wall clock, s | CPU, s |\n|---|---|---|")
    for name, seconds in results.items():
        wall, cpu = (statistics.median(values) for values in zip(*seconds, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
