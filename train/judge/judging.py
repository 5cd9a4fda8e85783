"""Checkpoints and a dataset's photos -> a row of numbers for each pair that is swapped, by an independent embedder.

The judge sees every face on the crop that the generator works on, warped by the target photo's landmarks; source photos
as the dataset has them. Where its embedder keeps all people in one corner of the sphere, the mean over many people of
the dataset is taken off first (`train.data.latents.latent_centre`): cosines are then between differences from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from curate.faces.align import fit, rescale_points, warp_crops
from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings
from curate.faces.embedder import Embedder
from curate.faces.models import embedder_ids, embedders_of, load_embedder
from curate.faces.packs.insightface import PACKS
from manifests.errors import DatasetError
from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset
from train.build import memory_format
from train.config import Recipe
from train.data.faces import TrainingFaces
from train.data.latents import Latents, latent_centre
from train.data.loader import Batch, PairLoader
from train.data.pairs import Kind, PairRows, PairSampler
from train.judge import metrics
from train.judge.pairs import SEED, pair_up
from train.networks.conditioning import identity_conditioning
from train.trained import TrainedGenerator, load_trained

Pixels = npt.NDArray[np.uint8]

CENTRE_ABOVE = 0.5
"""The judge's mean vector is taken off where it is longer than this, as in training (`Recipe.centre_above`)."""

COLUMNS = pa.schema(
    [
        pa.field("kind", pa.string(), metadata={"meaning": "'cross': two people; 'same': two photos of one"}),
        pa.field("target", pa.string(), metadata={"meaning": "face_id of the photo that is changed"}),
        pa.field("source", pa.string(), metadata={"meaning": "face_id of the photo whose identity goes in"}),
        pa.field("target_person", pa.string()),
        pa.field("source_person", pa.string()),
        pa.field("distance", pa.float32(), metadata={"meaning": "1 - cos(swap, source)"}),
        pa.field("distance_before", pa.float32(), metadata={"meaning": "1 - cos(target, source)"}),
        pa.field("distance_target", pa.float32(), metadata={"meaning": "1 - cos(swap, target)"}),
        pa.field("gain", pa.float32(), metadata={"meaning": "cos(swap, source) - cos(target, source)"}),
        pa.field("retrieved", pa.bool_(), metadata={"meaning": "nearest photo shows the source's person"}),
        pa.field("found", pa.bool_(), metadata={"meaning": "the detector finds a face in the swap"}),
        pa.field("pose_error", pa.float32(), metadata={"unit": "degrees", "null": "no face found in either picture"}),
        pa.field("landmark_error", pa.float32(), metadata={"unit": "eye distances", "null": "as pose_error"}),
        pa.field("psnr", pa.float32(), metadata={"unit": "dB", "null": "two people: the truth is not known"}),
        pa.field("ssim", pa.float32(), metadata={"null": "as psnr"}),
    ]
)
"""What is known of each pair."""

_CHUNK = 16


@dataclass(frozen=True)
class Candidate:
    """A checkpoint that is judged."""

    path: Path
    trained: TrainedGenerator

    @classmethod
    def load(cls, path: Path, dataset: Dataset, device: str, embedder: str | None = None) -> "Candidate":
        """The generator of a checkpoint on `device`, and the embedder of its latents.

        embedder: its name or file; None searches the recipe, the dataset's models and those on this machine.
        Raises CheckpointError: damaged. ModelError: its embedder is not on this machine.
        """
        return cls(path, load_trained(path, device, embedder, _of_dataset(dataset)))

    @property
    def recipe(self) -> Recipe:
        return self.trained.recipe

    @torch.inference_mode()
    def swap(self, batch: Batch) -> Tensor:
        """The batch's targets with its sources' identities, RGB in [0, 1], float32 (B, 3, S, S)."""
        trained, batch = self.trained, batch.to(self.trained.device)
        rgb01 = (batch.target.float() / 255).contiguous(memory_format=memory_format(self.recipe, trained.device))
        masks = None if batch.masks is None else batch.masks.to(rgb01.dtype)
        return trained.generate(rgb01, trained.condition(batch.latents), masks)


