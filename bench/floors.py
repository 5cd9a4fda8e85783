"""Floors under the speed of curation, as ratios of CPU time: bench/floors.toml. The exit code is 1 below a floor.

    python -m bench.floors [--photos 24] [--rounds 7]

Protocol: photos that ship with the dependencies (see bench/gpu.py), 350 px, one thread. Baseline and path run in turn;
of each the least CPU time of the rounds counts, because other work on the machine only adds.
"""

import argparse
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import torch

from bench.gpu import TEMPLATE, photos
from curate.faces.models import load, resolve
from curate.measure.inputs import FaceInputs, PhotoInputs
from curate.measure.sharpness import load_calibration
from curate.measure.table import MEASURES, measure_faces

FLOORS = Path(__file__).with_name("floors.toml")
Work = Callable[[], object]


def floors() -> dict[str, float]:
    """Read the floor of each path."""
    return {name: float(entry["floor"]) for name, entry in tomllib.loads(FLOORS.read_text()).items()}


def pairs(count: int) -> dict[str, tuple[Work, Work]]:
    """Return the baseline and the path of each floor, on `count` photos."""
    from facenet_pytorch import MTCNN

    images = photos(count)
    models, original = load(resolve("builtin"), "cpu"), MTCNN(keep_all=True, device="cpu")
    faces = models.detector(images).alignable()
    crops, matrices = faces.crop(images, TEMPLATE), faces.matrices(TEMPLATE)
    labels = models.segmenter.label_maps(crops)
    inputs = images, faces, TEMPLATE, matrices, crops, labels, load_calibration()
    of_photos = [measure for measure in MEASURES if measure.scope == "photo"]

    def segment() -> object:
        return models.segmenter.label_maps(crops[:count])

    return {
        "detection": (
            lambda: [original.detect(image, landmarks=True) for image in images],
            lambda: models.detector(images),
        ),
        "photo_measures": (
            segment,
            lambda: [measure(part) for part in map(PhotoInputs, images) for measure in of_photos],
        ),
        "face_measures": (
            lambda: models.segmenter.label_maps(crops),
            lambda: measure_faces(MEASURES, FaceInputs(*inputs)),
        ),
        "warps": (
            lambda: models.segmenter.label_maps(crops),
            lambda: [faces.crop(images, template) for template in (TEMPLATE, models.embedder.template)],
        ),
    }


def ratio(baseline: Work, path: Work, rounds: int) -> float:
    """CPU time of the baseline over that of the path, the least of the rounds of each, after one to warm up."""
    best = [float("inf"), float("inf")]
    for turn in range(rounds + 1):
        for side, call in enumerate((baseline, path)):
            start = time.thread_time()
            call()
            best[side] = min(best[side], time.thread_time() - start) if turn else best[side]
    return best[0] / best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    measured, below = pairs(options.photos), 0
    print("| path | baseline / path, CPU time | floor | |\n|---|---:|---:|---|")
    for name, floor in floors().items():
        value = ratio(*measured[name], options.rounds)
        below += value < floor
        print(f"| {name} | {value:.1f} | {floor:g} | {'**below**' if value < floor else ''} |", flush=True)
    if below:
        sys.exit(f"{below} of {len(measured)} paths are slower than the floors of {FLOORS}: profile the last changes")


if __name__ == "__main__":
    main()
