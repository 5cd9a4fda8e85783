"""Curation by worker processes on a GPU, a part of `python -m bench.gpu`.

Protocol: `curate.measure.run` of a folder of photos (hard links to a few hundred different ones) in worker
processes that share the device and divide the cores; once detected, once with the landmarks of a VGGFace2 table.
Photos/s between 30% and 85% of the photos, so that neither the start of the processes nor the last shards count.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.decode import Pixels
from curate.faces.faces import Faces
from curate.faces.models import Models
from curate.measure import MeasureRequest
from curate.measure import measure as measuring

WORKERS = (1, 4, 8, 16)
PER_FOLDER = 100
_FROM, _TO = 0.3, 0.85  # shares of the photos between which the rate is taken


class _Clock:
    """A `Listener` that records the time and the number of finished photos at each report."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.seen: list[tuple[float, int]] = []

    def start(self, step: str, total: int | None, unit: str = "photos", done: int = 0) -> None:
        self.total, self.done, self.seen = total or 0, done, []

    def advance(self, count: int = 1) -> None:
        self.done += count
        self.seen.append((time.perf_counter(), self.done))

    def finish(self) -> None: ...
    def note(self, message: str) -> None: ...

    def rate(self) -> float:
        """Return photos/s in the middle of the step; of all reports where there are too few."""
        middle = [point for point in self.seen if _FROM * self.total <= point[1] <= _TO * self.total]
        points = middle if len(middle) > 1 else self.seen
        if len(points) < 2:
            return float("nan")
        (began, before), (ended, after) = points[0], points[-1]
        return (after - before) / (ended - began)


def curation(images: Sequence[Pixels], models: Models, photos_per_worker: int) -> Iterator[tuple[str, float]]:
    """Yield the rate of every number of workers, detected and with landmarks. `photos_per_worker`: of a run."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        coded = [cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1] for image in images]
        faces = models.detector(images)
        for workers in [count for count in WORKERS if count <= cores]:
            count = photos_per_worker * (2 + workers)
            source = root / f"{workers}"
            _write(source, coded, faces, count)
            for layout, path, title in (
                ("folder", source / "train", "detected"),
                ("vggface2", source, "landmarks given"),
            ):
                if layout == "vggface2" and workers < min(8, cores):
                    continue
                clock = _Clock()
                request = MeasureRequest(
                    layout=layout,
                    root=path,
                    out=root / f"out-{layout}-{workers}",
                    models="builtin",
                    template="simswap-224",
                    device=models.device.type,
                    workers=workers,
                    buckets=4 * workers,
                )
                measuring.run(measuring.plan(request), clock)
                yield f"curate measure, {title}, {workers} workers of {cores // workers} threads", clock.rate()


def _write(root: Path, coded: Sequence[npt.NDArray[np.uint8]], faces: Faces, count: int) -> None:
    """Write `count` photos in folders of VGGFace2's names, and the table of their landmarks."""
    different = root / "different"
    different.mkdir(parents=True)
    for number, data in enumerate(coded):
        (different / f"{number}.jpg").write_bytes(data.tobytes())
    first = {int(photo): row for row, photo in reversed(list(enumerate(faces.photo)))}
    rows = ["NAME_ID," + ",".join(f"P{point}{axis}" for point in range(1, 6) for axis in "XY")]
    for number in range(count):
        name = f"n{number // PER_FOLDER:06d}/{number % PER_FOLDER:04d}_01"
        path = root / "train" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(different / f"{number % len(coded)}.jpg", path)
        if (row := first.get(number % len(coded))) is not None:
            rows.append(f'"{name}",' + ",".join(f"{value:.2f}" for value in faces.landmarks[row].flatten()))
    (root / "loose_landmark_train.csv").write_text("\n".join(rows) + "\n")
