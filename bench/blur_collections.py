"""Faces of measured datasets for the figures of blur: labelled ones, and planted collections.

The datasets are made as the docstring of bench.sharpness says, with crops of simswap-224; their photos are
read from where they were then, their landmarks and label maps from the datasets.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from bench.blur_labels import Label, held_out, read_labels
from curate.decide.sharpness_limit import detail_enlargement
from curate.evaluate import degradations
from curate.evaluate.blur_fit import CROP_SCALE, AlignedFace
from curate.faces import align
from curate.measure.resolution import photo_resolution
from curate.measure.sharpness import BlurCalibration, sharpness
from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset, decode_mask
from manifests.schema import LANDMARKS

TEMPLATE = TEMPLATES["simswap-224"]
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Portrait:
    """A photo uint8 (H, W, 3) RGB, the landmarks (5, 2) of its main face, and the label map (224, 224) of its crop."""

    image_id: str
    photo: Pixels
    landmarks: Floats
    labels: Pixels

    def enlargement(self, photo: Pixels | None = None) -> float:
        """Px of the aligned crop per px that carries detail, of the photo or of a version of it of the same size."""
        gray = cv2.cvtColor(self.photo if photo is None else photo, cv2.COLOR_RGB2GRAY)
        matrices, _ = align.fit(self.landmarks[None], TEMPLATE)
        resolution = photo_resolution(np.asarray(gray, np.uint8))["resolution"]
        return float(detail_enlargement(np.hypot(*matrices[0, :, 0]), np.float64(resolution), TEMPLATE))

    def aligned(self, photo: Pixels | None = None) -> AlignedFace:
        """Align the face of the photo, or of a version of it of the same size."""
        matrices, _ = align.fit(self.landmarks[None], TEMPLATE)
        crops = align.warp([self.photo if photo is None else photo], [0], matrices, TEMPLATE.size)
        points = align.transform_points(self.landmarks[None], matrices)[0]
        crop = crops[0].permute(1, 2, 0).contiguous().numpy()
        return AlignedFace(crop, self.labels, points)


def read_portraits(dataset: Dataset, image_ids: Sequence[str]) -> Iterator[Portrait]:
    """Yield the main faces of photos; those without one, or that curation turned upright, are left out."""
    columns = ["image_id", "face_id", "turn", "shard", "mask_offset", "mask_length", "mask_crc", *LANDMARKS]
    rows = dataset.to_pandas(columns).set_index("image_id")
    missing = [image_id for image_id in image_ids if image_id not in rows.index]
    if missing:
        raise SystemExit(
            f"{dataset.path} lacks {len(missing)} of {len(image_ids)} photos, {missing[0]!r} for one: make it as the "
            "docstring of bench.sharpness says"
        )
    rows = rows.loc[list(image_ids)]
    for image_id, row in rows[rows.face_id.notna() & (rows.turn == 0)].iterrows():
        with Image.open(Path(dataset.info.source.root) / str(image_id)) as image:
            photo = np.asarray(image.convert("RGB"))
        points = row[list(LANDMARKS)].to_numpy(np.float64).reshape(5, 2)
        yield Portrait(str(image_id), photo, points, decode_mask(dataset.pixels.mask(row)))


def labelled_portraits(datasets: Path, collection: str, held: bool | None = None) -> Iterator[tuple[Portrait, Label]]:
    """Yield the labelled faces of a collection, all or only those (not) held out, without the label `none`."""
    labels = {
        label.image_id: label
        for label in read_labels()
        if label.collection == collection and label.label != "none" and held in (None, label.held_out)
    }
    for portrait in read_portraits(Dataset.open(datasets / collection), list(labels)):
        yield portrait, labels[portrait.image_id]


def sample_portraits(
    datasets: Path, collection: str, count: int, held: bool, first: Sequence[str] = ()
) -> Iterator[Portrait]:
    """Yield `first` and other, random faces of a collection, `count` together, of people that are (not) held out."""
    dataset = Dataset.open(datasets / collection)
    ids = [name for name in dataset.to_pandas(["image_id"]).image_id if held_out(name) is held]
    random = np.random.default_rng(zlib.crc32(collection.encode()))
    drawn = dict.fromkeys([*(name for name in first if held_out(name) is held), *random.permutation(ids)])
    yield from read_portraits(dataset, sorted(list(drawn)[:count]))


def score(faces: Sequence[AlignedFace], calibration: BlurCalibration) -> Floats:
    """Return the sharpness of faces, (N,)."""
    scores = []
    for start in range(0, len(faces), 64):
        part = faces[start : start + 64]
        crops = torch.from_numpy(np.stack([face.crop for face in part])).permute(0, 3, 1, 2).contiguous()
        labels = torch.from_numpy(np.stack([face.labels for face in part]))
        points = torch.from_numpy(np.stack([face.points for face in part])).float()
        scores.append(sharpness(crops, labels, points, calibration)["sharpness"].numpy())
    return np.concatenate(scores)


KINDS = (
    *(f"gaussian {sigma}" for sigma in (2, 3, 4)),
    *(f"motion {length}" for length in (11, 15, 22)),
    *(f"low resolution {factor}" for factor in (3, 5, 7)),
)
"""Planted blur; sizes in px of the 256 px face scale."""

REDUCTION = 1.5
"""Loss of resolution from which it counts as a clear one."""

LIGHTS = ("plain", "noise", "double")
"""Versions of a kind in the tables: at normal or half brightness without and with noise, and at double brightness."""


@dataclass(frozen=True)
class Planted:
    """One planted blur: a name of KINDS, whether noise of 3-8 levels is added after it, and a factor of brightness."""

    kind: str
    noisy: bool
    brightness: float

    @property
    def light(self) -> str:
        """One of LIGHTS."""
        return LIGHTS[2] if self.brightness > 1 else LIGHTS[1] if self.noisy else LIGHTS[0]

    def reduces(self, enlargement: float) -> bool:
        """Whether this takes clearly visible detail from a photo with this enlargement: blur always does.

        Low resolution does where the eyes are REDUCTION times as far apart, in px that carry detail, as it leaves them.
        """
        name, _, size = self.kind.rpartition(" ")
        left = degradations.EYE_DISTANCE / float(size)
        return name != "low resolution" or TEMPLATE.eye_distance / enlargement > REDUCTION * left

    def apply(self, portrait: Portrait, random: np.random.Generator) -> Pixels:
        """Blur a photo at its own size."""
        matrix, _ = align.fit(portrait.landmarks[None], TEMPLATE)
        # px of the photo per px of the 256 px face scale
        scale = CROP_SCALE / float(np.hypot(*matrix[0, :, 0]))
        name, _, size = self.kind.rpartition(" ")
        if name == "gaussian":
            photo = degradations.gaussian(portrait.photo, float(size), scale)
        elif name == "motion":
            photo = degradations.motion(portrait.photo, float(size), random.uniform(0, 180), scale)
        else:
            factor = max(1.0, float(size) * scale)
            methods = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
            photo = degradations.low_resolution(portrait.photo, factor, methods[random.integers(3)])
        if self.noisy:
            photo = degradations.noise(photo, random.uniform(3, 8), random)
        return degradations.brightness(photo, self.brightness)


def draw_planted(random: np.random.Generator) -> Planted:
    """Draw a planted blur at random: half of them noisy, half of them at half or double brightness."""
    brightness = (1.0, 1.0, 0.5, 2.0)[random.integers(4)]
    return Planted(KINDS[random.integers(len(KINDS))], bool(random.integers(2)), brightness)


@dataclass(frozen=True)
class ScoredVersions:
    """Scores of N photos as they are and of PLANTS planted versions of each.

    Attributes:
        image_ids: of the photos.
        sizes: int (N, 2), width and height, px.
        scores, enlargements: (N,), of the photos as they are.
        planted: (N, PLANTS), what was planted; planted_scores, planted_enlargements: the same shape.
    """

    image_ids: list[str]
    sizes: npt.NDArray[np.int64]
    scores: Floats
    enlargements: Floats
    planted: list[list[Planted]]
    planted_scores: Floats
    planted_enlargements: Floats


def score_versions(portraits: Iterator[Portrait], plants: int, calibration: BlurCalibration) -> ScoredVersions:
    """Plant blur in each photo `plants` times and score all versions."""
    ids, sizes, faces, enlargements, planted = [], [], [], [], []
    for portrait in portraits:
        random = np.random.default_rng(zlib.crc32(portrait.image_id.encode()))
        ids.append(portrait.image_id)
        sizes.append(portrait.photo.shape[1::-1])
        planted.append([draw_planted(random) for _ in range(plants)])
        versions = [portrait.photo, *(blur.apply(portrait, random) for blur in planted[-1])]
        faces += [portrait.aligned(version) for version in versions]
        enlargements += [portrait.enlargement(version) for version in versions]
    scores = score(faces, calibration).reshape(len(ids), plants + 1)
    detail = np.array(enlargements).reshape(scores.shape)
    return ScoredVersions(ids, np.array(sizes), scores[:, 0], detail[:, 0], planted, scores[:, 1:], detail[:, 1:])
