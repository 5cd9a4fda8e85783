"""Swaps to people never trained on, against pasting pixels without a network.

    python -m bench.general DATASET CHECKPOINT --judge mobilefacenet-casia.ckpt [--pairs 200] [--grid FILE]

Protocol. Targets and sources are the people of DATASET whom the recipe held out, at most 20 photos of each; `--pairs`
pairs of two people, each person equally often, drawn with seed 0. All candidates are crops of the checkpoint's size,
pasted into the target inside of its face mask as `simswap swap` does, with colours matched at the edge:

  blend A    (1 - A) target + A source, both aligned
  warp A     the same with the source warped to the target's landmarks (train/networks/source_warp.py)
  general A  the same with the checkpoint's output

and `registered` the last two moved to the target's landmarks as they are found on both (train/swap/registration.py).
Top-1: the nearest photo of the gallery, by an embedder that no training used, is of the source's person; the gallery
holds all photos that are judged on but the source itself. Landmarks, pose: of the faces that the built-in detector
finds in swap and target, in eye distances of a frontal face, and in degrees; means over the pairs in which it finds
one.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.align import fit, rescale_points, warp_crops
from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings
from curate.faces.embedder import Embedder
from curate.faces.models import load_embedder
from curate.faces.segment import binary_mask
from curate.listener import SILENT
from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset
from train.data.crops import CropReader
from train.data.faces import TrainingFaces, read_training_faces
from train.data.latents import read_latents
from train.judge.metrics import landmark_error, pose_error
from train.judge.pairs import select_faces
from train.networks.conditioning import SourceFaces
from train.networks.source_warp import warp_to
from train.swap.paste import feather, match_colour
from train.swap.registration import Registration
from train.trained import load_trained

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6)
_BATCH = 32


class Judged:
    """Pairs of held-out people, and the measurements of their swaps."""

    def __init__(self, faces: TrainingFaces, size: int, pairs: int, judge: Embedder) -> None:
        random = np.random.default_rng(0)
        targets: list[int] = []
        sources: list[int] = []
        while len(targets) < pairs:
            circle = random.permutation(len(faces.people))
            for target, source in zip(circle, np.roll(circle, -1), strict=True):
                targets.append(int(faces.first[target] + random.integers(faces.count[target])))
                sources.append(int(faces.first[source] + random.integers(faces.count[source])))
        self.targets, self.sources = np.array(targets[:pairs]), np.array(sources[:pairs])
        self.faces, self.judge, self.detector = faces, judge, Mtcnn("cpu", MtcnnSettings(max_faces=1))
        reader, everyone = CropReader(faces, size), np.arange(len(faces))
        self.points = rescale_points(faces.points.astype(np.float64), size / faces.side)
        self.target, self.source = (_images(reader, rows) for rows in (self.targets, self.sources))
        mask = torch.from_numpy(binary_mask(reader.label_maps(self.targets), "face"))
        self.alpha = feather(mask, torch.ones_like(mask))
        full = CropReader(faces, faces.side)
        gallery = [self.embed(_images(full, rows), faces.points[rows]) for rows in _parts(everyone)]
        self.gallery = np.concatenate(gallery)
        template = TEMPLATES["simswap-224"]
        self.eye_distance = template.eye_distance * size / template.size[0]
        self.landmarks = self.detect(self.target)

    def embed(self, images: Tensor, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Embeddings (N, D) of images in [0, 1] with these landmarks."""
        matrices = torch.from_numpy(fit(points.astype(np.float64), self.judge.template)[0]).float()
        chips = warp_crops(images * 255, matrices, self.judge.template.size).round().clamp(0, 255)
        return self.judge.embed(chips.to(torch.uint8)).float().numpy()

    def detect(self, images: Tensor) -> Tensor:
        """Landmarks (N, 5, 2) of the largest face of each image, NaN without one."""
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        faces = self.detector(list(pixels)).largest()
        landmarks = np.full((len(images), 5, 2), np.nan, np.float32)
        landmarks[faces.photo] = faces.landmarks
        return torch.from_numpy(landmarks)

    def paste(self, swapped: Tensor) -> Tensor:
        """Swaps inside of the face masks, with the target's colours at their edges."""
        matched = match_colour(swapped, self.target, self.alpha * (1 - self.alpha))
        return torch.lerp(self.target, matched, self.alpha.expand_as(matched)).clamp(0, 1)

    def row(self, name: str, swapped: Tensor) -> str:
        """A row of the table."""
        image = self.paste(swapped)
        similarity = self.embed(image, self.points[self.targets]) @ self.gallery.T
        similarity[np.arange(len(image)), self.sources] = -np.inf
        nearest = self.faces.person[similarity.argmax(1)]
        top1 = float((nearest == self.faces.person[self.sources]).mean())
        landmarks = self.detect(image)
        error, pose = (
            landmark_error(landmarks, self.landmarks, self.eye_distance),
            pose_error(landmarks, self.landmarks),
        )
        found = ~error.isnan()
        return (
            f"| {name} | {100 * top1:.1f} | {error[found].mean():.4f} | {error[found].median():.4f} "
            f"| {pose[found].mean():.2f} | {100 * found.float().mean():.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--judge", required=True, help="embedder that no training used")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--grid", type=Path, help="picture of 12 pairs: target, source, swap, both registered")
    options = parser.parse_args()
    dataset, trained = Dataset.open(options.dataset), load_trained(options.checkpoint)
    selected = select_faces(read_training_faces(dataset, trained.recipe.template), [trained.recipe])
    judged = Judged(selected.faces, trained.size, options.pairs, load_embedder(options.judge))
    latents = read_latents(dataset, selected.faces, trained.embedder, Path(), SILENT)
    points = torch.from_numpy(judged.points.astype(np.float32))
    of_source, of_target = points[judged.sources], points[judged.targets]
    warped = warp_to(judged.source, of_source, of_target)
    of_people = torch.from_numpy(np.asarray(latents[judged.sources], np.float32))
    condition = trained.condition(of_people, SourceFaces(judged.source, of_source), of_target)
    with torch.inference_mode():
        parts = [trained.generate(judged.target[rows], condition[rows]) for rows in _parts(np.arange(options.pairs))]
    swapped = torch.cat(parts)
    registration = Registration(trained.device)
    candidates = {
        "general": swapped,
        "general registered": registration(swapped, judged.target, of_target),
        "warp": warped,
        "warp registered": registration(warped, judged.target, of_target),
        "blend": judged.source,
    }
    if options.grid:
        pasted = [judged.paste(candidates[name]) for name in ("general", "general registered", "warp registered")]
        _write_grid(options.grid, [judged.target, judged.source, *pasted])
    print(f"{selected.note}; {options.pairs} pairs, {trained.facts.images:,} images\n")
    print(
        "| candidate | top-1, % | landmarks | median | pose, degrees | face found, % |\n|---|---:|---:|---:|---:|---:|"
    )
    for name, images in candidates.items():
        for share in SHARES:
            print(judged.row(f"{name} {share}", torch.lerp(judged.target, images, share)), flush=True)


def _parts(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]


def _images(reader: CropReader, rows: npt.NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(reader.crops(rows)).permute(0, 3, 1, 2).float() / 255


def _write_grid(path: Path, rows: list[Tensor]) -> None:
    columns = np.linspace(0, len(rows[0]) - 1, 12).astype(int)
    grid = torch.cat([torch.cat(list(row[columns]), 2) for row in rows], 1)
    cv2.imwrite(str(path), (grid.clamp(0, 1) * 255).permute(1, 2, 0).numpy()[:, :, ::-1].astype(np.uint8))


if __name__ == "__main__":
    main()
