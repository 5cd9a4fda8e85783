"""curate/measure/sharpness.py: order and invariances of the score on a real face; calibration files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from curate.decide.rules import Policy
from curate.errors import PolicyError
from curate.evaluate import degradations
from curate.measure.sharpness import load_calibration, sharpness
from tests.samples.measured_faces import ASTRONAUT, batch

CALIBRATION = load_calibration()
KEPT = Policy().review_sharpness
"""Score from which the default policy keeps a face."""


def score(*crops: np.ndarray) -> np.ndarray:
    return sharpness(*batch(crops), CALIBRATION)["sharpness"].numpy()


def test_score_falls_with_blur_and_crosses_the_limit() -> None:
    blurs = [degradations.gaussian(ASTRONAUT.crop, sigma) for sigma in (1.0, 2.0, 3.0)]
    scores = score(ASTRONAUT.crop, *blurs)
    assert (np.diff(scores) < 0).all()
    assert scores[0] > KEPT > scores[2]


@pytest.mark.parametrize(
    "change",
    [
        lambda crop: degradations.brightness(crop, 0.5),
        lambda crop: degradations.jpeg(crop, 20),
        lambda crop: degradations.noise(crop, 6, np.random.default_rng(0)),
    ],
    ids=["half brightness", "JPEG 20", "noise"],
)
def test_degradations_other_than_blur_do_not_cross_the_limit(change: Callable[[np.ndarray], np.ndarray]) -> None:
    sharp, blurred = score(change(ASTRONAUT.crop), change(degradations.gaussian(ASTRONAUT.crop, 3.0)))
    assert sharp > KEPT > blurred


def test_motion_blur_is_detected_in_every_direction() -> None:
    blurred = [degradations.motion(ASTRONAUT.crop, 15, degrees) for degrees in (0, 45, 90, 135)]
    assert (score(*blurred) < KEPT).all()


def test_background_does_not_count() -> None:
    face = np.zeros(ASTRONAUT.crop.shape[:2], bool)
    face[30:, 30:194] = True
    soft = degradations.gaussian(ASTRONAUT.crop, 3.0)
    sharp_face = np.where(face[..., None], ASTRONAUT.crop, soft)
    soft_face = np.where(face[..., None], soft, ASTRONAUT.crop)
    np.testing.assert_allclose(score(sharp_face, soft_face), score(ASTRONAUT.crop, soft), atol=0.02)


@pytest.mark.parametrize("noise", [0, 6])
def test_more_blur_never_scores_higher(noise: float) -> None:
    """Without noise and under it, far beyond the blur that the calibration was fitted on."""
    random = np.random.default_rng(0)
    blurs = [degradations.gaussian(ASTRONAUT.crop, sigma) for sigma in (0.5, 1, 2, 4, 8, 20)]
    scores = score(*(degradations.noise(crop, noise, random) for crop in (ASTRONAUT.crop, *blurs)))
    assert (np.diff(scores) < 0.02).all()
    assert scores[-1] < 0.45


def test_sharpening_halos_and_line_drawings_are_not_blur() -> None:
    lines = 255 - cv2.Canny(cv2.cvtColor(ASTRONAUT.crop, cv2.COLOR_RGB2GRAY), 40, 90)
    drawing = np.repeat(lines[..., None], 3, 2)
    sharpened = [degradations.sharpen(ASTRONAUT.crop, amount) for amount in (0.5, 2.0, 8.0)]
    scores = score(ASTRONAUT.crop, *sharpened)
    assert (np.diff(scores) >= 0).all()
    assert (score(drawing, degradations.gaussian(drawing, 0.7)) > scores[0]).all()


def test_sharpening_a_blurred_face_does_not_hide_the_blur() -> None:
    assert score(degradations.sharpen(degradations.gaussian(ASTRONAUT.crop, 3.0), 3.0))[0] < KEPT


def test_a_face_of_few_pixels_is_not_sharp_however_its_edges_were_sharpened() -> None:
    few = degradations.low_resolution(ASTRONAUT.crop, 6.0)
    assert (score(few, degradations.sharpen(few, 2.0)) < KEPT).all()


def test_scores_do_not_depend_on_the_batch() -> None:
    crops = [ASTRONAUT.crop, degradations.gaussian(ASTRONAUT.crop, 1.5), ASTRONAUT.crop[:, ::-1].copy()]
    np.testing.assert_allclose(score(*crops), np.concatenate([score(crop) for crop in crops]), atol=1e-5)


def test_calibration_file_round_trip(tmp_path: Path) -> None:
    CALIBRATION.save(tmp_path / "own.json")
    assert load_calibration(tmp_path / "own.json") == CALIBRATION


def test_missing_and_foreign_calibration_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"missing\.json does not exist: create one with `curate calibrate`"):
        load_calibration(tmp_path / "missing.json")
    path = tmp_path / "own.json"
    CALIBRATION.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"statistics": ["laplacian"]}))
    with pytest.raises(PolicyError, match="other statistics"):
        load_calibration(path)
    replace(CALIBRATION, version=2).save(path)
    with pytest.raises(PolicyError, match="is for version 2 of the blur statistics, this is 4; create a new one"):
        load_calibration(path)


def test_a_calibration_with_a_negative_weight_is_refused(tmp_path: Path) -> None:
    replace(CALIBRATION, weight=(1.0, -0.1, 1.0)).save(tmp_path / "own.json")
    with pytest.raises(PolicyError, match=r"weight.* is -0\.1, expected a number from 0"):
        load_calibration(tmp_path / "own.json")
