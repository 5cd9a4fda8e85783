"""Faces of photos that are stored turned by 90, 180 or 270 degrees, without an EXIF orientation that says so.

Where the upright photo shows no face, or one with a score that faces seldom have, other orientations of a small view
are searched: of the surroundings of the face, or of the whole photo. All three are searched, unless the score and the
tilt of the face leave one likely. An orientation with at least the score of the photo as stored is then searched at
full size, and both once more with a margin (`margin_search.py`): an upright face that fills the frame is now and then
found more confidently upside down, but not with background around it. Detectors are trained on upright faces: of 153
photos turned by 180 degrees MTCNN finds no face in 88 and gives the others scores of less than 0.997 but for one;
upright, four in five of all score more.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from curate.decode import Pixels
from curate.faces import align
from curate.faces.detectors.detector import Detector
from curate.faces.faces import Faces
from curate.measure.margin_search import detect_with_margin
from manifests.landmarks import TEMPLATES, Floats

QUARTERS = (1, 2, 3)
"""Counter-clockwise quarter turns that can be tried."""
MAX_ROLL = 45.0
"""Degrees that the head may be tilted in the right orientation."""
_PHOTO_SIDE = 200  # longest side of a view of the whole photo, px
_FACE_SIDE = 32  # longest side of the face box in a view of its surroundings, px
_SURROUNDINGS = 1.6  # side of a view of the surroundings, in sides of the face box
_LOW_SCORE_SHARE = 0.9  # of the confident score; a lower score may be no face at all, so the whole photo is searched
_LIKELY_SHARE = 0.97  # of the confident score; a face of this score is searched in its likely orientations only
_PROMISING_SHARE = 0.95  # of the confident score, below which a turned face is not believed
_UPRIGHT_SHARE = 0.993  # of the confident score; with a margin, photos that are stored turned seldom reach it
_MAX_DOUBT = 0.6  # of 1 - score as stored: the largest 1 - score of a face found in another orientation


def search_turned(
    photos: Sequence[Pixels], faces: Faces, detector: Detector, upright: npt.NDArray[np.bool_] | None = None
) -> tuple[Faces, npt.NDArray[np.int16]]:
    """Search the photos without a confident face in other orientations.

    Args:
        photos: uint8 (H, W, 3) RGB, upright as stored.
        faces: what `detector` found on them.
        detector: called on all views at once, then on the photos with a promising one.
        upright: bool (F,), faces that are known to be upright; their photos are not searched. None: no face.

    Returns:
        Faces with those of turned photos replaced, in px of the photos as given, and for each photo the degrees by
        which it must be turned clockwise to be upright, int16 (P,): 0, 90, 180 or 270.
    """
    turns = np.zeros(len(photos), np.int16)
    main_faces = faces.largest()
    scores = np.zeros(len(photos), np.float64)
    scores[main_faces.photo] = main_faces.score
    rolls = dict(zip(main_faces.photo.tolist(), _rolls(main_faces).tolist(), strict=True))
    boxes = dict(zip(main_faces.photo.tolist(), main_faces.box, strict=True))
    min_score = _PROMISING_SHARE * detector.confident_score
    low = _LOW_SCORE_SHARE * detector.confident_score
    likely = _LIKELY_SHARE * detector.confident_score
    views: list[Pixels] = []
    searched: list[tuple[int, int]] = []  # index of the photo, quarter
    doubtful = scores < detector.confident_score
    if upright is not None:
        doubtful[faces.photo[upright]] = False
    for index in np.flatnonzero(doubtful).tolist():
        is_face = scores[index] >= low
        quarters = _likely_quarters(rolls[index]) if scores[index] >= likely else QUARTERS
        view = _view(photos[index], boxes[index] if is_face else None)
        views += [_turned(view, quarter) for quarter in quarters]
        searched += [(index, quarter) for quarter in quarters]
    if not views:
        return faces, turns
    view_scores = _upright_scores(detector(views).largest(), len(views))
    best: dict[int, tuple[float, int]] = {}
    for (index, quarter), score in zip(searched, view_scores.tolist(), strict=True):
        if score >= max(min_score, scores[index]) and score > best.get(index, (0.0, 0))[0]:
            best[index] = score, quarter
    chosen = [(index, quarter) for index, (_, quarter) in best.items()]
    if not chosen:
        return faces, turns
    turned_photos = [_turned(photos[index], quarter) for index, quarter in chosen]
    again = detector(turned_photos)
    turned_scores = _upright_scores(again.largest(), len(chosen))
    with_margin = _upright_scores(
        detect_with_margin([*turned_photos, *(photos[index] for index, _ in chosen)], detector).largest(),
        2 * len(chosen),
    )
    turned_margin, stored_margin = with_margin[: len(chosen)], with_margin[len(chosen) :]
    upright = (stored_margin > turned_margin) & (stored_margin >= _UPRIGHT_SHARE * detector.confident_score)
    parts = []
    for number, (index, quarter) in enumerate(chosen):
        score = turned_scores[number]
        if not upright[number] and score >= min_score and 1 - score <= _MAX_DOUBT * (1 - scores[index]):
            turns[index] = (4 - quarter) * 90
            turned = again.in_photo(number)
            parts.append(_in_photo(turned, quarter, photos[index].shape).with_photos(np.full(number + 1, index)))
    merged = Faces.concat([faces.take(turns[faces.photo] == 0), *parts])
    return merged.take(np.argsort(merged.photo, kind="stable")), turns


def _likely_quarters(roll: float) -> tuple[int, ...]:
    """Quarters to search for a photo with a face of a high score, tilted by `roll` degrees (see `_rolls`).

    Faces turned by 90 degrees with such scores mostly have landmarks that follow the turn; faces turned by 180 degrees
    have landmarks as of an upright face.
    """
    if abs(roll) <= MAX_ROLL:
        return (2,)
    return (round(-roll / 90) % 4,) if abs(roll) <= 135 else QUARTERS


def _upright_scores(main_faces: Faces, photos: int) -> npt.NDArray[np.float64]:
    """Score of each photo's main face; 0 where there is none or its head is tilted by more than MAX_ROLL."""
    scores = np.zeros(photos)
    scores[main_faces.photo] = np.where(np.abs(_rolls(main_faces)) <= MAX_ROLL, main_faces.score, 0)
    return scores


