"""Ours against the loop that a user would write, on the same photos: images a second, and peak memory.

    python -m bench.curation --photos 300            # speed, both sides in one run
    python -m bench.curation --memory 1000 10000     # peak memory of `curate measure`, photos repeated to that number

The loop opens each photo with Pillow, runs facenet-pytorch's `MTCNN.detect`, warps the face, embeds it, segments it
and takes the Laplacian's variance, one photo at a time, with the same weights and the same sizes, and writes the same
crops, masks and vectors as files.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from bench.photos import sample

FEW = 16
KINDS = {
    "celebamask, 512 px": ("celebamask/images", "*.jpg"),
    "lfw-gray, 350 px": ("lfw-gray", "*/*.jpg"),
    "raw web photos": ("web-raw", "*/*"),
}


def person_folders(photos: list[Path], root: Path) -> None:
    """Hard-links the photos into root/<person>/, twenty to a person, so that both sides read one tree."""
    for index, photo in enumerate(photos):
        folder = root / f"p{index // 20:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, folder / f"{index:05d}{photo.suffix}")


def user_loop(root: Path, out: Path) -> int:
    """The loop that a user would write; returns how many faces it found."""
    from facenet_pytorch import MTCNN

    from curate.faces.align import fit
    from curate.faces.models import load_embedder
    from curate.faces.segment import Segmenter
    from manifests.landmarks import TEMPLATES

    detector = MTCNN(keep_all=True, device="cpu")
    embedder, segmenter = load_embedder("builtin"), Segmenter.load("cpu")
    template = TEMPLATES["simswap-224"]
    faces = 0
    for path in sorted(root.rglob("*.*")):
        photo = Image.open(path).convert("RGB")
        boxes, _, points = detector.detect(photo, landmarks=True)
        if boxes is None:
            continue
        pixels = np.asarray(photo)
        main = int(np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
        crop = _warp(pixels, fit(points[main : main + 1], template)[0][0], template.size)
        chip = _warp(pixels, fit(points[main : main + 1], embedder.template)[0][0], embedder.template.size)
        vector = embedder.embed(_tensor(chip))[0].numpy()
        labels = segmenter.label_maps(_tensor(crop))[0].numpy()
        cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
        target = out / path.relative_to(root).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(f"{target}.jpg", quality=95, subsampling=0)
        Image.fromarray(labels).save(f"{target}.png")
        np.save(f"{target}.npy", vector)
        faces += 1
    return faces


def _warp(pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:  # type: ignore[type-arg]
    return cv2.warpAffine(pixels, matrix, size[::-1], flags=cv2.INTER_LINEAR)


def _tensor(image: np.ndarray) -> torch.Tensor:  # type: ignore[type-arg]
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def ours(root: Path, out: Path) -> None:
    """`curate measure` in a fresh process, as a user runs it."""
    command = [sys.executable, "-m", "curate.cli", "measure", "folder", "--models", "builtin", "--device", "cpu"]
    subprocess.run([*command, "--root", str(root), "--out", str(out)], check=True, stdout=subprocess.DEVNULL)


def loop(root: Path, out: Path) -> None:
    """The user's loop in a fresh process, so that both sides pay for starting up."""
    code = f"from bench.curation import *; user_loop(Path({str(root)!r}), Path({str(out)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)


def seconds(run: Callable[[Path, Path], None], photos: list[Path]) -> float:
    """Wall-clock time of one side on copies of these photos."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "photos"
        person_folders(photos, root)
        began = time.perf_counter()
        run(root, Path(temporary) / "out")
        return time.perf_counter() - began


def speed(photos: int) -> Iterator[str]:
    """Markdown rows. `in all`: images a second of the whole process; `running`: of the photos beyond the first FEW,
    that is without imports and loading of weights, which take the same few seconds for any number of photos."""
    yield "| photos | loop, in all | ours, in all | ratio | loop, running | ours, running | ratio |"
    yield "|---|---|---|---|---|---|---|"
    for words, (folder, pattern) in KINDS.items():
        chosen = sample(folder, pattern, photos)
        few = chosen[:: max(1, len(chosen) // FEW)][:FEW]
        times = {run: (seconds(run, chosen), seconds(run, few)) for run in (loop, ours)}
        cells = []
        for left_out in (False, True):
            theirs, mine = (
                (len(chosen) - left_out * len(few)) / (whole - left_out * start) for whole, start in times.values()
            )
            cells.append(f"{theirs:.1f} | {mine:.1f} | {mine / theirs:.1f}")
        yield f"| {len(chosen)} of {words} | {' | '.join(cells)} |"


def memory(counts: list[int]) -> Iterator[str]:
    """Markdown rows: peak memory of one worker over ever more photos."""
    yield "| photos | peak memory of the largest process, MB |"
    yield "|---|---|"
    chosen = sample("celebs-112", "*/*.jpg", 500)
    for count in counts:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary) / "photos"
            person_folders([chosen[k % len(chosen)] for k in range(count)], root)
            code = (
                "import resource, subprocess, sys; from pathlib import Path; from bench.curation import ours;"
                f"ours(Path({str(root)!r}), Path({str(root.parent / 'out')!r}));"
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            )
            done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        yield f"| {count:,} | {int(done.stdout.split()[-1]) / 1024:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--memory", type=int, nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    for line in memory(arguments.memory) if arguments.memory else speed(arguments.photos):
        print(line, flush=True)


if __name__ == "__main__":
    main()
