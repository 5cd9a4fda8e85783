"""Face detection against facenet-pytorch's MTCNN, on the same photos: agreement, faces found, time a photo.

    OMP_NUM_THREADS=1 SWAPSET_DATA=DIR python -m bench.detection --photos 120

Takes an equal share of the photos from each collection in $SWAPSET_DATA, spread evenly over its sorted paths.
"full" is held against the original; "coarse" against "full". Errors of landmarks are the mean over the five points as
a share of the distance between the eyes. The original gets one photo at a time (its batches need one size). Times
are CPU time, of all threads together. Prints Markdown.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN

from curate.faces.align import Photo
from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings
from curate.faces.faces import Faces

COLLECTIONS = ("celebs-color", "celebamask/images", "web-raw", "sjtu-png", "lfw-gray", "celebs-112")
BATCH = 32


def sample(root: Path, count: int) -> list[Photo]:
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".jpg", ".png"))
    chosen = paths[:: max(1, len(paths) // max(count, 1))][:count]
    pictures = [cv2.imread(str(path)) for path in chosen]
    return [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in pictures if picture is not None]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def timed(detect: Callable[[list[Photo]], Faces], photos: list[Photo]) -> tuple[list[Faces], float]:
    """The faces that `detect` returns for each photo, run in batches, and its CPU time in ms a photo."""
    start = time.process_time()
    batches = [photos[first : first + BATCH] for first in range(0, len(photos), BATCH)]
    detected = [detect(batch) for batch in batches]
    took = (time.process_time() - start) * 1000 / len(photos)
    return [faces.in_photo(k) for batch, faces in zip(batches, detected, strict=True) for k in range(len(batch))], took


def originals(model: MTCNN, photos: list[Photo]) -> Faces:
    parts = []
    for index, photo in enumerate(photos):
        boxes, scores, points = model.detect(photo, landmarks=True)
        if boxes is not None:
            arrays = (np.asarray(part, np.float32) for part in (boxes, points, scores))
            parts.append(Faces(np.full(len(boxes), index), *arrays))
    return Faces.concat(parts)


def agreement(ours: list[Faces], theirs: list[Faces]) -> tuple[int, int, list[float], float]:
    """Photos where `theirs` has a face, where ours has the same main face, its landmark errors, the worst px."""
    faces, same, errors, worst = 0, 0, [], 0.0
    for mine, other in zip(ours, theirs, strict=True):
        if len(other) == 0:
            continue
        faces += 1
        if len(mine) and iou(mine.box[0], other.box[0]) > 0.7:
            same += 1
            off = np.linalg.norm(mine.landmarks[0] - other.landmarks[0], axis=1)
            eyes = np.linalg.norm(other.landmarks[0, 1] - other.landmarks[0, 0])
            errors.append(float(off.mean() / max(eyes, 1)))
            worst = max(worst, float(off.max()), float(np.abs(mine.box[0] - other.box[0]).max()))
    return faces, same, errors, worst


def comparable(ours: list[Faces], theirs: list[Faces]) -> tuple[int, int]:
    """Faces after the first, up to three a photo, of a third of its side and more: those in ours, all in `theirs`."""
    seen = others = 0
    for mine, other in zip(ours, theirs, strict=True):
        sides = (other.box[:, 2:] - other.box[:, :2]).max(1)
        for box in other.box[1:4][sides[1:4] >= sides[:1].max(initial=0) / 3]:
            others += 1
            seen += any(iou(box, own) > 0.5 for own in mine.box)
    return seen, others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    root = Path(os.environ["SWAPSET_DATA"])
    original = MTCNN(keep_all=True, device=torch.device(arguments.device))
    # The second look at the points is no part of the original; bench/embedders.py shows what it is worth.
    full = Mtcnn(arguments.device, MtcnnSettings("full", max_faces=100, refine_landmarks=False))
    coarse = Mtcnn(arguments.device, MtcnnSettings("coarse", max_faces=100, refine_landmarks=False))
    print("| collection | photos | median px | full = original | worst px | coarse = full | landmarks p50 | p95 "
          "| found original / full / coarse | other faces | CPU ms original / full / coarse |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    totals, errors = np.zeros(6, int), []
    for name in COLLECTIONS:
        photos = sample(root / name, arguments.photos // len(COLLECTIONS))
        if not photos:
            print(f"| {name} | 0 |")
            continue
        coarse(photos[:2])
        reference, ms_original = timed(lambda batch: originals(original, batch), photos)
        slow, ms_full = timed(full, photos)
        quick, ms_coarse = timed(coarse, photos)
        of, same_full, _, worst = agreement(slow, reference)
        n, same, off, _ = agreement(quick, slow)
        seen, others = comparable(quick, slow)
        totals += [of, same_full, n, same, seen, others]
        errors += off
        p50, p95 = np.percentile(off, [50, 95]) if off else (0, 0)
        found = "/".join(str(sum(len(one) > 0 for one in set_)) for set_ in (reference, slow, quick))
        size = "x".join(str(int(side)) for side in np.median([photo.shape[1::-1] for photo in photos], axis=0))
        print(f"| {name} | {len(photos)} | {size} | {same_full}/{of} | {worst:.4f} | {same}/{n} "
              f"| {p50:.2%} | {p95:.2%} | {found} | {seen}/{others} "
              f"| {ms_original:.1f} / {ms_full:.1f} / {ms_coarse:.1f} |", flush=True)  # fmt: skip
    of, same_full, n, same, seen, others = (int(total) for total in totals)
    p50, p95 = np.percentile(errors or [0], [50, 95])
    print(f"\nAll: full has the original's main face in {same_full / max(of, 1):.2%} of {of} photos, coarse has "
          f"full's in {same / max(n, 1):.2%} of {n}; its landmarks are off by {p50:.2%} (median) and {p95:.2%} (95th "
          f"percentile) of the eye distance; of {others} further faces at least a third as large, up to three a photo, "
          f"coarse has {seen}. {torch.get_num_threads()} threads.")  # fmt: skip


if __name__ == "__main__":
    main()
