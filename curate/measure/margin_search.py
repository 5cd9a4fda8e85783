"""Faces that fill the frame: photos cropped so tightly that the detector's box does not fit into them.

A detector that sees no background around a face takes a part of it for the whole: the mouth is put below the photo,
an eye beside it, or no face is found. Where the main face reaches beyond the photo in this way, or none is found, the
photo is searched again with a margin of its mean colour. Of 60 faces of three collections whose landmarks were put
beyond the photo, 57 then have them on the face.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from curate.decode import Pixels
from curate.faces import align
from curate.faces.detectors.detector import Detector
from curate.faces.faces import Faces
from manifests.landmarks import TEMPLATES, Floats

MARGIN = 0.5
"""On each side, in units of the shorter side of the photo."""
_MAX_SIDE = 400  # longest side of the photo in the view, px
_MAX_CROP = 1.45  # side of a face's crop over the shorter side of the photo, from which landmarks are doubted
_MIN_FACE = 0.5  # side of a face's box over the shorter side of the photo: smaller faces do not fill the frame
_MIN_SCORE_SHARE = 0.95  # of the confident score, for a photo without a face
_TEMPLATE = TEMPLATES["simswap-224"]


def search_with_margin(photos: Sequence[Pixels], faces: Faces, detector: Detector) -> Faces:
    """Search the photos whose main face seems to reach beyond them, and those without a face, with a margin.

    Args:
        photos: uint8 (H, W, 3) RGB.
        faces: what `detector` found on them.
        detector: called on all views at once.

    Returns:
        Faces with those of a photo replaced where its main face then lies inside the photo with all landmarks.
    """
    main = faces.largest()
    crop = dict(zip(main.photo.tolist(), _crop_sides(main).tolist(), strict=True))
    outside = dict(zip(main.photo.tolist(), _outside(main, photos).tolist(), strict=True))
    doubted = [
        index
        for index, photo in enumerate(photos)
        if index not in crop or outside[index] or crop[index] > _MAX_CROP * min(photo.shape[:2])
    ]
    if not doubted:
        return faces
    found = detect_with_margin([photos[index] for index in doubted], detector).with_photos(doubted)
    again = found.largest()
    sides = (again.box[:, 2:] - again.box[:, :2]).max(1, initial=0)
    better = {
        index
        for index, beyond, side, length, score in zip(
            again.photo.tolist(), _outside(again, photos), _crop_sides(again), sides, again.score, strict=True
        )
        if not beyond
        and length >= _MIN_FACE * min(photos[index].shape[:2])
        and (side < crop[index] if index in crop else score >= _MIN_SCORE_SHARE * detector.confident_score)
    }
    rows = np.array(sorted(better), np.int64)
    merged = Faces.concat([faces.take(~np.isin(faces.photo, rows)), found.take(np.isin(found.photo, rows))])
    return merged.take(np.argsort(merged.photo, kind="stable"))


def detect_with_margin(photos: Sequence[Pixels], detector: Detector) -> Faces:
    """Detect the faces of photos with a margin of MARGIN, at a reduced size; returned in px of the photos."""
    views, scales, margins = [], [], []
    for photo in photos:
        scale = min(1.0, _MAX_SIDE / max(photo.shape[:2]))
        size = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
        small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA) if scale < 1 else photo
        margin = max(1, round(MARGIN * min(size)))
        colour = photo.reshape(-1, 3).mean(0).tolist()
        views.append(cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=colour))
        scales.append(np.array(size) / photo.shape[1::-1])
        margins.append(margin)
    faces = detector([np.asarray(view, np.uint8) for view in views])
    margin, scale = np.array(margins)[faces.photo, None], np.array(scales).reshape(-1, 2)[faces.photo]

    def in_photo(points: Floats) -> npt.NDArray[np.float32]:
        # Pixel centres are at integers.
        return np.asarray((points - margin[:, None] + 0.5) / scale[:, None] - 0.5, np.float32)

    box = in_photo(faces.box.reshape(-1, 2, 2)).reshape(-1, 4)
    return Faces(faces.photo, box, in_photo(faces.landmarks), faces.score)


def _crop_sides(faces: Faces) -> Floats:
    """Side of each face's crop in px of its photo, (N,); infinite where the landmarks fit no crop."""
    scale = np.hypot(*align.fit(faces.landmarks, _TEMPLATE)[0][:, 0, :2].T)
    return np.where(scale > 0, _TEMPLATE.size[0] / np.maximum(scale, 1e-9), np.inf)


def _outside(faces: Faces, photos: Sequence[Pixels]) -> npt.NDArray[np.bool_]:
    """Whether a landmark of each face lies beyond its photo, (N,)."""
    limits = np.array([photos[index].shape[1::-1] for index in faces.photo]).reshape(-1, 1, 2) - 0.5
    beyond = (faces.landmarks < -0.5) | (faces.landmarks > limits) | ~np.isfinite(faces.landmarks)
    return np.asarray(beyond.any((1, 2)), bool)
