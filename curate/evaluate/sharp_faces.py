"""Sharp faces of a source, aligned and segmented, for a blur calibration."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from curate.decode import decode
from curate.errors import DecodeError
from curate.evaluate.blur_fit import AlignedFace
from curate.faces import align
from curate.faces.detectors.detector import Detector
from curate.faces.segment import Segmenter
from curate.measure.sharpness import BlurCalibration, sharpness
from curate.sources import Entry, Source
from manifests.landmarks import TEMPLATES

TEMPLATE = TEMPLATES["simswap-224"]
MIN_SHARPNESS = 0.5
MAX_UPSCALE = 2.5
"""A face that the crop enlarges more is soft for that reason alone."""

T = TypeVar("T")


@dataclass
class SharpFaceCounts:
    """Number of photos by result: with a sharp face, too small (above MAX_UPSCALE), blurred, without a face."""

    sharp: int = 0
    small: int = 0
    blurred: int = 0
    faceless: int = 0


@dataclass(frozen=True)
class SharpFaces:
    """Iterates over the sharp faces of photos, the largest face of each, reading one photo at a time.

    Attributes:
        source: Where the photos are read from.
        entries: The photos.
        detector, segmenter: The networks.
        calibration: Leaves out the faces that it scores below MIN_SHARPNESS; None takes all faces as sharp.
        advance: Called with 1 after each photo.
        counts: Filled during the iteration.
    """

    source: Source
    entries: Sequence[Entry]
    detector: Detector
    segmenter: Segmenter
    calibration: BlurCalibration | None
    advance: Callable[[int], None] = lambda count: None
    counts: SharpFaceCounts = field(default_factory=SharpFaceCounts)

    def __iter__(self) -> Iterator[AlignedFace]:
        for entry in self.entries:
            face = self._face(entry)
            self.advance(1)
            if face is not None:
                self.counts.sharp += 1
                yield face

    def _face(self, entry: Entry) -> AlignedFace | None:
        try:
            photo = decode(self.source.read(entry)).pixels
        except DecodeError:
            self.counts.faceless += 1
            return None
        face = self.detector([photo]).largest().alignable()
        if not len(face):
            self.counts.faceless += 1
            return None
        matrices = face.matrices(TEMPLATE)
        upscale = float(np.sqrt(abs(np.linalg.det(matrices[0, :, :2]))))
        if upscale > MAX_UPSCALE:
            self.counts.small += 1
            return None
        crops = face.crop([photo], TEMPLATE)
        inside = torch.from_numpy(align.inside_mask(matrices, TEMPLATE.size, [photo.shape[:2]]))
        labels = self.segmenter.label_maps(crops).cpu() * inside  # background outside the photo, as in a measurement
        points = align.transform_points(face.landmarks, matrices)
        if self.calibration is not None:
            landmarks = torch.from_numpy(points).float()
            scores = sharpness(crops, labels, landmarks, self.calibration)
            if float(scores["sharpness"]) < MIN_SHARPNESS:
                self.counts.blurred += 1
                return None
        crop = crops[0].permute(1, 2, 0).contiguous().numpy()
        return AlignedFace(crop, labels[0].numpy(), points[0])


def sample_photos(source: Source, limit: int) -> list[Entry]:
    """Return at most `limit` photos of a source, evenly from its identities, or from `limit` of them."""
    identities = _evenly_spaced(source.identities(), limit)
    return _evenly_spaced([entry for identity in identities for entry in source.entries(identity)], limit)


def _evenly_spaced(items: list[T], limit: int) -> list[T]:
    return [items[index * len(items) // limit] for index in range(limit)] if len(items) > limit else items
