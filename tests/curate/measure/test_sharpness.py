"""curate/measure/sharpness.py: order, invariances, and what must not count, on a real face."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from curate.decide.sharpness_limit import collection_limit
from curate.errors import PolicyError
from curate.evaluate import degradations
from curate.measure import sharpness
from tests.samples.measured_faces import ASTRONAUT, Face, batch

CALIBRATION = sharpness.load_calibration()


def score(*crops: np.ndarray, face: Face = ASTRONAUT, upscale: float = 1.0) -> np.ndarray:
    pixels, labels, points = batch(crops, face)
    upscales = torch.full((len(crops),), upscale)
    return sharpness.sharpness(pixels, labels, points, upscales, CALIBRATION)["sharpness"].numpy()


def test_score_falls_with_blur_and_crosses_one_half():
    blurs = [degradations.gaussian(ASTRONAUT.crop, sigma) for sigma in (1.0, 2.0, 3.0)]
    scores = score(ASTRONAUT.crop, *blurs)
    assert (np.diff(scores) < 0).all()
    assert scores[0] > 0.5 > scores[2]


@pytest.mark.parametrize(
    "change",
    [
        lambda crop: degradations.brightness(crop, 0.5),
        lambda crop: degradations.jpeg(crop, 20),
        lambda crop: degradations.noise(crop, 6, np.random.default_rng(0)),
    ],
    ids=["half brightness", "JPEG 20", "noise"],
)
def test_sharp_stays_sharp_and_blurred_blurred(change):
    sharp, blurred = score(change(ASTRONAUT.crop), change(degradations.gaussian(ASTRONAUT.crop, 3.0)))
    assert sharp > 0.5 > blurred


def test_motion_is_blur_in_every_direction():
    moved = [degradations.motion(ASTRONAUT.crop, 15, degrees) for degrees in (0, 45, 90, 135)]
    assert (score(*moved) < 0.5).all()


def test_background_does_not_count():
    inside = np.zeros(ASTRONAUT.crop.shape[:2], bool)
    inside[30:, 30:194] = True
    soft = degradations.gaussian(ASTRONAUT.crop, 3.0)
    sharp_face = np.where(inside[..., None], ASTRONAUT.crop, soft)
    soft_face = np.where(inside[..., None], soft, ASTRONAUT.crop)
    np.testing.assert_allclose(score(sharp_face, soft_face), score(ASTRONAUT.crop, soft), atol=0.02)


def test_statistics_do_not_depend_on_light():
    half = degradations.brightness(ASTRONAUT.crop, 0.5)
    columns = sharpness.statistics(*batch([ASTRONAUT.crop, half]))
    for name, values in columns.items():
        assert values[0].item() == pytest.approx(values[1].item(), abs=0.06), name


def test_statistics_have_no_edge_where_the_mask_ends():
    """A smooth ramp has no detail; zeroing it outside the face would make some."""
    ramp = np.repeat(np.linspace(60, 200, 224)[None, :, None], 224, 0).repeat(3, 2).astype(np.uint8)
    columns = sharpness.statistics(*batch([ramp]))
    assert columns["laplacian"].item() < -2.5
    assert columns["edge_ratio"].item() < 1.05


def test_enlarged_faces_score_lower():
    at_two, at_five = score(ASTRONAUT.crop, upscale=2.0), score(ASTRONAUT.crop, upscale=5.0)
    assert score(ASTRONAUT.crop) == at_two > at_five


def test_collection_limit_gives_way_to_soft_collections_only():
    random = np.random.default_rng(0)
    sharp, soft = random.normal(0.8, 0.03, 500), random.normal(0.4, 0.03, 500)
    blurred = random.normal(0.15, 0.03, 100)
    assert collection_limit(sharp) == 0.5
    assert collection_limit(np.concatenate([sharp, blurred])) == 0.5
    limit = collection_limit(np.concatenate([soft, blurred, [np.nan]]))
    assert blurred.max() < limit < soft.min()
    assert collection_limit(np.array([])) == 0.5


def test_batch_equals_single():
    crops = [ASTRONAUT.crop, degradations.gaussian(ASTRONAUT.crop, 1.5), ASTRONAUT.crop[:, ::-1].copy()]
    together = score(*crops)
    np.testing.assert_allclose(together, np.concatenate([score(crop) for crop in crops]), atol=1e-5)


def test_missing_label_map_falls_back_to_the_ellipse():
    pixels, labels, points = batch([ASTRONAUT.crop])
    columns = sharpness.statistics(pixels, torch.zeros_like(labels), points)
    assert all(torch.isfinite(values).all() for values in columns.values())


def test_wrong_crop_size_is_refused():
    with pytest.raises(ValueError, match="224"):
        sharpness.statistics(
            torch.zeros(1, 3, 112, 112, dtype=torch.uint8), torch.zeros(1, 112, 112), torch.zeros(1, 5, 2)
        )


def test_calibration_file_round_trip_and_errors(tmp_path: Path):
    path = tmp_path / "own.json"
    CALIBRATION.save(path)
    assert sharpness.load_calibration(path) == CALIBRATION
    with pytest.raises(PolicyError, match=r"nowhere\.json is no blur calibration"):
        sharpness.load_calibration(tmp_path / "nowhere.json")
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"statistics": ["laplacian"]}))
    with pytest.raises(PolicyError, match="other statistics"):
        sharpness.load_calibration(path)
