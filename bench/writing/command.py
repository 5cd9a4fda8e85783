"""A command that writes files, run in a child process, and what its files hold; for `bench.kills`.

Commands run in children of one process that has imported everything: a kill then hits the work, not the imports.
"""

import hashlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq

from curate import convert
from curate.review.log import LOG
from manifests.partials import is_temporary
from train.swap.run_record import FILE, RESULTS

PROGRAMS = {
    "curate": "curate.cli",
    "simswap": "train.cli",
    "segmenter": "train.perception.segmenter",
    "audit": "bench.writing.judged_audit",
    "review": "bench.writing.decided_review",
}
"""Program -> the module with its `main`."""

Contents = dict[str, str]
"""Relative path of a file -> hash of what it must hold."""


@dataclass(frozen=True)
class WritingCommand:
    """A command.

    Attributes:
        name: its name.
        program: of PROGRAMS.
        arguments: called with the folder of inputs and OUT.
        before: called with the same two, it writes what OUT holds before the command.
        progress: files that may differ between an interrupted and an undisturbed run: logs and records of progress.
        timed: files whose contents hold durations: they must be there, and whole.
        replaced: files that are written several times: only the last content is expected.
        reads: folder of source photos below the inputs that the command reads, for sources that change; "" for none.
        once: the exit code where the result exists already, which the command does not replace; 0: it runs again.
    """

    name: str
    program: str
    arguments: Callable[[Path, Path], Sequence[object]]
    before: Callable[[Path, Path], object] | None = None
    progress: tuple[str, ...] = ()
    timed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    reads: str = ""
    once: int = 0

    def spawn(self, inputs: Path, out: Path, log: Path, modules: Path | None = None) -> int:
        """Run the command in a child process of its own group. Returns the process id.

        log: file of its output. modules: file for the names of the modules that it has imported when it ends.
        """
        child = os.fork()
        if child:
            return child
        try:
            os.setsid()
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = [self.program, *map(str, self.arguments(inputs, out))]
            importlib.import_module(PROGRAMS[self.program]).main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        if modules is not None:
            modules.write_text("\n".join(sorted(sys.modules)), encoding="utf-8")
        os._exit(code)

    def contents(self, out: Path) -> Contents:
        """Hashes of what files hold, without locks, unfinished files and records of progress."""
        found = {}
        for path in sorted(out.rglob("*")):
            name = path.relative_to(out)
            unfinished = any(is_temporary(part) for part in name.parts)
            if path.is_file() and not unfinished and not name.as_posix().startswith(self.progress or ("\0",)):
                timed = name.as_posix().startswith(self.timed or ("\0",))
                found[name.as_posix()] = _whole(path) if timed else _hash(path)
        return found


def _hash(path: Path) -> str:
    if path.name == convert.REPORT:  # it says which photos a run has skipped
        return hashlib.sha256(path.read_bytes().replace(b"skipped", b"converted")).hexdigest()
    if path.name == LOG:  # without its notes, which a kill between writing overrides.csv and noting it leaves out
        lines = path.read_bytes().splitlines()
        return hashlib.sha256(b"\n".join(line for line in lines if b'"written"' not in line)).hexdigest()
    if path.suffix in (".mp4", ".png", ".jpg") and (path.parent / FILE).exists():  # signatures differ between runs
        return hashlib.sha256(_pixels(path)).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _whole(path: Path) -> str:
    """Whether a file that holds durations is complete, in words."""
    if path.suffix == ".parquet":
        return f"table of {pq.read_table(path).num_rows} rows"
    text = path.read_text()
    if path.suffix == ".json":
        return f"keys {sorted(json.loads(text))}"
    return "whole" if text.rstrip().endswith(("</svg>", "[1]", "better.", "|")) else f"cut off: {text[-40:]!r}"


def _pixels(path: Path) -> bytes:
    if path.suffix != ".mp4":
        return np.asarray(cv2.imread(str(path))).tobytes()
    with av.open(str(path)) as video:
        return b"".join(frame.to_ndarray(format="rgb24").tobytes() for frame in video.decode(video=0))


def recorded_results(out: Path) -> list[str]:
    """Names of the results that OUT/swap.json records."""
    path = out / FILE
    return sorted(json.loads(path.read_text())[RESULTS]) if path.exists() else []


@dataclass
class Tally:
    """Number of trials, and what was found wrong."""

    trials: int = 0
    wrong: list[str] = field(default_factory=list)
