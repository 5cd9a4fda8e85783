"""The demo's photos: a small folder in VGGFace2's layout of real faces with planted faults, whose truth is known.

Eight people from photos that ship with the dependencies (insightface, scikit-image). Each clean photo is another view
of its person (`demo_views`), so that no two are near duplicates. Faults are planted by name; `score` compares the
reasons in a manifest with them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.evaluate.degradations import encode_jpeg
from curate.evaluate.demo_views import (
    EYE_DISTANCE,
    Image,
    Person,
    Rng,
    background,
    background_photos,
    blurs,
    cropped,
    people,
    poses,
    resized,
    view,
)
from manifests.csv_rows import CsvWriter
from manifests.output import OutputLock, atomic
from manifests.reader import Dataset

TRUTH = "truth.csv"
CLEAN_PER_PERSON = 14
MIN_SHARPNESS = 0.77
"""Sharpness limit of the demo's policy: its clean views score .79-.92, its blurs, slight for 40 px between the eyes,
.40-.74."""

FAULTS = {
    "blur": "blurred",
    "other person": "other_person",
    "exact duplicate": "duplicate",
    "near duplicate": "near_duplicate",
    "no face": "no_face",
    "undecodable": "undecodable",
}
"""Fault -> the reason that a good policy gives for it."""

_COPIES: tuple[Callable[[Image, Rng], bytes], ...] = (
    lambda photo, rng: encode_jpeg(photo, 50),
    lambda photo, rng: encode_jpeg(resized(photo, 0.7), 90),
    lambda photo, rng: encode_jpeg(photo[:, ::-1], 88),
    lambda photo, rng: encode_jpeg(cropped(photo, rng), 88),
)


@dataclass(frozen=True)
class PlantedPhoto:
    """One file of the demo: its fault ('' for none), and the identity of the person that it shows."""

    image_id: str
    fault: str
    identity: str

    @property
    def original(self) -> str | None:
        """The clean photo that a copy shows: the first of its folder, or the second for near duplicates."""
        number = {"exact duplicate": 1, "near duplicate": 2}.get(self.fault)
        return f"{self.image_id.rsplit('/', 1)[0]}/{number:04d}_01.jpg" if number else None


@dataclass(frozen=True)
class Score:
    """Result for one fault, or for the clean photos (fault '').

    Attributes:
        fault: One of FAULTS, or ''.
        planted: Number of photos.
        found: Those dropped for the right reason; of clean photos, those kept.
        missed: image_ids of the others.
    """

    fault: str
    planted: int
    found: int
    missed: tuple[str, ...]


def build(root: Path, limit: int | None = None, seed: int = 0) -> list[PlantedPhoto]:
    """Write the folder (`root/train/n000001/0001_01.jpg`, `root/identity_meta.csv`) and the truth beside it.

    Args:
        root: The folder to create.
        limit: Approximate number of photos; every kind of fault is kept.
        seed: The same seed gives the same files.

    Returns:
        All photos of the folder.

    Raises OutputError where it cannot be written, BusyError where another process writes it.
    """
    with OutputLock(root):
        return _build(root, limit, seed)


def _build(root: Path, limit: int | None, seed: int) -> list[PlantedPhoto]:
    rng = np.random.default_rng(seed)
    persons = people()
    backgrounds = background_photos()
    per_person = CLEAN_PER_PERSON if limit is None else max(3, limit // len(persons) - 2)
    planted: list[PlantedPhoto] = []
    for index in range(len(persons)):
        folder = root / "train" / _identity(index)
        folder.mkdir(parents=True, exist_ok=True)
        files = _files(persons, index, per_person, backgrounds, rng)
        for number, (data, fault, shown) in enumerate(files, 1):
            path = folder / f"{number:04d}_01.jpg"
            if not path.is_file() or path.read_bytes() != data:  # an equal one keeps its time and its measurements
                with atomic(path) as partial:
                    partial.write_bytes(data)
            planted.append(PlantedPhoto(path.relative_to(root).as_posix(), fault, _identity(shown)))
    _write_tables(root, planted, len(persons))
    return planted


def score(planted: list[PlantedPhoto], reasons: dict[str, list[str]]) -> list[Score]:
    """Compare the planted faults with the reasons of a manifest.

    A copy counts as found where it or its original is dropped as a duplicate; that original is then not lost.

    Args:
        planted: All photos of the folder.
        reasons: image_id -> reasons.

    Returns:
        A score for each fault, and the one of the clean photos last.
    """
    scores = []
    dropped_originals: set[str] = set()
    for fault, reason in FAULTS.items():
        missed = []
        photos = [photo for photo in planted if photo.fault == fault]
        for photo in photos:
            given = reasons[photo.image_id]
            is_found = reason in given or (fault.endswith("duplicate") and "duplicate" in given)
            if not is_found and photo.original and reason in reasons.get(photo.original, []):
                dropped_originals.add(photo.original)
                is_found = True
            if not is_found:
                missed.append(photo.image_id)
        scores.append(Score(fault, len(photos), len(photos) - len(missed), tuple(missed)))
    clean = [photo.image_id for photo in planted if not photo.fault]
    lost = tuple(image_id for image_id in clean if reasons[image_id] and image_id not in dropped_originals)
    scores.append(Score("", len(clean), len(clean) - len(lost), lost))
    return scores


def reasons_of(dataset_dir: Path) -> dict[str, list[str]]:
    """Return image_id -> reasons of a decided dataset."""
    table = Dataset.open(dataset_dir).manifest(["image_id", "reasons"])
    return dict(zip(table["image_id"].to_pylist(), table["reasons"].to_pylist(), strict=True))


def _files(
    persons: list[Person], index: int, count: int, backgrounds: list[Image], rng: Rng
) -> Iterator[tuple[bytes, str, int]]:
    """Yield the files of one person's folder, clean photos first: bytes, fault, index of the person that is shown."""
    person = persons[index]
    clean = [view(person, backgrounds, rng, pose) for pose in poses(count, rng)]
    encoded = [encode_jpeg(photo, int(rng.integers(82, 96))) for photo in clean]
    yield from ((data, "", index) for data in encoded)

    kinds = list(blurs(EYE_DISTANCE * 0.9))
    for k in (index, index + 1):
        yield encode_jpeg(kinds[k % len(kinds)](view(person, backgrounds, rng)), 90), "blur", index
    other = (index + 1 + int(rng.integers(len(persons) - 1))) % len(persons)
    yield encode_jpeg(view(persons[other], backgrounds, rng), 90), "other person", other
    if index % 2 == 0:
        yield encoded[0], "exact duplicate", index
    yield _COPIES[index % len(_COPIES)](clean[1], rng), "near duplicate", index
    if index % 2 == 1:
        yield encode_jpeg(background(backgrounds, 240, 240, rng), 90), "no face", index
    if index % 3 == 0:
        broken = (encoded[2][: len(encoded[2]) // 2], b"", b"<html>404 Not Found</html>")
        yield broken[index // 3 % len(broken)], "undecodable", index


def _identity(index: int) -> str:
    return f"n{index + 1:06d}"


def _write_tables(root: Path, planted: list[PlantedPhoto], count: int) -> None:
    """Write VGGFace2's table of identities, and the truth."""
    with atomic(root / "identity_meta.csv") as partial, partial.open("w", newline="") as file:
        identities = CsvWriter(file, ["Class_ID", "Name", "Sample_Num", "Flag", "Gender"])
        for index in range(count):
            name = _identity(index)
            photos = sum(f"/{name}/" in photo.image_id for photo in planted)
            identities.write([name, f"Person_{index + 1}", photos, 1, "f" if index % 2 else "m"])
    with atomic(root.parent / TRUTH) as partial, partial.open("w", newline="") as file:
        truth = CsvWriter(file, ["image_id", "fault", "identity"])
        for photo in planted:
            truth.write((photo.image_id, photo.fault, photo.identity))