@dataclass(frozen=True)
class Judge:
    """An embedder and what it says of M real photos: vectors (M, D) of unit norm, `centre` (D,) taken off.

    independent: no candidate was trained against it.
    """

    embedder: Embedder
    vectors: Tensor
    centre: Tensor
    independent: bool

    @classmethod
    def of(cls, embedder: Embedder, latents: Latents, people: Latents, independent: bool, device: str) -> "Judge":
        """latents: (M, D) of the photos that are judged on; people: (P, D), a photo each of many, for the centre."""
        centre = torch.from_numpy(latent_centre(people, CENTRE_ABOVE)).to(device)
        vectors = torch.from_numpy(np.asarray(latents, np.float32)).to(device)
        return cls(embedder.to(device), identity_conditioning(vectors, centre), centre, independent)

    @torch.inference_mode()
    def look(self, images: Tensor, points: npt.NDArray[np.float64]) -> Tensor:
        """Crops RGB in [0, 1] (B, 3, S, S) and five points on each (B, 5, 2) -> unit vectors (B, D)."""
        matrices = torch.from_numpy(fit(points, self.embedder.template)[0]).to(images.device)
        chips = warp_crops(images * 255, matrices, self.embedder.template.size).round().to(torch.uint8)
        return identity_conditioning(self.embedder.embed(chips), self.centre)


@dataclass(frozen=True)
class Setting:
    """The photos that are judged on, which of them are paired, and who judges."""

    photos: TrainingFaces
    template: str
    cross: PairRows
    same: PairRows | None
    judge: Judge
    detector: Mtcnn

    @classmethod
    def of(cls, photos: TrainingFaces, template: str, count: int, judge: Judge, device: str) -> "Setting":
        """Up to `count` pairs of either kind; `same` is None where nobody has two photos.

        Raises DatasetError where there are not two people.
        """
        cross, same = pair_up(photos, "cross", count), pair_up(photos, "same", count)
        if cross is None:
            raise DatasetError(f"{photos.root}: {', '.join(photos.people)} is the only person; swapping takes two")
        return cls(photos, template, cross, same, judge, Mtcnn(device, MtcnnSettings(max_faces=1)))

    def rows(self, kind: Kind) -> PairRows | None:
        """The pairs of that kind."""
        return self.cross if kind == "cross" else self.same


def choose_judge(dataset: Dataset, trained: set[str], named: str | None) -> tuple[Embedder, bool]:
    """`--judge`, or the first embedder that is here and not among `trained` (embedder ids) -> (it, independent).

    The order: built in, the dataset's own, the packs. Where there is no other, the built-in one or the first that was
    trained against.
    """
    if named is not None:
        chosen = load_embedder(named)
        return chosen, chosen.embedder_id not in trained
    ids = embedder_ids(["builtin", *_of_dataset(dataset), *PACKS])
    independent = [name for name, embedder_id in ids.items() if embedder_id not in trained]
    return load_embedder((independent or list(ids))[0]), bool(independent)