def _rolls(faces: Faces) -> npt.NDArray[np.float64]:
    """Degrees by which each face must be turned clockwise to be upright, float64 (F,), -180 to 180."""
    matrices = align.fit(faces.landmarks, TEMPLATES["simswap-224"])[0]
    return np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))


def _view(photo: Pixels, box: Floats | None) -> Pixels:
    """Return the surroundings of a face box, or the whole photo, shrunk to the side at which they are searched."""
    if box is None:
        part, shrink = photo, max(photo.shape[:2]) / _PHOTO_SIDE
    else:
        side = max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0)
        centre = (box[:2] + box[2:]) / 2
        limits = np.array(photo.shape[1::-1])
        low = np.clip(np.floor(centre - _SURROUNDINGS * side / 2), 0, limits - 1).astype(int)
        high = np.clip(np.ceil(centre + _SURROUNDINGS * side / 2), low + 1, limits).astype(int)
        part, shrink = photo[low[1] : high[1], low[0] : high[0]], side / _FACE_SIDE
    if shrink <= 1:
        return part
    height, width = (max(1, round(side / shrink)) for side in part.shape[:2])
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _turned(photo: Pixels, quarter: int) -> Pixels:
    return np.ascontiguousarray(np.rot90(photo, quarter))


def _in_photo(faces: Faces, quarter: int, shape: tuple[int, ...]) -> Faces:
    """Move the faces of a turned photo to the photo as stored. `shape`: (H, W, 3) of the latter."""
    landmarks = _turned_back(faces.landmarks, quarter, shape)
    corners = _turned_back(faces.box.reshape(-1, 2, 2), quarter, shape)
    box = np.concatenate([corners.min(1), corners.max(1)], 1)
    return Faces(faces.photo, box.astype(np.float32), landmarks.astype(np.float32), faces.score)


def _turned_back(points: Floats, quarter: int, shape: tuple[int, ...]) -> Floats:
    """Points (..., 2) of a photo turned by counter-clockwise quarters -> the same points of the photo as stored."""
    height, width = shape[:2]
    x, y = points[..., 0], points[..., 1]
    moved = {1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}[quarter]
    return np.stack(moved, -1)
