"""Video: how much a face's alignment jitters on a still head, how far smoothing lags behind a moving one.

Protocol: skimage's astronaut at half size, 25 frames a second, noise of 4 levels in each frame. *Still*: 60 equal
frames; deviation over the last 40 of the face's centre, angle and scale, in the template's pixels (simswap-224),
degrees and %. *Moving*: the photo shifted by a sine of .2 face sizes and one period in 2 s; root mean square distance
of the face's centre from its true place, face sizes. Landmarks as detected, and smoothed. The constants of
train/swap/smoothing.py were chosen on points with artificial noise, before this photo was measured.
"""

import cv2
import numpy as np
import numpy.typing as npt

from curate.evaluate.demo_views import packaged_photo
from curate.faces.align import fit
from curate.faces.faces import Faces
from curate.faces.models import resolve
from manifests.landmarks import TEMPLATES
from train.swap.detection import load_detector
from train.swap.smoothing import LandmarkSmoother, face_size

RATE, FRAMES, SETTLED, NOISE = 25, 60, 20, 4.0
TEMPLATE = TEMPLATES["simswap-224"]
Frames = list[npt.NDArray[np.uint8]]


def main() -> None:
    photo = cv2.resize(packaged_photo("skimage", "data/astronaut.png"), None, fx=0.5, fy=0.5)
    detect = load_detector(resolve("builtin", None, "full"), "cpu")
    size = face_size(detect([photo]).largest().landmarks[0].astype(np.float64))
    time = np.arange(FRAMES) / RATE
    sway = 0.2 * size * np.sin(2 * np.pi * time / 2)
    print("| frames | landmarks | centre, px | angle, degrees | scale, % | lag, face sizes |")
    print("|---|---|---:|---:|---:|---:|")
    for name, shifts in (("still", np.zeros(FRAMES)), ("moving", sway)):
        frames = moved(photo, shifts)
        measured = detect(frames).largest()
        assert len(measured) == FRAMES
        for label, faces in (("detected", measured), ("smoothed", smooth(frames, measured))):
            print(f"| {name} | {label} | {report(faces, shifts, size, name == 'still')} |")


def moved(photo: npt.NDArray[np.uint8], shifts: npt.NDArray[np.float64]) -> Frames:
    """The photo shifted to the right, with noise."""
    rng = np.random.default_rng(0)
    frames = []
    for shift in shifts:
        matrix = np.array([[1, 0, shift], [0, 1, 0]])
        size = photo.shape[1::-1]
        frame = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        frames.append(np.clip(frame + rng.normal(0, NOISE, frame.shape), 0, 255).round().astype(np.uint8))
    return frames


def smooth(frames: Frames, faces: Faces) -> Faces:
    return LandmarkSmoother()([index / RATE for index in range(len(frames))], frames, faces)


def report(faces: Faces, shifts: npt.NDArray[np.float64], size: float, still: bool) -> str:
    matrices = fit(faces.landmarks, TEMPLATE)[0][SETTLED:]
    scale = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    centre = faces.landmarks.astype(np.float64).mean(1)[SETTLED:]
    if still:
        angle = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
        jitter = np.sqrt(np.square(centre - centre.mean(0)).sum(1).mean()) * scale.mean()
        return f"{jitter:.2f} | {angle.std():.2f} | {100 * scale.std() / scale.mean():.2f} |"
    still_centre = centre - np.stack([shifts[SETTLED:], np.zeros(len(centre))], 1)
    lag = np.sqrt(np.square(still_centre - still_centre.mean(0)).sum(1).mean()) / size
    return f"| | | {lag:.4f}"


if __name__ == "__main__":
    main()
