"""Sharp faces of a source for a blur calibration, with a stub detector and a stub segmenter."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from curate.evaluate import degradations
from curate.evaluate.sharp_faces import SharpFaceCounts, SharpFaces, sample_photos
from curate.faces.align import rescale_points
from curate.faces.faces import Faces
from curate.measure.sharpness import load_calibration
from curate.sources import Source, open_source
from tests.samples.measured_faces import ASTRONAUT, ASTRONAUT_LANDMARKS, ASTRONAUT_PHOTO

LANDMARKS = np.array(ASTRONAUT_LANDMARKS, np.float32)


@dataclass
class StubDetector:
    """Detects the astronaut's face at the photo's scale, no face in photos of one colour."""

    fingerprint: str = ""

    def __call__(self, photos):
        with_face = np.flatnonzero([photo.std() > 1 for photo in photos])
        points = [rescale_points(LANDMARKS, photos[index].shape[0] / 512) for index in with_face]
        count = len(with_face)
        box, score = np.zeros((count, 4), np.float32), np.ones(count, np.float32)
        return Faces(with_face, box, np.reshape(points, (count, 5, 2)), score)


class StubSegmenter:
    def label_maps(self, crops):
        return torch.from_numpy(ASTRONAUT.labels)[None]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    photos = {
        "anna/sharp.png": ASTRONAUT_PHOTO,
        "anna/blurred.png": degradations.gaussian(ASTRONAUT_PHOTO, 4),
        "bert/small.png": degradations.smaller(ASTRONAUT_PHOTO, 2),
        "bert/wall.png": np.full((64, 64, 3), 120, np.uint8),
    }
    for name, photo in photos.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), photo[..., ::-1])
    (tmp_path / "bert" / "zero.jpg").write_bytes(b"")
    return open_source("folder", tmp_path)


def test_small_blurred_and_missing_faces_are_left_out(source: Source) -> None:
    advances: list[int] = []
    photos = sample_photos(source, 100)
    faces = SharpFaces(source, photos, StubDetector(), StubSegmenter(), load_calibration(), advances.append)
    (face,) = faces
    assert face.crop.dtype == face.labels.dtype == np.uint8
    assert face.crop.shape == (224, 224, 3)
    assert np.abs(face.crop.astype(int) - ASTRONAUT.crop).mean() < 1
    assert np.abs(face.points - ASTRONAUT.points).max() < 0.1
    assert faces.counts == SharpFaceCounts(sharp=1, small=1, blurred=1, faceless=2)
    assert sum(advances) == 5


def test_without_a_calibration_blurred_faces_are_kept(source: Source) -> None:
    faces = SharpFaces(source, sample_photos(source, 100), StubDetector(), StubSegmenter(), None)
    assert len(list(faces)) == 2
    assert faces.counts.blurred == 0


def test_a_few_photos_are_taken_from_many_identities(source: Source) -> None:
    assert [entry.identity for entry in sample_photos(source, 2)] == ["anna", "bert"]
    assert len(sample_photos(source, 1)) == 1
