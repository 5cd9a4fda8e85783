"""Faces of a batch of photos: those that the source supplies, and the detector's on all other photos."""

from collections.abc import Sequence

import numpy as np

from curate.decode import Pixels
from curate.faces.detectors.detector import Detector
from curate.faces.faces import Faces
from curate.measure.photos import Photo
from curate.sources import Entry
from manifests.landmarks import Floats


def detect_faces(photos: Sequence[Photo], detector: Detector) -> Faces:
    """Return the faces of a batch, in the order of the photos; photos with an error have none.

    Landmarks of the source replace detection, except on a photo with an EXIF orientation, which they ignore.
    """
    searched: list[int] = []
    images: list[Pixels] = []
    parts: list[Faces] = []
    for index, photo in enumerate(photos):
        if photo.decoded is None:
            continue
        if photo.entry.landmarks is not None and photo.decoded.orientation == 1:
            parts.append(_supplied_face(photo.entry).with_photos([index]))
        else:
            searched.append(index)
            images.append(photo.decoded.pixels)
    if images:
        parts.append(detector(images).with_photos(searched))
    faces = Faces.concat(parts)
    return faces.take(np.argsort(faces.photo, kind="stable"))


def _supplied_face(entry: Entry) -> Faces:
    """Return the one face of a photo whose landmarks the source supplies."""
    points = np.array(entry.landmarks, np.float32).reshape(5, 2)
    box = np.array(entry.box or _box_around(points), np.float32)
    return Faces(np.zeros(1, np.int64), box[None], points[None], np.full(1, np.nan, np.float32))


def _box_around(points: Floats) -> tuple[float, float, float, float]:
    """Return a box like a detector's around five points (5, 2): their hull, extended to brow, chin and cheeks."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    width, height = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    return float(x0 - 0.5 * width), float(y0 - 0.7 * height), float(x1 + 0.5 * width), float(y1 + 0.6 * height)
