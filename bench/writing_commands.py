"""Every command that writes, on inputs so small that a run takes about a second, for `bench.kills`.

Commands run in children of one process that has imported everything: a kill then hits the work, not the imports.
"""

import hashlib
import importlib
import json
import os
import shutil
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
from curate.evaluate import demo
from manifests.landmarks import MASK_CLASSES
from manifests.partials import is_temporary
from train.swap.results import JOURNAL
from train.swap.run_record import FILE, RESULTS

RECIPE = """
size = 64
width = 8
blocks = 2
discriminator_width = 8
discriminator_scales = 1
batch = 4
images = 16
log_steps = 1
sample_images = 8
checkpoint_images = 4
checkpoints = 9
"""

PROGRAMS = {"curate": "curate.cli", "simswap": "train.cli", "segmenter": "train.perception.segmenter"}
"""Program -> the module with its `main`."""

Contents = dict[str, str]
"""Relative path of a file -> hash of what it must hold."""


@dataclass(frozen=True)
class WritingCommand:
    """A command.

    Attributes:
        name: its name.
        program: "curate", "simswap" or "segmenter".
        arguments: called with the folder of inputs and OUT.
        before: called with the same two, it writes what OUT holds before the command.
        progress: files that may differ between an interrupted and an undisturbed run: logs and records of progress.
        timed: files whose contents hold durations: they must be there, and whole.
        replaced: files that are written several times: only the last content is expected.
        reads: folder of source photos below the inputs that the command reads, for sources that change; "" for none.
    """

    name: str
    program: str
    arguments: Callable[[Path, Path], Sequence[object]]
    before: Callable[[Path, Path], object] | None = None
    progress: tuple[str, ...] = ()
    timed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    reads: str = ""

    def spawn(self, inputs: Path, out: Path, log: Path) -> int:
        """Run the command in a child process of its own group; its output goes to `log`. Returns the process id."""
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


