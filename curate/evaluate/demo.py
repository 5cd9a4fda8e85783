"""A small VGGFace2-shaped folder of real faces with planted faults, whose truth is known.

Eight people from photos that ship with the dependencies (insightface, scikit-image). Each clean photo is a new view of
its person: turned and tilted, another expression, another background, light, size and JPEG quality, so that no two
of them are near duplicates. Faults are planted by name; `score` compares what `curate clean` found with them.
"""

import csv
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.errors import ModelError
from manifests.reader import Dataset

Image = npt.NDArray[np.uint8]
Rng = np.random.Generator

TRUTH = "truth.csv"
CLEAN_PER_PERSON = 14
MIN_SHARPNESS = 0.4
"""The demo's faces have 40 px between the eyes: all are soft at 224 px, so its policy asks for less."""

# fault -> the reason that a good policy gives for it
FAULTS = {
    "blur": "blurred",
    "other person": "other_person",
    "exact duplicate": "duplicate",
    "near duplicate": "near_duplicate",
    "no face": "no_face",
    "undecodable": "undecodable",
}

# scikit-image's photos without people; textures are tinted.
_BACKGROUNDS = (
    "coffee.png",
    "rocket.jpg",
    "chelsea.png",
    "motorcycle_left.png",
    "brick.png",
    "gravel.png",
    "grass.png",
)


@dataclass(frozen=True)
class Person:
    """A real photo and where the face lies in it: the point between the eyes, and the vector from eye to eye, in px."""

    photo: Image
    centre: npt.NDArray[np.float64]
    across: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Planted:
    """One file of the demo: where it lies, what is wrong with it ('' for nothing), who is really on it."""

    image_id: str
    fault: str
    identity: str


def people() -> list[Person]:
    """The eight people, six of them on one group photo. Raises ModelError where the photos are not as expected."""
    from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings

    detect = Mtcnn("cpu", MtcnnSettings(max_faces=6))
    found = []
    for package, name, count in (
        ("insightface", "data/images/t1.jpg", 6),
        ("insightface", "data/images/Tom_Hanks_54745.png", 1),
        ("skimage", "data/astronaut.png", 1),
    ):
        photo = _packaged(package, name)
        faces = detect([photo])
        if len(faces) < count:
            raise ModelError(f"{package}'s {name}: {len(faces)} faces found, {count} expected")
        for points in faces.landmarks[:count].astype(np.float64):
            eyes, mouth = points[:2].mean(0), points[3:].mean(0)
            across = points[1] - points[0]
            # On a turned head the eyes come closer; the distance to the mouth does not.
            length = max(np.linalg.norm(across), 0.9 * np.linalg.norm(mouth - eyes))
            found.append(Person(photo, eyes, across / np.linalg.norm(across) * length))
    return sorted(found, key=lambda person: (person.photo.shape, person.centre[0]))


