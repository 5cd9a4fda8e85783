"""Checks of the landmarks that a source supplies: they must fit the photo, and near what the detector finds.

Photos that were resized, cropped or aligned after their landmarks were published no longer match them.
"""

from dataclasses import dataclass, field

import numpy as np

from curate.faces import align
from curate.faces.faces import Faces
from curate.sources import Entry
from manifests.landmarks import TEMPLATES, Floats

SAMPLE_PHOTOS = 4
"""Photos of each folder on which the detector checks the landmarks."""
MAX_DISTANCE = 0.3
"""Mean distance of five points to the detector's, in face sizes, up to which they are the same face."""
MAX_RESIDUAL = 18.0
"""Root mean square distance to the nearest pose of the template, crop px of 224; detected faces stay below 13."""
_MARGIN = 0.5  # face sizes that a point may lie beyond the edge of the photo: faces are cut off there

OUTSIDE, IMPLAUSIBLE = "outside the photo", "not the shape of a face"
MISMATCH = "far from the detected face"
ROTATED = "EXIF rotates the photo"


def supplied_points(entry: Entry, shrink: float = 1.0) -> Floats:
    """Return the landmarks of an entry that has some, float32 (5, 2), px of the photo shrunk by `shrink`."""
    points = np.array(entry.landmarks, np.float32).reshape(5, 2)
    return np.asarray(align.rescale_points(points, 1 / shrink), np.float32)


def face_size(points: Floats) -> float:
    """Return the mean of eye distance and eye-mouth distance, px: a size that does not vanish in a profile."""
    eyes = np.hypot(*(points[1] - points[0]))
    down = np.hypot(*(points[3:].mean(0) - points[:2].mean(0)))
    return float((eyes + down) / 2)


def implausible(points: Floats, width: int, height: int) -> str | None:
    """Return why points (5, 2) cannot be the landmarks of a face on a photo of this size; None where they can.

    A point may lie beyond the edge by half a face size. The order of the points and their proportions are those of a
    face if a similarity transform takes them to a pose of the template with a small residual.
    """
    if not align.is_alignable(points[None])[0]:
        return IMPLAUSIBLE
    margin = _MARGIN * face_size(points)
    if (points < -margin).any() or (points > np.array([width, height]) + margin).any():
        return OUTSIDE
    centre = points.mean(0)
    if (centre < 0).any() or (centre > [width, height]).any():
        return OUTSIDE
    residual = align.fit(points[None], TEMPLATES["simswap-224"])[1][0]
    return IMPLAUSIBLE if residual > MAX_RESIDUAL else None


def matches(points: Floats, detected: Faces) -> bool:
    """Whether one of the detected faces of a photo is the face with these landmarks."""
    return any(
        np.hypot(*(points - landmarks).T).mean() <= MAX_DISTANCE * face_size(landmarks)
        for landmarks in detected.landmarks
    )


@dataclass
class FolderCheck:
    """Whether the landmarks of each folder fit, by a sample of its photos.

    The sample is the first SAMPLE_PHOTOS photos of a folder of one identity whose landmarks are plausible, in the order
    of the shard: it depends on the photos alone, and is complete before another photo of the folder is decided on.
    """

    votes: dict[tuple[str, str], dict[str, bool | None]] = field(default_factory=dict)

    def is_sampled(self, entry: Entry) -> bool:
        """Whether the photo is in the sample; takes it into one that is not complete."""
        sample = self.votes.setdefault(_folder(entry), {})
        if len(sample) < SAMPLE_PHOTOS:
            sample.setdefault(entry.image_id, None)
        return entry.image_id in sample

    def record(self, entry: Entry, fits: bool | None) -> None:
        """Record whether the landmarks of a sampled photo match a detected face; None: no face was detected."""
        self.votes[_folder(entry)][entry.image_id] = fits

    def fits(self, entry: Entry) -> bool:
        """Whether more than half of the votes of the photo's folder say that the landmarks fit, or there is no vote."""
        votes = [vote for vote in self.votes.get(_folder(entry), {}).values() if vote is not None]
        return not votes or 2 * sum(votes) > len(votes)


def _folder(entry: Entry) -> tuple[str, str]:
    return entry.identity, entry.image_id.rpartition("/")[0]
