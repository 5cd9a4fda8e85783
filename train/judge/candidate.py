"""Candidates under evaluation: a checkpoint, an ONNX generator (`onnx_candidate`), or a baseline without a network."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from curate.listener import Listener
from manifests.reader import Dataset
from train.build import memory_format
from train.data.crops import CropReader
from train.data.faces import TrainingFaces
from train.data.latents import Latents, read_latents
from train.data.loader import PairLoader
from train.data.pairs import PairRows, PairSampler
from train.judge.pairs import SEED, Indices, JudgedPairs
from train.swap.paste import feather, match_colour
from train.swap.registration import registration_of
from train.trained import TrainedGenerator


class Candidate(Protocol):
    """Swaps pairs of the judged faces."""

    def swap(self, pairs: JudgedPairs) -> Tensor:
        """Swap a batch of pairs: float32 (B, 3, s, s), RGB in [0, 1].

        The whole crop of the dataset's template, at a side s of the candidate's choice.
        """

    def close(self) -> None:
        """Stop its threads."""


class CheckpointCandidate:
    """The generator of a checkpoint.

    Of several source photos, a generator that reads the source's pixels gets those of the first.

    Args:
        trained: the generator, with its embedder.
        latents: (M, D), of the judged faces, by that embedder.
        faces: the judged faces.
    """

    def __init__(self, trained: TrainedGenerator, latents: Latents, faces: TrainingFaces) -> None:
        self.trained, self.latents, self.faces = trained, latents, faces
        self._registration = registration_of(trained.network)
        recipe = trained.recipe
        self._loader = PairLoader(
            PairSampler(faces, 1, SEED, flip=0),
            lambda _: "cross",
            latents,
            trained.embedder.template,
            recipe.size,
            mask=recipe.mask,  # type: ignore[arg-type]
            sources=trained.reads_source,
        )

    @classmethod
    def create(
        cls, trained: TrainedGenerator, dataset: Dataset, faces: TrainingFaces, cache: Path, listener: Listener
    ) -> "CheckpointCandidate":
        """Read or compute the latents of the judged `faces`. cache: folder of latents that are computed.

        A face of a person that the generator was trained on by name has the latent of that person.
        """
        latents = np.array(read_latents(dataset, faces, trained.embedder, cache, listener))
        for index, name in enumerate(faces.people):
            if name in trained.people:
                latents[faces.person == index] = trained.person_embedding(name).cpu().numpy()
        return cls(trained, latents, faces)

    @torch.inference_mode()
    def swap(self, pairs: JudgedPairs) -> Tensor:
        trained = self.trained
        none = np.zeros(len(pairs), bool)
        rows = PairRows(pairs.targets, pairs.first_sources, none, none)
        batch = self._loader.assemble(0, pairs.kind, rows).to(trained.device)
        latents = torch.nn.functional.normalize(torch.from_numpy(pairs.source_means(self.latents)).to(trained.device))
        layout = memory_format(trained.recipe, trained.device)
        rgb01 = (batch.target.float() / 255).contiguous(memory_format=layout)
        masks = None if batch.masks is None else batch.masks.to(rgb01.dtype)
        condition = trained.condition(latents, batch.source_faces, batch.points)
        swapped = trained.generate(rgb01, condition, masks)
        if self._registration is not None:
            swapped = self._registration(swapped, rgb01, batch.points)
        if not trained.network.face_only or masks is None:
            return swapped
        # Only the face was learned; the rest is the target's, as in `train.swap.swapper`.
        alpha = feather(masks[:, 0] > 0, torch.ones_like(masks[:, 0], dtype=torch.bool))
        swapped = match_colour(swapped, rgb01, alpha * (1 - alpha))
        return (rgb01 + (swapped - rgb01) * alpha).clamp(0, 1)

    def close(self) -> None:
        self._loader.close()


class Blend:
    """No network: (1 - alpha) target + alpha source, both aligned; the target itself with alpha 0.

    The frontier of these blends is what a generator has to exceed: showing more of the source costs pose and landmarks.
    Of several source photos the first one is blended.
    """

    def __init__(self, faces: TrainingFaces, size: int, alpha: float) -> None:
        self.alpha = alpha
        self._reader = CropReader(faces, size)

    def swap(self, pairs: JudgedPairs) -> Tensor:
        target, source = (self._crops(rows) for rows in (pairs.targets, pairs.first_sources))
        return torch.lerp(target, source, self.alpha)

    def _crops(self, rows: Indices) -> Tensor:
        return read_images(self._reader, rows)

    def close(self) -> None:
        """Nothing to stop."""


def read_images(reader: CropReader, rows: Indices) -> Tensor:
    """Crops of faces: float32 (B, 3, S, S), RGB in [0, 1], on the CPU."""
    return torch.from_numpy(reader.crops(rows)).permute(0, 3, 1, 2).float() / 255
