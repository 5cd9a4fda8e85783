"""Landmarks of video frames, smoothed over time, so that a swapped face does not jitter on a still head.

One-euro filter (Casiez et al. 2012): a low-pass whose cutoff rises with the speed, so that noise is removed from a
still face and a moving one is followed. All five landmarks of a face share one cutoff, which keeps the face's shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from curate.faces.faces import Faces

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

_MIN_CUTOFF = 1.0
"""Cutoff for a still face, Hz: at 25 frames per second, a third of the noise remains."""

_SPEED_GAIN = 15.0
"""Hz of cutoff for each face size per second. A moving face lags by at most .013 face sizes."""

_STILL_SPEED = 0.08
"""Speed in face sizes per second that noise alone shows; the cutoff rises beyond it."""

_SPEED_CUTOFF = 1.0
"""Cutoff of the speed, Hz, as in the paper."""

_MAX_STEP = 0.25
"""Distance between two frames, in face sizes, beyond which a face is another one, or moves too fast to smooth."""

_MAX_GAP = 0.2
"""Seconds for which a face may be undetected before it counts as a new one."""

_CUT = 0.1
"""Mean difference of consecutive frames, of 1, from which they belong to two shots."""

_THUMBNAIL = (16, 16)


@dataclass(frozen=True, eq=False)
class _Track:
    """One face: its smoothed landmarks (5, 2) in px, their velocity (5, 2) in px / s, and when it was seen last."""

    points: Points
    velocity: Points
    seconds: float

    @property
    def size(self) -> float:
        return face_size(self.points)


class LandmarkSmoother:
    """Smooths the landmarks of consecutive frames; tracks end at cuts."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._thumbnail: npt.NDArray[np.float32] | None = None

    def __call__(self, seconds: Sequence[float], frames: Sequence[Pixels], faces: Faces) -> Faces:
        """Smooth the faces of frames that follow those of the last call.

        Args:
            seconds: time of each frame, rising.
            frames: uint8 (H, W, 3) RGB.
            faces: detected in `frames`.

        Returns:
            The same faces with other landmarks.
        """
        landmarks = faces.landmarks.copy()
        for index, (time, frame) in enumerate(zip(seconds, frames, strict=True)):
            if self._is_cut(frame):
                self._tracks = []
            tracks: list[_Track] = []
            for row in np.flatnonzero(faces.photo == index):
                track = self._follow(faces.landmarks[row].astype(np.float64), time)
                tracks.append(track)
                landmarks[row] = track.points
            self._tracks = tracks + [track for track in self._tracks if time - track.seconds < _MAX_GAP]
        return replace(faces, landmarks=landmarks)

    def _follow(self, points: Points, time: float) -> _Track:
        """Continue the nearest track with new landmarks, or begin one; a track is continued once a frame."""
        near = [(np.sqrt(np.square(points - track.points).sum(1).mean()), track) for track in self._tracks]
        distance, nearest = min(near, key=lambda pair: pair[0], default=(np.inf, None))
        if nearest is None or distance > _MAX_STEP * nearest.size:
            return _Track(points, np.zeros_like(points), time)
        self._tracks.remove(nearest)
        elapsed = max(time - nearest.seconds, 1e-3)
        velocity = nearest.velocity + _weight(_SPEED_CUTOFF, elapsed) * (
            (points - nearest.points) / elapsed - nearest.velocity
        )
        speed = np.sqrt(np.square(velocity).sum(1).mean()) / nearest.size
        weight = _weight(_MIN_CUTOFF + _SPEED_GAIN * max(0.0, speed - _STILL_SPEED), elapsed)
        return _Track(nearest.points + weight * (points - nearest.points), velocity, time)

    def _is_cut(self, frame: Pixels) -> bool:
        """Whether a frame differs from the one before it as a whole."""
        small = np.asarray(cv2.resize(frame, _THUMBNAIL, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
        before, self._thumbnail = self._thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > _CUT


def face_size(points: Points) -> float:
    """Size of a face, px: root mean square distance of its landmarks (5, 2) from their mean, about .6 eye distances."""
    return float(np.sqrt(np.square(points - points.mean(0)).sum(1).mean()))


def _weight(cutoff: float, elapsed: float) -> float:
    """Weight of a new value in a low-pass: 1 / (1 + tau / T_e) with tau = 1 / (2 pi f_c)."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * elapsed))
