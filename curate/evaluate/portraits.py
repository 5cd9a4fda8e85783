"""A source in; out, the faces that a blur calibration is made of: one a photo, aligned, labelled, and sharp."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from curate.decode import decode
from curate.errors import DecodeError
from curate.evaluate.calibrate import Face, Pixels
from curate.faces import align
from curate.faces.detectors.detector import Detector
from curate.faces.segment import Segmenter
from curate.measure.sharpness import FREE_UPSCALE, BlurCalibration, sharpness
from curate.sources import Entry, Source
from manifests.landmarks import TEMPLATES

TEMPLATE = TEMPLATES["simswap-224"]
SHARP = 0.5
MOST_UPSCALE = 1.25 * FREE_UPSCALE
"""A face that the crop enlarges more is soft for that alone."""

T = TypeVar("T")


@dataclass
class Portraits:
    """The sharp faces of a source's photos, read one by one while the object is iterated over.

    `source`, `entries`: the photos. `shipped`: leaves out the faces that this calibration calls blurred; None takes
    every one as sharp. `tick` is told of each photo. Afterwards the counts say what became of the photos: `faces` given
    out, `small` (enlarged more than MOST_UPSCALE), `blurred`, and `none` (no face, or not decodable).
    """

    source: Source
    entries: list[Entry]
    detector: Detector
    segmenter: Segmenter
    shipped: BlurCalibration | None
    tick: Callable[[int], None] = lambda count: None
    faces: int = 0
    small: int = 0
    blurred: int = 0
    none: int = 0

    def __iter__(self) -> Iterator[Face]:
        for entry in self.entries:
            face = self._face(entry)
            self.tick(1)
            if face is not None:
                self.faces += 1
                yield face

    def _face(self, entry: Entry) -> Face | None:
        try:
            photo = decode(self.source.read(entry)).pixels
        except DecodeError:
            self.none += 1
            return None
        face = self.detector([photo]).largest().alignable()
        if not len(face):
            self.none += 1
            return None
        matrices = face.matrices(TEMPLATE)
        upscale = float(np.sqrt(abs(np.linalg.det(matrices[0, :, :2]))))
        if upscale > MOST_UPSCALE:
            self.small += 1
            return None
        crops = face.crop([photo], TEMPLATE)
        labels = self.segmenter.label_maps(crops).cpu()
        points = align.transform_points(face.landmarks, matrices)
        if self.shipped is not None:
            told = torch.from_numpy(points).float()
            score = sharpness(crops, labels, told, torch.tensor([upscale]), self.shipped)["sharpness"]
            if float(score) < SHARP:
                self.blurred += 1
                return None
        crop: Pixels = crops[0].permute(1, 2, 0).contiguous().numpy()
        return crop, labels[0].numpy(), points[0], upscale


def spread(source: Source, limit: int) -> list[Entry]:
    """At most `limit` photos of a source, taken evenly from its people, or from `limit` of them."""
    people = _evenly(source.identities(), limit)
    return _evenly([entry for identity in people for entry in source.entries(identity)], limit)


def _evenly(things: list[T], limit: int) -> list[T]:
    return [things[index * len(things) // limit] for index in range(limit)] if len(things) > limit else things
