"""Which faces of a source a blur calibration is made of. Detector and segmenter are stand-ins."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from curate.evaluate import degradations
from curate.evaluate.portraits import Portraits, spread
from curate.faces.align import rescale_points
from curate.faces.faces import Faces
from curate.measure.sharpness import load_calibration
from curate.sources import open_source
from tests.samples.measured_faces import ASTRONAUT, ASTRONAUT_PHOTO

POINTS = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]], np.float32)


@dataclass
class Finds:
    """Finds the astronaut's face at the photo's scale, nothing in photos of one colour."""

    fingerprint: str = ""

    def __call__(self, photos):
        shown = np.flatnonzero([photo.std() > 1 for photo in photos])
        points = [rescale_points(POINTS, photos[index].shape[0] / 512) for index in shown]
        count = len(shown)
        box, score = np.zeros((count, 4), np.float32), np.ones(count, np.float32)
        return Faces(shown, box, np.reshape(points, (count, 5, 2)), score)


class Labels:
    def label_maps(self, crops):
        return torch.from_numpy(ASTRONAUT.labels)[None]


def source(root: Path):
    photos = {
        "anna/sharp.png": ASTRONAUT_PHOTO,
        "anna/blurred.png": degradations.gaussian(ASTRONAUT_PHOTO, 4),
        "bert/small.png": degradations.smaller(ASTRONAUT_PHOTO, 2),
        "bert/wall.png": np.full((64, 64, 3), 120, np.uint8),
    }
    for name, photo in photos.items():
        (root / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(root / name), photo[..., ::-1])
    (root / "bert" / "zero.jpg").write_bytes(b"")
    return open_source("folder", root)


def test_small_blurred_and_missing_faces_are_left_out(tmp_path: Path) -> None:
    opened = source(tmp_path)
    told: list[int] = []
    portraits = Portraits(opened, spread(opened, 100), Finds(), Labels(), load_calibration(), told.append)
    (face,) = portraits
    crop, labels, points, upscale = face
    assert crop.dtype == labels.dtype == np.uint8
    assert crop.shape == (224, 224, 3)
    assert np.abs(crop.astype(int) - ASTRONAUT.crop).mean() < 1
    assert np.abs(points - ASTRONAUT.points).max() < 0.1
    assert 1 < upscale < 2
    assert (portraits.faces, portraits.blurred, portraits.small, portraits.none) == (1, 1, 1, 2)
    assert sum(told) == 5


def test_photos_known_to_be_sharp_are_all_taken(tmp_path: Path) -> None:
    opened = source(tmp_path)
    portraits = Portraits(opened, spread(opened, 100), Finds(), Labels(), None)
    assert len(list(portraits)) == 2
    assert portraits.blurred == 0


def test_a_few_photos_are_taken_from_many_people(tmp_path: Path) -> None:
    opened = source(tmp_path)
    assert [entry.identity for entry in spread(opened, 2)] == ["anna", "bert"]
    assert len(spread(opened, 1)) == 1
