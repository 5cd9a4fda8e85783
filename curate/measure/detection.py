"""Faces of a batch of photos: those that the source supplies where they fit, and the detector's on all other photos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.faces.detectors.detector import Detector
from curate.faces.faces import Faces
from curate.measure.aligned import at_template
from curate.measure.margin_search import search_with_margin
from curate.measure.photos import Photo
from curate.measure.supplied import MISMATCH, ROTATED, FolderCheck, implausible, matches, supplied_points
from curate.measure.turned import search_turned
from manifests.landmarks import Floats


@dataclass(frozen=True)
class Detections:
    """The faces of P photos.

    Attributes:
        faces: in the order of the photos.
        turns: int16 (P,), degrees by which each photo must be turned clockwise to be upright.
        rejections: P reasons why the landmarks of the source were not used; None where they were, or there are none.
    """

    faces: Faces
    turns: npt.NDArray[np.int16]
    rejections: list[str | None]

    def part(self, first: int, end: int) -> "Detections":
        """Return the detections of photos `first` to `end`, counted from 0."""
        faces = self.faces.take((self.faces.photo >= first) & (self.faces.photo < end))
        faces = Faces(faces.photo - first, faces.box, faces.landmarks, faces.score)
        return Detections(faces, self.turns[first:end], self.rejections[first:end])


def detect_faces(
    photos: Sequence[Photo], detector: Detector, check: FolderCheck | None = None, *, aligned: bool = False
) -> Detections:
    """Return the faces of a batch, in the order of the photos; photos with an error have none.

    Landmarks of the source replace detection where they fit the photo and its folder (see `supplied.py`); they never
    apply to a photo with an EXIF orientation, which they ignore.

    Args:
        photos: the batch.
        detector: finds the faces of all other photos, and of the sample of each folder.
        check: the state of the folders that earlier batches of the shard began.
        aligned: whether the photos are crops of a template already, see `aligned.py`.
    """
    check = check or FolderCheck()
    rejections: list[str | None] = [None] * len(photos)
    turns = np.zeros(len(photos), np.int16)
    supplied: dict[int, Faces] = {}
    sampled: list[int] = []
    for index, photo in enumerate(photos):
        if photo.decoded is None or photo.entry.landmarks is None:
            continue
        points = supplied_points(photo.entry, photo.decoded.shrink)
        if photo.decoded.orientation != 1:
            rejections[index] = ROTATED
        elif reason := implausible(points, photo.decoded.width, photo.decoded.height):
            rejections[index] = reason
        else:
            supplied[index] = _supplied_face(photo, points)
            if check.is_sampled(photo.entry):
                sampled.append(index)

    searched = [index for index, photo in enumerate(photos) if photo.decoded is not None and index not in supplied]
    detected = _detect(photos, sorted([*searched, *sampled]), detector)
    wrong = set[int]()
    for index in sampled:
        faces = detected.in_photo(index)
        fits = matches(supplied[index].landmarks[0], faces) if len(faces) else None
        check.record(photos[index].entry, fits)
        # Among several faces, the supplied one may be another that the detector has missed.
        if fits is False and len(faces) == 1 and faces.score[0] >= detector.confident_score:
            wrong.add(index)
    for index in supplied:
        if index in wrong or not check.fits(photos[index].entry):
            rejections[index] = MISMATCH
    late = [index for index in supplied if rejections[index] and index not in sampled]
    detected = Faces.concat([detected, _detect(photos, late, detector)])

    used = [index for index in supplied if not rejections[index]]
    upright = detected.take(~np.isin(detected.photo, used))
    rest = [index for index, photo in enumerate(photos) if photo.decoded is not None and index not in used]
    if rest:
        position = np.zeros(len(photos), np.int64)
        position[rest] = np.arange(len(rest))
        upright = upright.take(np.argsort(upright.photo, kind="stable")).with_photos(position)
        images = _images(photos, rest)
        if not aligned:
            upright = search_with_margin(images, upright, detector)
        known = at_template(upright, images) if aligned else None
        turned, turns[rest] = search_turned(images, upright, detector, known)
        upright = turned.with_photos(rest)
    faces = Faces.concat([upright, *(supplied[index].with_photos([index]) for index in used)])
    return Detections(faces.take(np.argsort(faces.photo, kind="stable")), turns, rejections)


def _detect(photos: Sequence[Photo], indices: Sequence[int], detector: Detector) -> Faces:
    """Detect the faces of the decoded photos with these indices."""
    return detector(_images(photos, indices)).with_photos(indices) if indices else Faces.empty()


def _images(photos: Sequence[Photo], indices: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
    return [decoded.pixels for index in indices if (decoded := photos[index].decoded)]


def _supplied_face(photo: Photo, points: Floats) -> Faces:
    """Return the one face of a photo whose landmarks the source supplies."""
    shrink = photo.decoded.shrink if photo.decoded else 1
    source_box = [side / shrink for side in photo.entry.box] if photo.entry.box else _box_around(points)
    box = np.array(source_box, np.float32)
    return Faces(np.zeros(1, np.int64), box[None], points[None], np.full(1, np.nan, np.float32))


def _box_around(points: Floats) -> tuple[float, float, float, float]:
    """Return a box like a detector's around five points (5, 2): their hull, extended to brow, chin and cheeks."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    width, height = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    return float(x0 - 0.5 * width), float(y0 - 0.7 * height), float(x1 + 0.5 * width), float(y1 + 0.6 * height)
