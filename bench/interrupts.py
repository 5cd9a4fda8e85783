"""Ctrl-C while a program starts.

    python -m bench.interrupts [--tries 100] [--seed 0] [--programs curate,simswap]

Protocol. Each installed program (`curate`, `simswap`, `swapset-verify`, beside this interpreter) runs a command that
reads nothing, in a process group of its own, and receives SIGINT when its main thread has used a random CPU time of 0
to 300 ms. Right: exit code 130, or an end by the signal, or the command's own exit code where it was faster; and no
traceback. A traceback is the interpreter's where no file of Swapset is in it: that of `site`, which runs before any
program. Prints a Markdown table.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

PROGRAMS = {
    "curate": ["merge", "/nonexistent/a", "/nonexistent/b", "--out", "/nonexistent/c"],
    "simswap": ["verify", "/nonexistent"],
    "swapset-verify": ["/nonexistent"],
}
_SECONDS = 0.3
_OWN = ("/curate/", "/train/", "/manifests/")


def outcome(command: list[str], cpu: float) -> tuple[int, str]:
    """Send SIGINT at a CPU time; return the exit code and "quiet", "interpreter" or "program" (whose traceback)."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0)
    try:
        while _cpu(process.pid) < cpu:
            time.sleep(0.0005)
        os.killpg(process.pid, signal.SIGINT)
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        pass
    _, stderr = process.communicate()
    if "Traceback" not in stderr and "Exception ignored" not in stderr:
        return process.returncode, "quiet"
    files = [line for line in stderr.splitlines() if line.lstrip().startswith("File ")]
    return process.returncode, "program" if any(own in line for line in files for own in _OWN) else "interpreter"


def _cpu(process: int) -> float:
    """CPU seconds of the main thread of a process. Raises FileNotFoundError or ProcessLookupError after its end."""
    text = Path(f"/proc/{process}/schedstat").read_text()
    if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
        raise FileNotFoundError
    return int(text.split()[0]) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=100, help="of each program")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    print("| program | tries | traceback of the interpreter | of the program | exit codes |\n|---|---:|---:|---:|---|")
    for name in options.programs.split(","):
        command = [str(Path(sys.executable).with_name(name)), *PROGRAMS[name]]
        found = [outcome(command, rng.uniform(0, _SECONDS)) for _ in range(options.tries)]
        whose = Counter(kind for _, kind in found)
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(Counter(code for code, _ in found).items()))
        print(f"| {name} | {len(found)} | {whose['interpreter']} | {whose['program']} | {codes} |", flush=True)


if __name__ == "__main__":
    main()
