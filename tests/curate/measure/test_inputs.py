"""curate/measure/inputs.py: crops of every template are measured at one size."""

import numpy as np
import pytest
import torch

from curate.faces.faces import Faces
from curate.measure.inputs import FaceInputs
from curate.measure.sharpness import load_calibration
from manifests.landmarks import TEMPLATES
from tests.samples.measured_faces import ASTRONAUT_LANDMARKS, ASTRONAUT_PHOTO


def inputs(template_name: str) -> FaceInputs:
    template = TEMPLATES[template_name]
    landmarks = np.array([ASTRONAUT_LANDMARKS], np.float32)
    faces = Faces(np.zeros(1, np.int64), np.zeros((1, 4), np.float32), landmarks, np.ones(1, np.float32))
    crops = faces.crop([ASTRONAUT_PHOTO], template)
    labels = (crops[:, 0] > 128).to(torch.uint8)
    return FaceInputs([ASTRONAUT_PHOTO], faces, template, faces.matrices(template), crops, labels, load_calibration())


@pytest.mark.parametrize("template", ["simswap-224", "arcface-112", "ffhq-512"])
def test_every_template_is_measured_at_224_px(template: str) -> None:
    measured = inputs(template)
    assert (measured.crops.shape, measured.crops.dtype) == ((1, 3, 224, 224), torch.uint8)
    assert (measured.label_maps.shape, measured.label_maps.dtype) == ((1, 224, 224), torch.uint8)
    side = measured.template.size[0]
    # Pixel centres: (x + 0.5) scales with the side.
    points = (measured.crop_points + 0.5) * side / 224 - 0.5
    expected = measured.matrices[0, :, :2] @ measured.faces.landmarks[0].T + measured.matrices[0, :, 2:]
    np.testing.assert_allclose(points[0].T, expected, atol=1e-3)
    np.testing.assert_array_equal(measured.photo_sizes, [[512, 512]])


def test_stored_crops_of_224_px_are_not_resized() -> None:
    measured = inputs("simswap-224")
    assert measured.crops is measured.stored_crops
    assert measured.label_maps is measured.stored_label_maps
    assert measured.standard_crops is measured.stored_crops
    assert measured.standard_label_maps is measured.stored_label_maps


@pytest.mark.parametrize("template", ["arcface-112", "ffhq-512"])
def test_sharpness_is_measured_at_the_scale_of_one_template(template: str) -> None:
    """Crops of arcface-112 resized to 224 px show faces 11% larger, which is softer."""
    other, standard = inputs(template), inputs("simswap-224")
    assert (other.standard_crops.shape, other.standard_crops.dtype) == ((1, 3, 224, 224), torch.uint8)
    distance = torch.linalg.vector_norm(other.standard_points - standard.standard_points, dim=2)
    assert distance.max() < 6  # px; another template weighs the landmarks otherwise
    middle = (slice(None), slice(80, 180), slice(60, 160))
    labels = other.standard_label_maps[middle], standard.standard_label_maps[middle]
    assert (labels[0] == labels[1]).float().mean() > 0.9
    difference = other.standard_crops.float() - standard.standard_crops.float()
    assert difference[:, :, *middle[1:]].abs().mean() < 12
