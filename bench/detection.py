"""MTCNN of curate/faces against facenet-pytorch's on the same photos: agreement, detection rate, time per photo.

    OMP_NUM_THREADS=1 SWAPSET_DATA=DIR python -m bench.detection --photos 120

Protocol: an equal number of photos from each collection in $SWAPSET_DATA, spread evenly over its sorted paths.
"full" (every scale of the image pyramid) is compared with the original, "coarse" (the default) with "full". Two main
faces are the same if their IoU is over 0.7. Landmark errors are means over the five points as a share of the eye
distance. The original processes one photo at a time, because its batches need photos of one size. Times are CPU time
of all threads. Prints Markdown.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from facenet_pytorch import MTCNN

from bench.photos import data
from curate.faces.align import Photo
from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings
from curate.faces.faces import Faces

COLLECTIONS = ("celebs-color", "celebamask/images", "web-raw", "sjtu-png", "lfw-gray", "celebs-112")
BATCH = 32
MIN_IOU_MAIN, MIN_IOU_OTHER = 0.7, 0.5

Box = npt.NDArray[np.float32]


@dataclass
class Agreement:
    """How well detections agree with a reference, summed over photos.

    Attributes:
        photos: photos where the reference has a face.
        same: those of them whose main face is the same.
        errors: landmark error of each same main face, a share of the eye distance.
        max_px: largest difference of a box or landmark coordinate of a same main face, in px.
        others: further faces of the reference, up to three per photo, at least a third as large as the main face.
        others_detected: those of them that are detected.
    """

    photos: int = 0
    same: int = 0
    errors: list[float] = field(default_factory=list)
    max_px: float = 0.0
    others: int = 0
    others_detected: int = 0

    @classmethod
    def of(cls, detections: Sequence[Faces], reference: Sequence[Faces]) -> "Agreement":
        agreement = cls()
        for faces, expected in zip(detections, reference, strict=True):
            if len(expected):
                agreement._add_main_face(faces, expected)
                agreement._add_other_faces(faces, expected)
        return agreement

    def _add_main_face(self, faces: Faces, expected: Faces) -> None:
        self.photos += 1
        if len(faces) and iou(faces.box[0], expected.box[0]) > MIN_IOU_MAIN:
            self.same += 1
            distances = np.linalg.norm(faces.landmarks[0] - expected.landmarks[0], axis=1)
            eyes = np.linalg.norm(expected.landmarks[0, 1] - expected.landmarks[0, 0])
            self.errors.append(float(distances.mean() / max(eyes, 1)))
            box_difference = np.abs(faces.box[0] - expected.box[0])
            self.max_px = max(self.max_px, float(distances.max()), float(box_difference.max()))

    def _add_other_faces(self, faces: Faces, expected: Faces) -> None:
        sides = (expected.box[:, 2:] - expected.box[:, :2]).max(1)
        large = expected.box[1:4][sides[1:4] >= sides[0] / 3]
        self.others += len(large)
        self.others_detected += sum(any(iou(box, other) > MIN_IOU_OTHER for other in faces.box) for box in large)

    def add(self, part: "Agreement") -> None:
        self.photos += part.photos
        self.same += part.same
        self.errors += part.errors
        self.max_px = max(self.max_px, part.max_px)
        self.others += part.others
        self.others_detected += part.others_detected

    def error_percentiles(self) -> tuple[float, float]:
        """Median and 95th percentile of the landmark errors."""
        median, p95 = np.percentile(self.errors or [0], [50, 95])
        return float(median), float(p95)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (4,)."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def read_sample(root: Path, count: int) -> list[Photo]:
    """Read every k-th photo below `root`, `count` at most."""
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".jpg", ".png"))
    paths = paths[:: max(1, len(paths) // max(count, 1))][:count]
    photos = [cv2.imread(str(path)) for path in paths]
    return [cv2.cvtColor(photo, cv2.COLOR_BGR2RGB) for photo in photos if photo is not None]


def detect_original(detector: MTCNN, photos: Sequence[Photo]) -> Faces:
    """Run facenet-pytorch's detector on one photo at a time."""
    parts = []
    for index, photo in enumerate(photos):
        boxes, scores, points = detector.detect(photo, landmarks=True)
        if boxes is not None:
            box, landmarks, score = (np.asarray(part, np.float32) for part in (boxes, points, scores))
            parts.append(Faces(np.full(len(boxes), index), box, landmarks, score))
    return Faces.concat(parts)