def build(root: Path, limit: int | None = None, seed: int = 0) -> list[Planted]:
    """Writes the folder (`root/train/n000001/0001_01.jpg`, `root/identity_meta.csv`) and returns what is in it.

    limit: about so many photos; every kind of fault is kept. The same seed gives the same files.
    """
    rng = np.random.default_rng(seed)
    who = people()
    backgrounds = [_packaged("skimage", f"data/{name}") for name in _BACKGROUNDS]
    per_person = CLEAN_PER_PERSON if limit is None else max(3, limit // len(who) - 2)
    planted: list[Planted] = []
    for index in range(len(who)):
        name = f"n{index + 1:06d}"
        folder = root / "train" / name
        folder.mkdir(parents=True, exist_ok=True)
        files = _files(who, index, per_person, backgrounds, rng)
        for number, (data, fault, really) in enumerate(files, 1):
            path = folder / f"{number:04d}_01.jpg"
            path.write_bytes(data)
            planted.append(Planted(path.relative_to(root).as_posix(), fault, f"n{really + 1:06d}"))
    _write_tables(root, planted, len(who))
    return planted


def _files(
    who: list[Person], index: int, count: int, backgrounds: list[Image], rng: Rng
) -> Iterator[tuple[bytes, str, int]]:
    """-> (bytes, fault, person really on it), clean photos first."""
    clean = [view(who[index], backgrounds, rng, turn) for turn in _turns(count, rng)]
    encoded = [_jpeg(photo, int(rng.integers(82, 96))) for photo in clean]
    yield from ((data, "", index) for data in encoded)

    eyes = _EYES * 0.9
    blurs = list(_blurs(eyes))
    for k in (index, index + 1):
        yield _jpeg(blurs[k % len(blurs)](view(who[index], backgrounds, rng)), 90), "blur", index
    other = (index + 1 + int(rng.integers(len(who) - 1))) % len(who)
    yield _jpeg(view(who[other], backgrounds, rng), 90), "other person", other
    if index % 2 == 0:
        yield encoded[0], "exact duplicate", index
    copies = list(_COPIES)
    yield copies[index % len(copies)](clean[1], rng), "near duplicate", index
    if index % 2 == 1:
        yield _jpeg(_background(backgrounds, 240, 240, rng), 90), "no face", index
    if index % 3 == 0:
        yield (
            (encoded[2][: len(encoded[2]) // 2], b"", b"<html>404 Not Found</html>")[index // 3 % 3],
            "undecodable",
            index,
        )


_EYES = 46.0  # typical distance between the eyes on a demo photo, px


def _turns(count: int, rng: Rng) -> npt.NDArray[np.float64]:
    """(count, 2) yaw and pitch in degrees, spread so that no two are close."""
    yaw = np.linspace(-24, 24, count)
    pitch = np.linspace(-12, 12, count)[np.argsort((np.arange(count) * 0.618) % 1)]
    return rng.permutation(np.stack([yaw, pitch], -1))


def view(person: Person, backgrounds: list[Image], rng: Rng, turn: npt.NDArray[np.float64] | None = None) -> Image:
    """A new photo of the person, about 260 px, uint8 RGB: other pose, expression, light and background.

    turn: yaw and pitch in degrees; None draws them.
    """
    width, height = int(rng.integers(220, 330)), int(rng.integers(240, 350))
    eyes = _EYES * rng.uniform(0.85, 1.15)
    middle = np.array([width, height]) * rng.uniform([0.40, 0.34], [0.60, 0.48])
    roll = np.radians(rng.uniform(-14, 14))
    upright = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]]) / eyes
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) - middle

    # u: coordinates on the face, in eye distances from the point between the eyes.
    u = grid @ upright.T
    turn = rng.uniform([-24, -12], [24, 12]) if turn is None else turn
    moved = _expression(_turned(u, *np.radians(turn)), rng)
    across, down = person.across, np.array([-person.across[1], person.across[0]])
    source = (person.centre + moved[..., :1] * across + moved[..., 1:] * down).astype(np.float32)
    face = cv2.remap(person.photo, source[..., 0], source[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    limits = np.array(person.photo.shape[1::-1]) - 1
    inside = np.minimum(source, limits - source).min(-1) / np.linalg.norm(across)
    head = 1.25 - np.hypot(u[..., 0] / 1.25, (u[..., 1] - 0.3) / 1.75)
    neck = np.minimum(1.3 + 0.5 * (u[..., 1] - 1.8) - np.abs(u[..., 0]), u[..., 1] - 1.2)
    alpha = np.clip(np.minimum(np.maximum(head, neck) / 0.3, inside / 0.08), 0, 1)[..., None]
    blended = alpha * face + (1 - alpha) * _background(backgrounds, width, height, rng)
    # Two resamplings soften the face; cameras sharpen theirs.
    sharpened = blended + 1.8 * (blended - cv2.GaussianBlur(blended, (0, 0), 1.2))
    return _lit(sharpened, u, rng)


def _turned(u: npt.NDArray[np.float64], yaw: float, pitch: float) -> npt.NDArray[np.float64]:
    """Where on the frontal face each point of a turned head comes from: depth of an ellipsoid times the turn."""
    x, y = u[..., 0], u[..., 1] - 0.5
    depth = np.sqrt(np.clip(1 - (x / 1.5) ** 2 - (y / 2.0) ** 2, 0, 1))
    turned: npt.NDArray[np.float64] = np.stack(
        [x / np.cos(yaw) - 0.55 * np.sin(yaw) * depth, y / np.cos(pitch) - 0.55 * np.sin(pitch) * depth], -1
    )
    turned += np.array([0.0, 0.5])
    return turned


def _expression(u: npt.NDArray[np.float64], rng: Rng) -> npt.NDArray[np.float64]:
    """Moves mouth corners, lips, brows and eyelids a little, each by a smooth bump."""
    smile, open_mouth, brow, squint = rng.uniform([-0.14, -0.12, -0.12, -0.05], [0.16, 0.16, 0.12, 0.05])
    moved = u.copy()
    for x, y, reach, dx, dy in (
        (-0.42, 1.10, 0.28, 0.5 * smile, smile),
        (0.42, 1.10, 0.28, -0.5 * smile, smile),
        (0.0, 1.35, 0.30, 0.0, -open_mouth),
        (-0.5, -0.35, 0.25, 0.0, brow),
        (0.5, -0.35, 0.25, 0.0, brow),
        (-0.5, 0.05, 0.18, 0.0, squint),
        (0.5, 0.05, 0.18, 0.0, squint),
    ):
        bump = np.exp(-((u[..., 0] - x) ** 2 + (u[..., 1] - y) ** 2) / (2 * reach**2))
        moved += bump[..., None] * [dx, dy]
    return moved


def _lit(photo: npt.NDArray[np.float64], u: npt.NDArray[np.float64], rng: Rng) -> Image:
    """Light from a side, exposure, colour temperature, a little sensor noise."""
    angle = rng.uniform(0, 2 * np.pi)
    side = 1 + rng.uniform(0.05, 0.30) * np.tanh((u[..., 0] * np.cos(angle) + u[..., 1] * np.sin(angle)) / 1.5)
    warm = rng.uniform(-0.07, 0.07)
    linear = (np.clip(photo, 0, 255) / 255) ** rng.uniform(0.75, 1.3)
    lit = linear * side[..., None] * rng.uniform(0.8, 1.05) * [1 + warm, 1.0, 1 - warm]
    noisy = lit * 255 + rng.normal(0, rng.uniform(0.5, 2.5), lit.shape)
    image: Image = np.clip(noisy.round(), 0, 255).astype(np.uint8)
    return image[:, ::-1].copy() if rng.random() < 0.5 else image


def _background(backgrounds: list[Image], width: int, height: int, rng: Rng) -> Image:
    """A piece of a photo without people, tinted, more or less out of focus."""
    photo = backgrounds[int(rng.integers(len(backgrounds)))]
    share = rng.uniform(0.35, 0.8)
    h, w = (int(side * share) for side in photo.shape[:2])
    y, x = int(rng.integers(photo.shape[0] - h)), int(rng.integers(photo.shape[1] - w))
    piece = cv2.resize(photo[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(piece, (0, 0), rng.uniform(0.5, 4)) * (rng.uniform(0.7, 1.1) * rng.uniform(0.92, 1.08, 3))
    image: Image = np.clip(soft, 0, 255).astype(np.uint8)
    return image[:, ::-1].copy() if rng.random() < 0.5 else image


def _blurs(eyes: float) -> Iterator[Callable[[Image], Image]]:
    """Four ways to spoil a photo whose eyes are `eyes` px apart: out of focus, moved, defocused, enlarged."""
    step = eyes / 65  # pixels of a 224 px crop, on the photo
    size = int(13 * step) | 1
    motion = np.full((1, size), 1 / size, np.float32)
    radius = 3.5 * step
    span = np.arange(-int(radius) - 1, int(radius) + 2)
    disc = (np.hypot(*np.meshgrid(span, span)) <= radius).astype(np.float32)
    yield lambda photo: np.asarray(cv2.GaussianBlur(photo, (0, 0), 2.6 * step), np.uint8)
    yield lambda photo: np.asarray(cv2.filter2D(photo, -1, motion), np.uint8)
    yield lambda photo: np.asarray(cv2.filter2D(photo, -1, disc / disc.sum()), np.uint8)
    yield lambda photo: _resized(_resized(photo, 0.25 / step), photo.shape[1] / _resized(photo, 0.25 / step).shape[1])


def _resized(photo: Image, scale: float) -> Image:
    size = (max(8, round(photo.shape[1] * scale)), max(8, round(photo.shape[0] * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)


def _cropped(photo: Image, rng: Rng) -> Image:
    h, w = photo.shape[:2]
    y, x = (int(side * 0.05 * rng.random()) for side in (h, w))
    return photo[y : y + int(h * 0.95), x : x + int(w * 0.95)]


_COPIES: tuple[Callable[[Image, Rng], bytes], ...] = (
    lambda photo, rng: _jpeg(photo, 50),
    lambda photo, rng: _jpeg(_resized(photo, 0.7), 90),
    lambda photo, rng: _jpeg(photo[:, ::-1], 88),
    lambda photo, rng: _jpeg(_cropped(photo, rng), 88),
)


def _jpeg(photo: Image, quality: int) -> bytes:
    ok, data = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return data.tobytes()


def _packaged(package: str, name: str) -> Image:
    """A photo inside an installed package, RGB; the package itself is not imported."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        photo = cv2.imread(str(Path(folder) / name), cv2.IMREAD_COLOR)
        if photo is not None:
            return np.ascontiguousarray(photo[..., ::-1], np.uint8)
    raise ModelError(f"{package} is installed without its {name}: reinstall {package}")


def _write_tables(root: Path, planted: list[Planted], count: int) -> None:
    with (root / "identity_meta.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Class_ID", "Name", "Sample_Num", "Flag", "Gender"])
        for index in range(count):
            name = f"n{index + 1:06d}"
            photos = sum(1 for one in planted if f"/{name}/" in one.image_id)
            writer.writerow([name, f"Person_{index + 1}", photos, 1, "f" if index % 2 else "m"])
    with (root.parent / TRUTH).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "fault", "identity"])
        writer.writerows((one.image_id, one.fault, one.identity) for one in planted)


@dataclass(frozen=True)
class Score:
    """Of one fault: how many were planted, how many found, which missed. Of '' (clean photos): kept and lost."""

    fault: str
    planted: int
    found: int
    missed: tuple[str, ...]


def score(planted: list[Planted], reasons: dict[str, list[str]]) -> list[Score]:
    """What was planted, and image_id -> reasons of the manifest -> a Score for each kind of fault, clean photos last.

    A copy counts as found when it or the photo that it copies is dropped as one; that clean photo is then not lost.
    """
    scores = []
    spared: set[str] = set()
    for fault, reason in FAULTS.items():
        missed = []
        members = [one for one in planted if one.fault == fault]
        for one in members:
            original = _original(one)
            hit = reason in reasons[one.image_id] or (
                fault.endswith("duplicate") and "duplicate" in reasons[one.image_id]
            )
            if not hit and original and reason in reasons.get(original, []):
                spared.add(original)
                hit = True
            if not hit:
                missed.append(one.image_id)
        scores.append(Score(fault, len(members), len(members) - len(missed), tuple(missed)))
    clean = [one for one in planted if not one.fault]
    lost = tuple(one.image_id for one in clean if reasons[one.image_id] and one.image_id not in spared)
    scores.append(Score("", len(clean), len(clean) - len(lost), lost))
    return scores


def reasons_of(dataset_dir: Path) -> dict[str, list[str]]:
    """A decided dataset -> image_id -> reasons."""
    table = Dataset.open(dataset_dir).manifest(["image_id", "reasons"])
    return dict(zip(table["image_id"].to_pylist(), table["reasons"].to_pylist(), strict=True))


def _original(one: Planted) -> str | None:
    """The clean photo that a planted copy shows: the first of its folder, or the second for near duplicates."""
    number = {"exact duplicate": 1, "near duplicate": 2}.get(one.fault)
    return f"{one.image_id.rsplit('/', 1)[0]}/{number:04d}_01.jpg" if number else None