def prepare(folder: Path) -> Path:
    """Write the inputs: photos of three people, two datasets, a training, a clip. Returns their folder."""
    inputs = folder / "inputs"
    if (inputs / "ready").exists():
        return inputs
    shutil.rmtree(inputs, ignore_errors=True)
    demo.build(inputs / "demo", 24)
    people = sorted((inputs / "demo/train").iterdir())
    for name, chosen in (("photos", people[:3]), ("others", people[3:6])):
        for person in chosen:
            shutil.copytree(person, inputs / name / person.name)
    for photo in sorted((inputs / "photos").rglob("*.jpg"))[:8]:
        pixels = cv2.imread(str(photo))
        if pixels is not None:
            target = inputs / "pngs" / photo.parent.name / f"{photo.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), pixels)
    (inputs / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    for name, out in (("photos", "a"), ("others", "b")):
        _run(WritingCommand("clean", "curate", lambda i, o, name=name: _clean(i / name, o)), inputs, inputs / out)
    _run(WritingCommand("decide", "curate", lambda _, o: ["decide", o, "--policy", "keep-all"]), inputs, inputs / "a")
    _run(COMMANDS["merge"], inputs, inputs / "all")
    _run(COMMANDS["fit"], inputs, inputs / "run")
    _write_labelled(inputs / "labelled", sorted((inputs / "photos").rglob("*.jpg")))
    targets = sorted((inputs / "pngs").rglob("*.png"))[:3]
    (inputs / "targets").mkdir()
    for target in targets:
        shutil.copy(target, inputs / "targets" / f"{target.parent.name}-{target.name}")
    _write_clip(inputs / "clip.mp4", cv2.imread(str(targets[0])))
    _run(COMMANDS["swap folder"], inputs, inputs / "swapped")
    (inputs / "ready").touch()
    return inputs


def _run(command: WritingCommand, inputs: Path, out: Path) -> None:
    log = inputs / "log.txt"
    code = os.waitstatus_to_exitcode(os.waitpid(command.spawn(inputs, out, log), 0)[1])
    if code:
        sys.exit(f"{command.name} ended with {code}:\n{log.read_text()}")


def _clean(photos: Path, out: Path) -> list[object]:
    return ["clean", "folder", "--root", photos, "--out", out, "--models", "builtin", "--workers", 1, "--buckets", 3]


def _swap(inputs: Path, target: Path, out: Path) -> list[object]:
    checkpoint = max((inputs / "run/checkpoints").iterdir())
    source = min((inputs / "others").rglob("*.jpg"))
    return [
        "swap", "--checkpoint", checkpoint, "--source", source, "--target", target, "--out", out,
        "--models", "builtin", "--detection", "coarse", "--mark-id", "beef", "--workers", 1,
    ]  # fmt: skip


def _write_labelled(folder: Path, photos: Sequence[Path]) -> None:
    """Write photos with label maps of random squares, as the segmenter is trained on."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    decoded = (cv2.imread(str(photo)) for photo in photos)
    for number, pixels in zip(range(12), (photo for photo in decoded if photo is not None), strict=False):
        cv2.imwrite(str(folder / f"images/{number:02}.jpg"), cv2.resize(pixels, (64, 64)))
        labels = random.integers(0, len(MASK_CLASSES), (8, 8), np.uint8).repeat(8, 0).repeat(8, 1)
        cv2.imwrite(str(folder / f"masks/{number:02}.png"), labels)


def _write_clip(path: Path, photo: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    height, width = (side // 2 * 2 for side in photo.shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for shift in range(6):
            pixels = np.ascontiguousarray(np.roll(photo[:height, :width, ::-1], shift, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def _copy(inputs: Path, out: Path) -> None:
    shutil.copytree(inputs / "a", out)


def _measured(inputs: Path, out: Path) -> None:
    _copy(inputs, out)
    (out / "relations.parquet").unlink()


def _related(inputs: Path, out: Path) -> None:
    _copy(inputs, out)
    (out / "manifest.parquet").unlink()


def _decided(inputs: Path, out: Path) -> None:
    _copy(inputs, out)
    shutil.rmtree(out / "report")


# Ctrl-C completes a shorter video.
_SWAP_PROGRESS = (FILE, JOURNAL, "report.csv", "clip.until-")
COMMANDS = {
    command.name: command
    for command in (
        WritingCommand("clean", "curate", lambda i, o: _clean(i / "photos", o), reads="photos"),
        WritingCommand("relate", "curate", lambda _, o: ["relate", o], _measured),
        WritingCommand("decide", "curate", lambda _, o: ["decide", o], _related),
        WritingCommand("report", "curate", lambda _, o: ["report", o], _decided),
        WritingCommand(
            "convert", "curate",
            lambda i, o: ["convert", "folder", "--root", i / "pngs", "--out", o, "--workers", 1],
            reads="pngs",
        ),
        WritingCommand("merge", "curate", lambda i, o: ["merge", i / "a", i / "b", "--out", o]),
        WritingCommand("export folder", "curate", lambda i, o: ["export", "folder", i / "a", "--masks", "--out", o]),
        WritingCommand("export hf", "curate", lambda i, o: ["export", "hf", i / "a", "--out", o]),
        WritingCommand("export webdataset", "curate", lambda i, o: ["export", "webdataset", i / "a", "--out", o]),
        WritingCommand("export fiftyone", "curate", lambda i, o: ["export", "fiftyone", i / "a", "--out", o]),
        WritingCommand(
            "fit", "simswap",
            lambda i, o: [
                "fit", "--data", i / "a", "--recipe", i / "recipe.toml", "--out", o, "--workers", 1, "--deterministic"
            ],
            progress=("log.jsonl", "events"),
        ),
        WritingCommand(
            "swap photo", "simswap",
            lambda i, o: _swap(i, min((i / "targets").iterdir()), o),
            progress=_SWAP_PROGRESS,
        ),
        WritingCommand(
            "swap folder", "simswap", lambda i, o: _swap(i, i / "targets", o), progress=_SWAP_PROGRESS, reads="targets"
        ),
        WritingCommand("swap video", "simswap", lambda i, o: _swap(i, i / "clip.mp4", o), progress=_SWAP_PROGRESS),
        WritingCommand(
            "evaluate", "curate",
            lambda i, o: [
                "evaluate", "folder", "--root", i / "photos", "--out", o, "--models", "builtin", "--workers", 1,
                "--limit", 8, "--rates", "0.2", "--seeds", 1, "--faults", "duplicates",
            ],
            timed=("planted/measured",),  # times of modification
        ),
        WritingCommand(
            "judge", "simswap",
            lambda i, o: [
                "evaluate", "--checkpoint", max((i / "run/checkpoints").iterdir()), "--data", i / "all", "--out", o,
                "--pairs", 4, "--judge", "builtin",
            ],
        ),
        WritingCommand(
            "ablate", "simswap",
            lambda i, o: [
                "ablate", "--data", i / "all", "--out", o, "--recipes", i / "recipe.toml", "--images", 8, "--pairs", 4,
                "--held-out", 0.5, "--workers", 1, "--judge", "builtin",
            ],
            progress=("arms/recipe-seed0/log.jsonl", "arms/recipe-seed0/events"),
            timed=("timings.json", "results", "table.", "arms.parquet", "plot.svg"),
        ),
        WritingCommand(
            "segmenter", "segmenter",
            lambda i, o: [
                "--data", i / "labelled", "--out", o, "--images", 12, "--batch", 4, "--log-every", 4, "--test-every", 4,
                "--export", o / "segmenter.safetensors",
            ],
            progress=("log.jsonl",),
            replaced=("last.pt",),
        ),
        WritingCommand("verify", "simswap", lambda i, _: ["verify", i / "swapped"]),
    )
}  # fmt: skip


def recorded_results(out: Path) -> list[str]:
    """Names of the results that OUT/swap.json records."""
    path = out / FILE
    return sorted(json.loads(path.read_text())[RESULTS]) if path.exists() else []


@dataclass
class Tally:
    """Number of trials, and what was found wrong."""

    trials: int = 0
    wrong: list[str] = field(default_factory=list)