def score(candidate: Candidate, setting: Setting, latents: Latents, kind: Kind) -> pa.Table:
    """A row of COLUMNS for each pair of that kind. latents: (M, D) of the setting's photos, the candidate's."""
    rows, judge, photos = setting.rows(kind), setting.judge, setting.photos
    if rows is None:
        return COLUMNS.empty_table()
    side = candidate.recipe.size / photos.side
    template = TEMPLATES[setting.template]
    eyes = side * float(np.linalg.norm(template.points[:, 1] - template.points[:, 0], axis=1).max())
    found: list[dict[str, npt.NDArray[Any]]] = []
    for batch in batches(candidate, setting, latents, kind, rows):
        points = rescale_points(photos.points[batch.targets].astype(np.float64), side)
        target, fake = batch.target.to(judge.centre.device).float() / 255, candidate.swap(batch)
        after, before = judge.look(fake, points), judge.look(target, points)
        source = judge.vectors[torch.from_numpy(batch.sources).to(judge.vectors.device)]
        seen, wanted = _landmarks(setting.detector, fake), _landmarks(setting.detector, target)
        one = {
            "distance": metrics.cosine_distance(after, source),
            "distance_before": metrics.cosine_distance(before, source),
            "distance_target": metrics.cosine_distance(after, before),
            "gain": metrics.identity_gain(after, source, before),
            "pose_error": metrics.pose_error(seen, wanted),
            "landmark_error": metrics.landmark_error(seen, wanted, eyes),
        }
        if kind == "same":
            one |= {"psnr": metrics.psnr(fake, target), "ssim": metrics.ssim(fake, target)}
        numbers = {name: values.cpu().numpy() for name, values in one.items()}
        numbers["retrieved"] = metrics.retrieved(after, batch.sources, judge.vectors, photos.person)
        numbers["found"] = seen.isfinite().all((1, 2)).cpu().numpy()
        found.append(numbers)
    names = np.array(photos.people, object)
    told = {
        "kind": pa.array([kind] * len(rows.targets), pa.string()),
        "target": pa.array(photos.face_id[rows.targets], pa.string()),
        "source": pa.array(photos.face_id[rows.sources], pa.string()),
        "target_person": pa.array(names[photos.person[rows.targets]], pa.string()),
        "source_person": pa.array(names[photos.person[rows.sources]], pa.string()),
    }
    for field in COLUMNS:
        if field.name in found[0]:
            values = np.concatenate([part[field.name] for part in found])
            # A NaN, where no face was found, is a null.
            told[field.name] = pa.array(values, from_pandas=True).cast(field.type)
        elif field.name not in told:
            told[field.name] = pa.nulls(len(rows.targets), field.type)
    return pa.table([told[field.name] for field in COLUMNS], schema=COLUMNS)


def batches(
    candidate: Candidate, setting: Setting, latents: Latents, kind: Kind, rows: PairRows, *, sources: bool = False
) -> Iterator[Batch]:
    """The pairs `rows` as a candidate takes them, some at a time; with `sources`, the source photos' pixels too."""
    recipe = candidate.recipe
    loader = PairLoader(
        PairSampler(setting.photos, _CHUNK, SEED, flip=0),
        lambda _: kind,
        latents,
        candidate.trained.embedder.template,
        recipe.size,
        mask=recipe.mask,  # type: ignore[arg-type]
        sources=sources,
    )
    try:
        for start in range(0, len(rows.targets), _CHUNK):
            at = slice(start, start + _CHUNK)
            still = np.zeros(len(rows.targets[at]), bool)
            yield loader.assemble(start, kind, PairRows(rows.targets[at], rows.sources[at], still, still))
    finally:
        loader.close()


def as_pixels(images: Tensor) -> Pixels:
    """RGB in [0, 1] (B, 3, S, S) -> uint8 (B, S, S, 3)."""
    pixels: Pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def _landmarks(detector: Mtcnn, images: Tensor) -> Tensor:
    """Five points (B, 5, 2) of the largest face of each picture, NaN where there is none."""
    points = np.full((len(images), 5, 2), np.nan, np.float32)
    faces = detector(list(as_pixels(images))).largest()
    points[faces.photo] = faces.landmarks
    return torch.from_numpy(points).to(images.device)


def _of_dataset(dataset: Dataset) -> list[str]:
    """Embedders that the dataset, or a merged one's parts, were measured with."""
    infos = [Dataset.open(path).info for path in dataset.parts.values()] or [dataset.info]
    return [name for info in infos for name in embedders_of(info)]
