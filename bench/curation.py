"""`curate measure` against a loop of the usual libraries on the same photos: images/s and peak memory.

    python -m bench.curation --photos 300            # speed, both sides in one run
    python -m bench.curation --memory 1000 10000     # peak memory of `curate measure`; photos are repeated

Protocol: the baseline loop opens each photo with Pillow, runs facenet-pytorch's `MTCNN.detect`, aligns the largest
face, embeds it, segments it and takes the variance of the Laplacian, one photo at a time. It uses the same weights and
sizes and writes the same crops, masks and vectors as files. Both sides run in a new process.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from bench.photos import sample
from bench.process import peak_memory, run_child

FEW_PHOTOS = 16
COLLECTIONS = {
    "celebamask, 512 px": ("celebamask/images", "*.jpg"),
    "lfw-gray, 350 px": ("lfw-gray", "*/*.jpg"),
    "raw web photos": ("web-raw", "*/*"),
}


def copy_to_folders(photos: list[Path], root: Path) -> None:
    """Copy the photos to root/PERSON/, twenty per person, so that both sides read the same tree."""
    for index, photo in enumerate(photos):
        folder = root / f"p{index // 20:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, folder / f"{index:05d}{photo.suffix}")


def baseline(root: Path, out: Path) -> int:
    """Run the loop of the usual libraries; returns the number of faces."""
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
        largest = int(np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
        landmarks = points[largest : largest + 1]
        crop = _warp(pixels, fit(landmarks, template)[0][0], template.size)
        embedder_crop = _warp(pixels, fit(landmarks, embedder.template)[0][0], embedder.template.size)
        vector = embedder.embed(_tensor(embedder_crop))[0].numpy()
        labels = segmenter.label_maps(_tensor(crop))[0].numpy()
        cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
        target = out / path.relative_to(root).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(f"{target}.jpg", quality=95, subsampling=0)
        Image.fromarray(labels).save(f"{target}.png")
        np.save(f"{target}.npy", vector)
        faces += 1
    return faces


def _warp(pixels: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray:  # type: ignore[type-arg]
    return cv2.warpAffine(pixels, matrix, size[::-1], flags=cv2.INTER_LINEAR)


def _tensor(image: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def curate_measure(root: Path, out: Path) -> None:
    """Run `curate measure` in a new process, as a user does."""
    command = [sys.executable, "-m", "curate.cli", "measure", "folder", "--models", "builtin", "--device", "cpu"]
    subprocess.run([*command, "--root", str(root), "--out", str(out)], check=True, stdout=subprocess.DEVNULL)


def baseline_in_new_process(root: Path, out: Path) -> None:
    """Run the loop in a new process, so that both sides pay for starting up."""
    run_child("bench.curation", "--child", "baseline", root, out)


def seconds(side: str, photos: list[Path]) -> float:
    """Wall-clock time of one side on copies of these photos."""
    run = {"baseline": baseline_in_new_process, "swapset": curate_measure}[side]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photos"
        copy_to_folders(photos, root)
        start = time.perf_counter()
        run(root, Path(folder) / "out")
        return time.perf_counter() - start


def speed(count: int) -> Iterator[str]:
    """Yield Markdown rows: images/s of the whole process and in the steady state.

    The steady state leaves out imports and loading of weights, which take the same few seconds for any number of
    photos: time and photos of a run on a few photos are subtracted.
    """
    yield "| photos | baseline, whole | Swapset, whole | ratio | baseline, steady | Swapset, steady | ratio |"
    yield "|---|---|---|---|---|---|---|"
    for title, (folder, pattern) in COLLECTIONS.items():
        photos = sample(folder, pattern, count)
        few = photos[:: max(1, len(photos) // FEW_PHOTOS)][:FEW_PHOTOS]
        times = [(seconds(side, photos), seconds(side, few)) for side in ("baseline", "swapset")]
        cells = []
        for steady in (False, True):
            slow, fast = ((len(photos) - steady * len(few)) / (whole - steady * start) for whole, start in times)
            cells.append(f"{slow:.1f} | {fast:.1f} | {fast / slow:.1f}")
        yield f"| {len(photos)} of {title} | {' | '.join(cells)} |"


def memory(counts: list[int]) -> Iterator[str]:
    """Yield Markdown rows: peak memory of one worker for each number of photos."""
    yield "| photos | peak memory of the largest process, MB |"
    yield "|---|---|"
    photos = sample("celebs-112", "*/*.jpg", 500)
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "photos"
            copy_to_folders([photos[k % len(photos)] for k in range(count)], root)
            peak = run_child("bench.curation", "--child", "memory", root, Path(folder) / "out")
        yield f"| {count:,} | {peak / 2**20:,.0f} |"


def run_as_child(what: str, root: Path, out: Path) -> int:
    """Run the baseline (returns its number of faces), or `curate measure` (returns its peak memory in bytes)."""
    if what == "baseline":
        return baseline(root, out)
    curate_measure(root, out)
    return peak_memory(resource.RUSAGE_CHILDREN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=300, help="photos of each collection")
    parser.add_argument("--memory", type=int, nargs="*", metavar="PHOTOS", help="measure peak memory instead of speed")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, root, out = options.child
        print(json.dumps(run_as_child(what, Path(root), Path(out))))
        return
    for line in memory(options.memory) if options.memory else speed(options.photos):
        print(line, flush=True)


if __name__ == "__main__":
    main()
