"""curate/measure/pose.py: known rotations are recovered, signs follow the docstring, mirrored photos negate."""

import numpy as np
import pytest
import torch

from curate.measure.pose import MEAN_FACE, SMILE, pose
from manifests.landmarks import TEMPLATES, flip_points
from tests.samples.measured_faces import ASTRONAUT

FACE = MEAN_FACE.numpy()
OPEN = np.array([[0, 0, 0]] * 3 + [[0.02, 0.06, 0], [-0.02, 0.06, 0]])
"""Displacement of the points by an open mouth: its corners go down and inwards."""


def projected(yaw: float, pitch: float, roll: float, face: np.ndarray = FACE) -> np.ndarray:
    """Rotate a face (5, 3), by default the mean face, and project it orthographically: (5, 2), x right, y down."""
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = [[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]]
    about_x = [[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]]
    about_z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    rotation = np.array(about_z) @ about_x @ about_y
    return (face @ rotation.T)[:, :2] * 70 + [300, 200]


def angles(points: np.ndarray) -> np.ndarray:
    columns = pose(torch.from_numpy(np.atleast_3d(points).reshape(-1, 5, 2)))
    return torch.stack([columns["yaw"], columns["pitch"], columns["roll"]], 1).numpy()


@pytest.mark.parametrize("yaw", [-70, -25, 0, 45])
@pytest.mark.parametrize("pitch", [-25, 0, 20])
@pytest.mark.parametrize("roll", [-120, 0, 40])
def test_known_rotations_are_recovered(yaw: float, pitch: float, roll: float) -> None:
    np.testing.assert_allclose(angles(projected(yaw, pitch, roll))[0], [yaw, pitch, roll], atol=0.1)


@pytest.mark.parametrize("yaw", [-50, -25, 0, 25, 50])
@pytest.mark.parametrize("pitch", [-20, 0, 20])
@pytest.mark.parametrize("expression", [1.5 * SMILE.numpy(), OPEN], ids=["smile", "open mouth"])
def test_expressions_of_the_mouth_hardly_change_the_pose(yaw: float, pitch: float, expression: np.ndarray) -> None:
    """A rigid face reads the same smiles as 8 to 16 degrees of pitch."""
    np.testing.assert_allclose(angles(projected(yaw, pitch, 10, FACE + expression))[0], [yaw, pitch, 10], atol=6)


def test_pitch_without_expression_depends_on_all_points() -> None:
    """The face is not explained by a smile where a rotation explains it."""
    bowed = [angles(projected(0, pitch, 0))[0, 1] for pitch in (-30, -15, 15, 30)]
    np.testing.assert_allclose(bowed, [-30, -15, 15, 30], atol=0.5)


def test_signs_of_moved_landmarks() -> None:
    points = TEMPLATES["arcface-112"].points[0]
    right, up = points.copy(), points.copy()
    right[2, 0] += 8  # the nose moved to the image's right
    up[2, 1] -= 6  # the nose moved up
    c, s = np.cos(np.radians(15)), np.sin(np.radians(15))
    tilted = points @ np.array([[c, s], [-s, c]])  # the right side is lower
    assert tilted[1, 1] > tilted[0, 1]
    plain = angles(points)[0]
    assert angles(right)[0, 0] > plain[0] + 10
    assert angles(up)[0, 1] > plain[1] + 5
    assert angles(tilted)[0, 2] == pytest.approx(plain[2] + 15, abs=0.01)


def test_simswap_template_ranges_from_profile_to_profile() -> None:
    yaws = angles(TEMPLATES["simswap-224"].points)[:, 0]
    assert (np.diff(yaws) > 0).all()
    assert yaws[0] < -40 < 40 < yaws[-1]
    assert abs(yaws[2]) < 3


def test_mirrored_photo_negates_yaw_and_roll() -> None:
    rng = np.random.default_rng(0)
    points = ASTRONAUT.points + rng.normal(0, 6, (200, 5, 2))
    plain, mirrored = angles(points), angles(flip_points(points, 224))
    np.testing.assert_allclose(mirrored, plain * [-1, 1, -1], atol=1e-3)


def test_rows_that_are_not_finite_are_null_and_affect_no_other() -> None:
    points = np.stack([ASTRONAUT.points, np.full((5, 2), np.nan)])
    finite, undefined = angles(points)
    assert np.isfinite(finite).all()
    assert np.isnan(undefined).all()
