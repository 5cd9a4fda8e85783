"""Smoothing of landmarks: still faces are calmed, moving ones followed, and cuts start anew."""

import numpy as np
import numpy.typing as npt

from curate.faces.faces import Faces
from train.swap.smoothing import LandmarkSmoother, face_size

FACE = np.array([[80.0, 90.0], [140.0, 90.0], [110.0, 125.0], [86.0, 155.0], [134.0, 155.0]])
RATE = 25
GREY, WHITE = (np.full((64, 64, 3), level, np.uint8) for level in (100, 255))
Landmarks = npt.NDArray[np.float64]


def faces_of(frames: list[list[Landmarks]]) -> Faces:
    """Faces with these landmarks, listed by frame."""
    photo = np.array([index for index, points in enumerate(frames) for _ in points], np.int64)
    landmarks = np.array([points for frame in frames for points in frame], np.float32).reshape(-1, 5, 2)
    return Faces(photo, np.zeros((len(photo), 4), np.float32), landmarks, np.ones(len(photo), np.float32))


def smoothed(frames: list[list[Landmarks]], pictures: list[npt.NDArray[np.uint8]] | None = None) -> Landmarks:
    """The landmarks of all faces after smoothing, in batches of four frames."""
    smoother = LandmarkSmoother()
    parts = []
    for start in range(0, len(frames), 4):
        part = frames[start : start + 4]
        seconds = [(start + index) / RATE for index in range(len(part))]
        shown = pictures[start : start + 4] if pictures else [GREY] * len(part)
        parts.append(smoother(seconds, shown, faces_of(part)).landmarks.astype(np.float64))
    return np.concatenate(parts)


def noisy(count: int, scale: float = 0.2) -> list[Landmarks]:
    rng = np.random.default_rng(0)
    return [FACE + rng.normal(0, scale, FACE.shape) for _ in range(count)]


def test_noise_on_a_still_face_is_less_than_half() -> None:
    measured = noisy(100)
    result = smoothed([[points] for points in measured])
    assert result[50:].std(0).mean() < 0.45 * np.std(measured[50:], 0).mean()


def test_a_moving_face_lags_by_a_hundredth_of_its_size() -> None:
    speed = 3 * face_size(FACE) / RATE  # three face sizes a second
    path = [FACE + np.array([index * speed, 0.0]) for index in range(50)]
    behind = np.array(path) - smoothed([[points] for points in path])
    assert 0 <= behind[20:, :, 0].max() < 0.013 * face_size(FACE)


def test_each_of_two_faces_has_a_track_of_its_own_whatever_their_order() -> None:
    other = FACE + np.array([200.0, 0.0])
    result = smoothed([[FACE, other] if index % 2 else [other, FACE] for index in range(10)])
    expected = np.concatenate([[FACE, other] if index % 2 else [other, FACE] for index in range(10)])
    assert np.allclose(result, expected.reshape(-1, 5, 2), atol=1e-4)


def test_a_cut_starts_anew() -> None:
    moved = FACE + np.array([8.0, 3.0])
    frames = [[FACE]] * 6 + [[moved]] * 3
    within = smoothed(frames)
    across = smoothed(frames, [GREY] * 6 + [WHITE] * 3)
    assert np.abs(within[6] - moved).max() > 1
    assert np.allclose(across[6:], moved)
    # A step that no head makes between two frames is followed at once.
    far = FACE + np.array([40.0, 0.0])
    assert np.allclose(smoothed([[FACE]] * 6 + [[far]])[6], far)


def test_a_face_that_is_missed_in_a_frame_keeps_its_track() -> None:
    measured: list[list[Landmarks]] = [[points] for points in noisy(40, 2.0)]
    measured[30] = []
    result = smoothed(measured)
    assert np.abs(result[30] - FACE).mean() < np.abs(measured[31][0] - FACE).mean()
