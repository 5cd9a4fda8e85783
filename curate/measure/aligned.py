"""Collections of photos that are aligned already: the 112 px crops of face recognition (MS1MV2, CASIA, Glint360K).

Such a photo is a crop of the template arcface-112. Its stored crop is the photo itself, pixel for pixel: aligning it to
another template would resample it, and would reach beyond its edges. The similarity part of a face's landmarks is then
known, only their shape is measured.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from curate.decode import Pixels, decode
from curate.errors import DecodeError
from curate.faces import align
from curate.faces.detectors.detector import Detector
from curate.faces.faces import Faces
from curate.sources import Entry, Source
from manifests.landmarks import TEMPLATES

TEMPLATE = TEMPLATES["arcface-112"]
SAMPLE_PHOTOS = 32
"""Photos, spread over the collection, that decide whether it is aligned."""
MIN_PHOTOS = 4
"""Fewer photos of that size with a face decide nothing."""
MIN_SHARE = 0.8
"""Share of the sample that must have the size of the template."""
MAX_DISPLACEMENT = 4.5
"""Median distance of a sample to its alignment, px, see `displacements`. Aligned photos measure .7 and 2.0 (two sets);
boxes around faces, FFHQ, LFW and crops of other templates, shrunk to 112 px, 9 to 41."""
MAX_FACE_DISPLACEMENT = 8.0
"""Distance up to which a face of an aligned collection is the aligned one; 97 in 100 are, the others are turned far, or
another face in the photo."""
_MAX_FILE_BYTES = 120_000  # 16-bit RGBA of the template's size; larger files are photos of another kind


def is_aligned(source: Source, identities: Sequence[str], load_detector: Callable[[], Detector]) -> bool:
    """Whether a sample of a source consists of photos that are aligned to TEMPLATE.

    Args:
        source: read only where its files are small enough.
        identities: those of the source that are measured.
        load_detector: called where the sizes of the photos fit.
    """
    entries = list(islice(_spread(source, identities), SAMPLE_PHOTOS))
    small = [entry for entry in entries if entry.size <= _MAX_FILE_BYTES]
    if len(small) < max(MIN_PHOTOS, MIN_SHARE * len(entries)):
        return False
    photos = [photo for photo in (_decoded(source, entry) for entry in small) if photo is not None]
    photos = [photo for photo in photos if photo.shape[:2] == TEMPLATE.size]
    if len(photos) < max(MIN_PHOTOS, MIN_SHARE * len(entries)):
        return False
    distances = displacements(load_detector()(photos).largest().alignable())
    return len(distances) >= MIN_PHOTOS and float(np.median(distances)) <= MAX_DISPLACEMENT


def displacements(faces: Faces) -> npt.NDArray[np.float64]:
    """Distance of each face to the template's position, float64 (N,), px.

    The root mean square distance of the corners of the photo to their places after aligning the face again.
    """
    height, width = TEMPLATE.size
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)
    moved = align.transform_points(np.repeat(corners[None], len(faces), 0), faces.matrices(TEMPLATE))
    return np.asarray(np.sqrt(((moved - corners) ** 2).sum(2).mean(1)), np.float64)


def at_template(faces: Faces, photos: Sequence[Pixels]) -> npt.NDArray[np.bool_]:
    """Faces that are at the template's position on a photo of its size: bool (N,), up to MAX_FACE_DISPLACEMENT.

    `photos`: those that `faces.photo` indexes.
    """
    has_size = np.array([photos[index].shape[:2] == TEMPLATE.size for index in faces.photo], bool)
    with np.errstate(invalid="ignore"):  # NaN: not alignable
        return has_size & (displacements(faces) <= MAX_FACE_DISPLACEMENT)


def moved_to_template(faces: Faces, photos: Sequence[Pixels]) -> Faces:
    """Move the landmarks of the faces `at_template` by the transform that aligns them again: they then need none.

    Their shape, and with it the measured pose, remains.
    """
    aligned = at_template(faces, photos)
    landmarks = faces.landmarks.copy()
    moved = align.transform_points(faces.landmarks[aligned], faces.matrices(TEMPLATE)[aligned])
    landmarks[aligned] = moved.astype(np.float32)
    return replace(faces, landmarks=landmarks)


def _spread(source: Source, identities: Sequence[str]) -> Iterator[Entry]:
    """The first photo of identities at even steps, then the second photos, and so on."""
    step = max(1, len(identities) // SAMPLE_PHOTOS)
    folders = [source.entries(identity)[:SAMPLE_PHOTOS] for identity in identities[::step][:SAMPLE_PHOTOS]]
    for place in range(SAMPLE_PHOTOS):
        yield from (entries[place] for entries in folders if place < len(entries))


def _decoded(source: Source, entry: Entry) -> Pixels | None:
    try:
        return decode(source.read(entry)).pixels
    except DecodeError:
        return None