def detect_timed(detect: Callable[[list[Photo]], Faces], photos: list[Photo]) -> tuple[list[Faces], float]:
    """Detect in batches; returns the faces of each photo, and CPU time in ms per photo."""
    batches = [photos[start : start + BATCH] for start in range(0, len(photos), BATCH)]
    start = time.process_time()
    detections = [detect(batch) for batch in batches]
    milliseconds = (time.process_time() - start) * 1000 / len(photos)
    faces = [part.in_photo(k) for batch, part in zip(batches, detections, strict=True) for k in range(len(batch))]
    return faces, milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=120, help="of all collections together")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    original = MTCNN(keep_all=True, device=torch.device(options.device))
    # The refinement of landmarks is not part of the original; bench/embedders.py measures its effect.
    full = Mtcnn(options.device, MtcnnSettings("full", max_faces=100, refine_landmarks=False))
    coarse = Mtcnn(options.device, MtcnnSettings("coarse", max_faces=100, refine_landmarks=False))
    print("| collection | photos | median px | full = original | max px | coarse = full | landmarks p50 | p95 "
          "| with a face: original / full / coarse | other faces | CPU ms original / full / coarse |")  # fmt: skip
    print("|---" * 11 + "|")
    all_full, all_coarse = Agreement(), Agreement()
    for name in COLLECTIONS:
        photos = read_sample(data() / name, options.photos // len(COLLECTIONS))
        if not photos:
            print(f"| {name} | 0 |")
            continue
        coarse(photos[:2])  # warms up
        faces_original, ms_original = detect_timed(lambda batch: detect_original(original, batch), photos)
        faces_full, ms_full = detect_timed(full, photos)
        faces_coarse, ms_coarse = detect_timed(coarse, photos)
        full_agreement = Agreement.of(faces_full, faces_original)
        coarse_agreement = Agreement.of(faces_coarse, faces_full)
        all_full.add(full_agreement)
        all_coarse.add(coarse_agreement)
        median, p95 = coarse_agreement.error_percentiles()
        with_face = "/".join(str(sum(map(bool, faces))) for faces in (faces_original, faces_full, faces_coarse))
        size = "x".join(str(int(side)) for side in np.median([photo.shape[1::-1] for photo in photos], axis=0))
        print(f"| {name} | {len(photos)} | {size} | {full_agreement.same}/{full_agreement.photos} "
              f"| {full_agreement.max_px:.4f} | {coarse_agreement.same}/{coarse_agreement.photos} "
              f"| {median:.2%} | {p95:.2%} | {with_face} "
              f"| {coarse_agreement.others_detected}/{coarse_agreement.others} "
              f"| {ms_original:.1f} / {ms_full:.1f} / {ms_coarse:.1f} |", flush=True)  # fmt: skip
    median, p95 = all_coarse.error_percentiles()
    print(f"\nAll collections: full has the main face of the original in {all_full.same / max(all_full.photos, 1):.2%} "
          f"of {all_full.photos} photos, coarse that of full in {all_coarse.same / max(all_coarse.photos, 1):.2%} of "
          f"{all_coarse.photos}. Landmark errors of coarse are {median:.2%} (median) and {p95:.2%} (95th percentile) "
          f"of the eye distance. Of {all_coarse.others} further faces at least a third as large, up to three per "
          f"photo, coarse detects {all_coarse.others_detected}. {torch.get_num_threads()} threads.")  # fmt: skip


if __name__ == "__main__":
    main()
