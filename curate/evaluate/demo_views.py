"""Synthetic views of real persons for the demo: other pose, expression, light and background."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.errors import ModelError

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Rng = np.random.Generator

EYE_DISTANCE = 46.0
"""Typical distance between the eyes in a view, px."""

# Photos of scikit-image without people; textures are tinted.
_BACKGROUNDS = (
    "coffee.png",
    "rocket.jpg",
    "chelsea.png",
    "motorcycle_left.png",
    "brick.png",
    "gravel.png",
    "grass.png",
)

# Displacements of the expression as (x, y) centre and standard deviation of a bump, in eye distances.
_SMILE_LEFT, _SMILE_RIGHT = (-0.42, 1.10, 0.28), (0.42, 1.10, 0.28)
_LIPS = (0.0, 1.35, 0.30)
_BROWS = ((-0.5, -0.35, 0.25), (0.5, -0.35, 0.25))
_EYELIDS = ((-0.5, 0.05, 0.18), (0.5, 0.05, 0.18))


@dataclass(frozen=True)
class Person:
    """A real photo and the position of the face in it.

    Attributes:
        photo: uint8 (H, W, 3) RGB.
        centre: (2,) x, y of the point between the eyes, px.
        across: (2,) vector from eye to eye, px.
    """

    photo: Image
    centre: Points
    across: Points


def people() -> list[Person]:
    """Return the eight persons, six of them from one group photo. Raises ModelError where a face is not detected."""
    from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings

    detect = Mtcnn("cpu", MtcnnSettings(max_faces=6))
    persons = []
    for package, name, count in (
        ("insightface", "data/images/t1.jpg", 6),
        ("insightface", "data/images/Tom_Hanks_54745.png", 1),
        ("skimage", "data/astronaut.png", 1),
    ):
        photo = packaged_photo(package, name)
        faces = detect([photo])
        if len(faces) < count:
            raise ModelError(f"{package}'s {name}: {len(faces)} faces found, {count} expected")
        for points in faces.landmarks[:count].astype(np.float64):
            eyes, mouth = points[:2].mean(0), points[3:].mean(0)
            across = points[1] - points[0]
            # On a turned head the eyes are closer together; the distance to the mouth is not affected.
            length = max(np.linalg.norm(across), 0.9 * np.linalg.norm(mouth - eyes))
            persons.append(Person(photo, eyes, across / np.linalg.norm(across) * length))
    return sorted(persons, key=lambda person: (person.photo.shape, person.centre[0]))


def background_photos() -> list[Image]:
    """Return photos without people, uint8 (H, W, 3) RGB."""
    return [packaged_photo("skimage", f"data/{name}") for name in _BACKGROUNDS]


_POSES = ((-25, 25), (-12, 12), (-0.14, 0.16), (-0.12, 0.16), (-0.12, 0.12), (-0.05, 0.05))
"""Limits of the fields of a `Pose`, in their order."""
_STRIDES = (0.0, 0.618, 0.414, 0.732, 0.236)
"""Distance of neighbours in yaw in each field but the last, as a share of its range."""


@dataclass(frozen=True)
class Pose:
    """How a head is held in a view.

    Attributes:
        yaw, pitch: degrees.
        smile, open_mouth, brow, squint: displacements of the expression, in eye distances.
    """

    yaw: float
    pitch: float
    smile: float
    open_mouth: float
    brow: float
    squint: float

    @classmethod
    def drawn(cls, rng: Rng) -> "Pose":
        """Draw any pose."""
        return cls(*rng.uniform(*np.transpose(_POSES)).tolist())


def poses(count: int, rng: Rng) -> list[Pose]:
    """Return poses in random order, spread so that no two are close: neighbours in yaw differ in pitch and mouth."""
    steps = np.arange(count)

    def spread(limits: tuple[float, float], stride: float) -> Points:
        """Evenly spaced values, of which neighbours in yaw are `stride` of the range apart, taken around its end."""
        return np.linspace(*limits, count)[np.argsort(np.argsort(steps * stride % 1, kind="stable"))]

    *spaced, squint = _POSES
    columns = [spread(limits, stride) for limits, stride in zip(spaced, _STRIDES, strict=True)]
    columns.append(rng.uniform(*squint, count))
    return [Pose(*values) for values in rng.permutation(np.stack(columns, -1)).tolist()]


def view(person: Person, backgrounds: list[Image], rng: Rng, pose: Pose | None = None) -> Image:
    """Render a view of a person, uint8 RGB of about 260 px: another pose, expression, light and background.

    Args:
        person: Whose photo is warped.
        backgrounds: Photos without people.
        rng: Draws everything that is not given.
        pose: None draws it.
    """
    width, height = int(rng.integers(220, 330)), int(rng.integers(240, 350))
    eyes = EYE_DISTANCE * rng.uniform(0.85, 1.15)
    middle = np.array([width, height]) * rng.uniform([0.40, 0.34], [0.60, 0.48])
    roll = np.radians(rng.uniform(-14, 14))
    upright = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]]) / eyes
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) - middle

    # u: coordinates on the face, in eye distances from the point between the eyes.
    u = grid @ upright.T
    pose = pose or Pose.drawn(rng)
    displaced = _apply_expression(_turn_head(u, *np.radians([pose.yaw, pose.pitch])), pose)
    across, down = person.across, np.array([-person.across[1], person.across[0]])
    source = (person.centre + displaced[..., :1] * across + displaced[..., 1:] * down).astype(np.float32)
    face = cv2.remap(person.photo, source[..., 0], source[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    limits = np.array(person.photo.shape[1::-1]) - 1
    inside = np.minimum(source, limits - source).min(-1) / np.linalg.norm(across)
    head = 1.25 - np.hypot(u[..., 0] / 1.25, (u[..., 1] - 0.3) / 1.75)
    neck = np.minimum(1.3 + 0.5 * (u[..., 1] - 1.8) - np.abs(u[..., 0]), u[..., 1] - 1.2)
    alpha = np.clip(np.minimum(np.maximum(head, neck) / 0.3, inside / 0.08), 0, 1)[..., None]
    blended = alpha * face + (1 - alpha) * background(backgrounds, width, height, rng)
    # Two resamplings soften the face; sharpen it as a camera does.
    sharpened = blended + 1.8 * (blended - cv2.GaussianBlur(blended, (0, 0), 1.2))
    return _light(sharpened, u, rng)


def _turn_head(u: Points, yaw: float, pitch: float) -> Points:
    """Map points of a turned head (radians) to the frontal face: displacement by the depth of an ellipsoid."""
    x, y = u[..., 0], u[..., 1] - 0.5
    depth = np.sqrt(np.clip(1 - (x / 1.5) ** 2 - (y / 2.0) ** 2, 0, 1))
    turned: Points = np.stack(
        [x / np.cos(yaw) - 0.55 * np.sin(yaw) * depth, y / np.cos(pitch) - 0.55 * np.sin(pitch) * depth], -1
    )
    turned += np.array([0.0, 0.5])
    return turned


def _apply_expression(u: Points, pose: Pose) -> Points:
    """Displace mouth corners, lips, brows and eyelids, each by a smooth bump."""
    displaced = u.copy()
    for (x, y, std), dx, dy in (
        (_SMILE_LEFT, 0.5 * pose.smile, pose.smile),
        (_SMILE_RIGHT, -0.5 * pose.smile, pose.smile),
        (_LIPS, 0.0, -pose.open_mouth),
        *((bump, 0.0, pose.brow) for bump in _BROWS),
        *((bump, 0.0, pose.squint) for bump in _EYELIDS),
    ):
        bump = np.exp(-((u[..., 0] - x) ** 2 + (u[..., 1] - y) ** 2) / (2 * std**2))
        displaced += bump[..., None] * [dx, dy]
    return displaced


def _light(photo: Points, u: Points, rng: Rng) -> Image:
    """Apply light from a side, exposure, colour temperature and sensor noise."""
    angle = rng.uniform(0, 2 * np.pi)
    side = 1 + rng.uniform(0.05, 0.30) * np.tanh((u[..., 0] * np.cos(angle) + u[..., 1] * np.sin(angle)) / 1.5)
    warmth = rng.uniform(-0.07, 0.07)
    linear = (np.clip(photo, 0, 255) / 255) ** rng.uniform(0.75, 1.3)
    lit = linear * side[..., None] * rng.uniform(0.8, 1.05) * [1 + warmth, 1.0, 1 - warmth]
    noisy = lit * 255 + rng.normal(0, rng.uniform(0.5, 2.5), lit.shape)
    image: Image = np.clip(noisy.round(), 0, 255).astype(np.uint8)
    return image[:, ::-1].copy() if rng.random() < 0.5 else image


def background(photos: list[Image], width: int, height: int, rng: Rng) -> Image:
    """Cut a part out of a random photo without people, tinted and more or less out of focus."""
    photo = photos[int(rng.integers(len(photos)))]
    share = rng.uniform(0.35, 0.8)
    h, w = (int(side * share) for side in photo.shape[:2])
    y, x = int(rng.integers(photo.shape[0] - h)), int(rng.integers(photo.shape[1] - w))
    part = cv2.resize(photo[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(part, (0, 0), rng.uniform(0.5, 4)) * (rng.uniform(0.7, 1.1) * rng.uniform(0.92, 1.08, 3))
    image: Image = np.clip(soft, 0, 255).astype(np.uint8)
    return image[:, ::-1].copy() if rng.random() < 0.5 else image


def blurs(eye_distance: float) -> Iterator[Callable[[Image], Image]]:
    """Yield four blurs for a photo with the eyes `eye_distance` px apart: gaussian, motion, defocus, low resolution."""
    step = eye_distance / 65  # photo pixels per pixel of a 224 px crop
    size = int(16 * step) | 1
    motion = np.full((1, size), 1 / size, np.float32)
    radius = 4.2 * step
    span = np.arange(-int(radius) - 1, int(radius) + 2)
    disc = (np.hypot(*np.meshgrid(span, span)) <= radius).astype(np.float32)
    yield lambda photo: np.asarray(cv2.GaussianBlur(photo, (0, 0), 3.0 * step), np.uint8)
    yield lambda photo: np.asarray(cv2.filter2D(photo, -1, motion), np.uint8)
    yield lambda photo: np.asarray(cv2.filter2D(photo, -1, disc / disc.sum()), np.uint8)
    yield lambda photo: _low_resolution(photo, 0.22 / step)


def _low_resolution(photo: Image, scale: float) -> Image:
    small = resized(photo, scale)
    return resized(small, photo.shape[1] / small.shape[1])


def resized(photo: Image, scale: float) -> Image:
    """Resize by a factor, to at least 8 px."""
    size = (max(8, round(photo.shape[1] * scale)), max(8, round(photo.shape[0] * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)


def cropped(photo: Image, rng: Rng) -> Image:
    """Cut out 95% of either side."""
    h, w = photo.shape[:2]
    y, x = (int(side * 0.05 * rng.random()) for side in (h, w))
    return photo[y : y + int(h * 0.95), x : x + int(w * 0.95)]


def packaged_photo(package: str, name: str) -> Image:
    """Read a photo inside an installed package, uint8 (H, W, 3) RGB, without importing the package.

    Raises ModelError where the package lacks it.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        photo = cv2.imread(str(Path(folder) / name), cv2.IMREAD_COLOR)
        if photo is not None:
            return np.ascontiguousarray(photo[..., ::-1], np.uint8)
    raise ModelError(f"{package} is installed without its {name}: reinstall {package}")
