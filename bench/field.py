"""Inputs as people bring them: what `curate clean` and `simswap swap` make of each, and whether it is as expected.

    SWAPSET_CASES=DIR python -m bench.field               # one row per command on the cases
    SWAPSET_DATA=DIR python -m bench.field --pack 1000    # a RecordIO pack against the same photos in folders

Protocol: every case of $SWAPSET_CASES is read with the built-in models, each command in a new process. A predicate per
case decides whether the exit code, the manifest and the printed notes are what the case's `expected.md` demands. Swaps
use a tiny checkpoint with random weights: only the handling of files is judged. The pack holds aligned 112 px JPEGs of
celebs-112 in the layout of insightface's packs.
"""

import argparse
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench.photos import sample
from curate.faces.models import load_embedder
from manifests.reader import read_table
from train import checkpoint
from train.build import build_generator
from train.checkpoint import CheckpointFacts
from train.config import Recipe

COLUMNS = ["image_id", "identity", "split", "verdict", "reasons", "error", "format", "turn", "person_group"]
ROUTINE = re.compile(
    r"models:|from |\d[\d,]* photos (of \d|without )|measured |compared |decided |keep |photos to review |\s+\d+ +\w+$|"
    r"manifest:|report:|.*%\||.* on (cpu|cuda)\S*, source:|\d+ frames,|\d+ swapped|.*see .*report\.csv|/"
)
"""Lines that every run prints."""
SOURCE_PHOTO = "borders-on-grid/input/person-01/0_plain.jpg"
"""The photo whose identity the swaps use."""


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        code: its exit code.
        notes: the lines that it printed beyond those of every run.
        rows: `COLUMNS` of the manifest, empty where none was written.
        files: names of the results, for a swap.
    """

    code: int
    notes: tuple[str, ...]
    rows: tuple[dict[str, Any], ...] = ()
    files: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        return sum(row["verdict"] == "keep" for row in self.rows)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(reason for row in self.rows for reason in row["reasons"])

    def people(self) -> Counter[tuple[str, str | None]]:
        """Number of photos of each identity and split."""
        return Counter((row["identity"], row["split"]) for row in self.rows)

    def noted(self, text: str) -> bool:
        return any(text in note for note in self.notes)

    def all_kept(self, photos: int) -> bool:
        return self.code == 0 and self.kept == len(self.rows) == photos


class Case(NamedTuple):
    """An input, the command that reads it, and what is expected of the outcome.

    Attributes:
        path: the input, relative to $SWAPSET_CASES.
        layout: layout for `curate clean`; None for `simswap swap`.
        expected: the expectation in words.
        meets: the same as a predicate.
    """

    path: str
    layout: str | None
    expected: str
    meets: Callable[[Outcome], bool]

    @property
    def name(self) -> str:
        return self.path.partition("/")[0]

    @property
    def command(self) -> str:
        file = self.path.partition("/")[2]
        return f"clean {self.layout} --root {file}" if self.layout else f"swap --target {Path(file).name}"


def turns_are_found(outcome: Outcome) -> bool:
    """The names of the photos end in their turn: up, 90 or 180."""
    for row in outcome.rows:
        turn = Path(row["image_id"]).stem.partition("_")[2]
        if row["turn"] not in {"up": (0,), "90": (90, 270), "180": (180,)}[turn]:
            return False
    only_copies_dropped = set(outcome.reasons) <= {"near_duplicate", "soft"}  # one photo is soft by eye, and reviewed
    return outcome.noted("16 photos are stored turned") and len(outcome.rows) == 26 and only_copies_dropped


def mixed_folders_are_named(outcome: Outcome) -> bool:
    """The names of the photos begin with the person, a or b, which decides the group; nothing is `other_person`."""
    groups: dict[tuple[str, str], set[int | None]] = {}
    for row in outcome.rows:
        groups.setdefault((row["identity"], Path(row["image_id"]).name[0]), set()).add(row["person_group"])
    separate = all(
        len(groups[name, "a"]) == len(groups[name, "b"]) == 1
        and None not in groups[name, "a"] | groups[name, "b"]
        and groups[name, "a"] != groups[name, "b"]
        for name, _ in groups
    )
    return outcome.noted("5 of 5 folders show two persons") and separate and not outcome.reasons["other_person"]


def originals_are_kept(outcome: Outcome) -> bool:
    return outcome.code == 0 and all(
        (row["verdict"] == "keep") == row["image_id"].endswith("_original.jpg") for row in outcome.rows
    )


def formats_are_read_or_named(outcome: Outcome) -> bool:
    """AVIF is read; HEIC is read, or its row names what to install."""
    heic, avif = sorted(outcome.rows, key=lambda row: str(row["image_id"].endswith(".avif")))
    readable = heic["format"] == "HEIF" or "pillow-heif" in (heic["error"] or "")
    return avif["format"] == "AVIF" and avif["error"] is None and readable


def still_is_photo_or_named(outcome: Outcome) -> bool:
    """A photo is written, or one line names what to install."""
    if outcome.code == 0:
        return len(outcome.files) == 1 and outcome.files[0].endswith((".png", ".jpg"))
    return outcome.code == 14 and len(outcome.notes) == 1 and outcome.noted("install")


WASTE = "6 in #recycle, 1 in $RECYCLE.BIN, 2 in @eaDir, 1 in __MACOSX"
SPLITS = {(f"person-0{n}", split): count for n in (1, 2, 3) for split, count in (("train", 4), ("val", 2))}
THREE_SPLITS = {("n000001", "val"): 3, ("n000002", "train"): 3, ("n000003", "train"): 3}
PHOTO_OR_LINE = "a photo, or a line with what to install and exit code 14"
CASES = [
    Case("borders-on-grid/input", "folder", "no `corrupt_pixels`",
         lambda o: o.code == 0 and len(o.rows) == 20 and not o.reasons["corrupt_pixels"]),
    Case("folder-ffhq/input", "folder", "photos without identities, or a hint; good photos are kept",
         lambda o: o.all_kept(24) and o.noted("without identities")),
    Case("folder-splits/input", "folder", "people one level down, the split recorded, all kept",
         lambda o: o.all_kept(18) and o.people() == SPLITS),
    Case("heic-avif/input", "folder", "AVIF read; HEIC read, or what to install is named",
         lambda o: o.code == 0 and len(o.rows) == 2 and formats_are_read_or_named(o)),
    Case("nas-waste/input", "folder", "system folders skipped and counted, people kept",
         lambda o: o.all_kept(8) and o.noted(WASTE)),
    Case("tar-backslashes/input/backslash.tar", "folder", "two people, or a refusal with one line",
         lambda o: o.all_kept(6) and o.people() == {("person-01", None): 3, ("person-02", None): 3}),
    Case("turned/input", "folder", "every turn found and recorded; no `other_person`", turns_are_found),
    Case("two-people-in-one-folder/input", "folder",
         "all five folders named, the photos in two groups; none dropped as `other_person`", mixed_folders_are_named),
    Case("upscaled-copies/input", "folder", "the original of each pair kept, its enlargement dropped",
         originals_are_kept),
    Case("vgg-mtcnn-folders/input", "vggface2", "the person found inside the wrapping folder",
         lambda o: o.all_kept(3) and o.people() == {("n000002", "train"): 3}),
    Case("vgg-only-val/input", "vggface2", "read as one split",
         lambda o: o.all_kept(3) and o.people() == {("n000001", "val"): 3}),
    Case("vgg-resized-160/input", "vggface2", "detected instead, one line with the number, at least 7 of 8 kept",
         lambda o: o.code == 0 and o.kept >= 7 and o.noted("landmarks of 8 of 8 photos do not fit")),
    Case("vgg-trainval/input", "vggface2", "both splits read", lambda o: o.all_kept(9) and o.people() == THREE_SPLITS),
    *(Case(f"swap-still-formats/input/{name}", None, PHOTO_OR_LINE, still_is_photo_or_named)
      for name in ("a.avif", "b.heic", "c.jxl")),
    Case("swap-video-odd/input/unknown_codec.mp4", None, "one line, exit code 14",
         lambda o: o.code == 14 and len(o.notes) == 1 and o.noted("no decoder")),
    Case("swap-video-odd/input/old.wmv", None, "named in 250 bytes: a video, its sound re-encoded to AAC, a note",
         lambda o: o.code == 0 and o.noted("re-encoded to AAC") and len(o.files) == 1),
]  # fmt: skip


def run(*command: object) -> tuple[int, list[str]]:
    """Run a module in a new process; returns the exit code and the lines that it printed beyond those of every run."""
    done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True, check=False)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", done.stdout + "\n" + done.stderr)]
    return done.returncode, [line.strip() for line in lines if line.strip() and not ROUTINE.match(line)]


def clean(root: Path, layout: str, out: Path) -> Outcome:
    code, notes = run("curate.cli", "clean", layout, "--root", root, "--out", out, "--models", "builtin")
    manifest = out / "manifest.parquet"
    rows = read_table(manifest, COLUMNS).to_pylist() if manifest.exists() else []
    return Outcome(code, tuple(note.replace(str(out), "OUT") for note in notes), tuple(rows))


def swap(target: Path, source: Path, folder: Path) -> Outcome:
    """Swap the faces of a file; a video gets a name of 250 bytes first."""
    folder.mkdir()
    write_checkpoint(folder / "tiny.safetensors")
    renamed = folder / ("x" * 246 + target.suffix) if target.suffix == ".wmv" else folder / target.name
    shutil.copyfile(target, renamed)
    code, notes = run(
        "train.cli", "swap", "--checkpoint", folder / "tiny.safetensors", "--source", source, "--target", renamed,
        "--out", folder / "out", "--models", "builtin",
    )  # fmt: skip
    names = [path.name for path in folder.glob("out/*") if path.name not in ("report.csv", "swap.json", ".lock")]
    return Outcome(code, tuple(note.replace(f"{folder}/", "") for note in notes), (), tuple(names))


def write_checkpoint(path: Path) -> None:
    """Write a checkpoint of a tiny generator with random weights, for the built-in embedder."""
    recipe = Recipe(size=64, width=8, blocks=2, discriminator_scales=1)
    torch.manual_seed(0)
    facts = CheckpointFacts(recipe, None, load_embedder("builtin").embedder_id, 128, recipe.images)
    networks = {"ema": build_generator(recipe, 128)}
    checkpoint.write(path, checkpoint.snapshot(networks, {}, {"centre": torch.zeros(128)}, facts, {}))


def print_cases(names: list[str]) -> None:
    """Print a row for every command."""
    root = Path(os.environ.get("SWAPSET_CASES", ""))
    if "SWAPSET_CASES" not in os.environ or not root.is_dir():
        sys.exit(f"SWAPSET_CASES={root}: not a folder; set it to the folder of the cases")
    print("| case | command | outcome | notes | expected | as expected |\n|---|---|---|---|---|---|")
    met = total = 0
    for case in CASES:
        if names and case.name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path, out = root / case.path, Path(folder, "out")
            outcome = clean(path, case.layout, out) if case.layout else swap(path, root / SOURCE_PHOTO, out)
            try:
                meets = case.meets(outcome)
            except (KeyError, ValueError):  # rows or groups that the predicate compares are missing
                meets = False
        notes = "; ".join(_shortened(note) for note in outcome.notes).replace("|", "\\|")
        print(f"| {case.name} | `{case.command}` | {_summary(outcome)} | {notes} | {case.expected} "
              f"| {'yes' if meets else '**no**'} |", flush=True)  # fmt: skip
        met, total = met + meets, total + 1
    print(f"\n{met} of {total} as expected")


def _summary(outcome: Outcome) -> str:
    reasons = ", ".join(f"{count} `{reason}`" for reason, count in outcome.reasons.most_common())
    review = sum(row["verdict"] == "review" for row in outcome.rows)
    dropped = len(outcome.rows) - outcome.kept - review
    verdicts = f"{outcome.kept} kept, " + f"{review} to review, " * (review > 0) + f"{dropped} dropped"
    kept = verdicts + (f" ({reasons})" if reasons else "")
    files = ", ".join(name if len(name) < 40 else f"{name[:3]}...{name[-8:]}" for name in outcome.files)
    return f"exit code {outcome.code}: {kept if outcome.rows else files or 'nothing written'}"


def _shortened(note: str) -> str:
    """The observation of a check, without its causes and next steps."""
    return note.partition(" Likely cause:")[0].rstrip(".")


def write_pack(folder: Path, people: dict[str, list[Path]]) -> None:
    """Write train.rec and train.idx as insightface does: a header, the photos, a range of keys per person."""
    photos = [(label, path) for label, paths in enumerate(people.values()) for path in paths]
    first = len(photos) + 1
    records = [_header(first, first + len(people))]
    records += [struct.pack("<IfQQ", 0, label, 0, 0) + path.read_bytes() for label, path in photos]
    key = 1
    for paths in people.values():
        records.append(_header(key, key + len(paths)))
        key += len(paths)
    folder.mkdir()
    with (folder / "train.rec").open("wb") as pack, (folder / "train.idx").open("w") as index:
        for number, record in enumerate(records):
            index.write(f"{number}\t{pack.tell()}\n")
            pack.write(struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4))
    (folder / "property").write_text(f"{len(people)},112,112")


def _header(first: int, end: int) -> bytes:
    """A record with two labels and no image."""
    return struct.pack("<IfQQff", 2, 0, 0, 0, first, end)


def print_pack(count: int) -> None:
    """Print photos, seconds and verdicts of a pack and of the same photos in folders."""
    people: dict[str, list[Path]] = {}
    for path in sample("celebs-112", "*/*.jpg", count):
        people.setdefault(path.parent.name, []).append(path)
    verdicts: list[list[Any]] = []
    print("| store | photos, people | seconds, whole process | photos/s | kept | dropped |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_pack(folder / "pack", people)
        for label, paths in enumerate(people.values()):
            target = folder / "folders" / str(label)
            target.mkdir(parents=True)
            for path in paths:
                shutil.copyfile(path, target / f"{len(list(target.iterdir())):05d}.jpg")
        for store in ("pack", "folders"):
            start = time.perf_counter()
            outcome = clean(folder / store, "folder", folder / f"{store}-out")
            seconds = time.perf_counter() - start
            rows = outcome.rows
            verdicts.append([(row["identity"], row["verdict"], row["reasons"]) for row in rows])
            print(f"| {store} | {len(rows):,}, {len(outcome.people())} | {seconds:.1f} | {len(rows) / seconds:.1f} "
                  f"| {outcome.kept:,} | {len(rows) - outcome.kept:,} |", flush=True)  # fmt: skip
    same = sum(first == second for first, second in zip(*map(sorted, verdicts), strict=False))
    print(f"\nsame identity, verdict and reasons: {same:,} of {max(map(len, verdicts)):,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="cases to run; all by default")
    parser.add_argument("--pack", type=int, metavar="PHOTOS", help="clean a RecordIO pack of this many photos instead")
    options = parser.parse_args()
    if options.pack:
        print_pack(options.pack)
    else:
        print_cases(options.cases)


if __name__ == "__main__":
    main()
