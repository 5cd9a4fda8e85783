"""A checkpoint under evaluation, and its swaps of pairs of faces."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from curate.listener import Listener
from manifests.reader import Dataset
from train.build import memory_format
from train.config import Recipe
from train.data.faces import TrainingFaces
from train.data.latents import Latents, read_latents
from train.data.loader import Batch, PairLoader
from train.data.pairs import Kind, PairRows, PairSampler
from train.judge.pairs import SEED, unmodified
from train.swap.paste import feather, match_colour
from train.trained import TrainedGenerator

_BATCH = 16


@dataclass(frozen=True)
class Candidate:
    """A checkpoint under evaluation.

    Attributes:
        path: the checkpoint file.
        trained: its generator.
        latents: (M, D), of the judged faces, by the embedder that the generator was trained with.
    """

    path: Path
    trained: TrainedGenerator
    latents: Latents

    @classmethod
    def create(
        cls,
        path: Path,
        trained: TrainedGenerator,
        dataset: Dataset,
        faces: TrainingFaces,
        cache: Path,
        listener: Listener,
    ) -> "Candidate":
        """Read or compute the latents of the judged `faces`. cache: folder of latents that are computed.

        A face of a person that the generator was trained on by name has the latent of that person.
        """
        latents = np.array(read_latents(dataset, faces, trained.embedder, cache, listener))
        for index, name in enumerate(faces.people):
            if name in trained.people:
                latents[faces.person == index] = trained.person_embedding(name).cpu().numpy()
        return cls(path, trained, latents)

    @property
    def recipe(self) -> Recipe:
        """The recipe of its training."""
        return self.trained.recipe

    @torch.inference_mode()
    def swap(self, batch: Batch) -> Tensor:
        """The batch's targets with the identities of its sources: float32 (B, 3, S, S), RGB in [0, 1]."""
        trained, batch = self.trained, batch.to(self.trained.device)
        rgb01 = (batch.target.float() / 255).contiguous(memory_format=memory_format(self.recipe, trained.device))
        masks = None if batch.masks is None else batch.masks.to(rgb01.dtype)
        swapped = trained.generate(rgb01, trained.condition(batch.latents), masks)
        if not trained.people or masks is None:
            return swapped
        # Only the face was learned; the rest is the target's, as in `train.swap.swapper`.
        alpha = feather(masks[:, 0] > 0, torch.ones_like(masks[:, 0], dtype=torch.bool))
        swapped = match_colour(swapped, rgb01, alpha * (1 - alpha))
        return (rgb01 + (swapped - rgb01) * alpha).clamp(0, 1)

    def batches(self, faces: TrainingFaces, kind: Kind, rows: PairRows, *, sources: bool = False) -> Iterator[Batch]:
        """The pairs `rows` of the judged `faces` as inputs of `swap`. sources: decode the source photos too."""
        loader = PairLoader(
            PairSampler(faces, _BATCH, SEED, flip=0),
            lambda _: kind,
            self.latents,
            self.trained.embedder.template,
            self.recipe.size,
            mask=self.recipe.mask,  # type: ignore[arg-type]
            sources=sources,
        )
        try:
            for start in range(0, len(rows.targets), _BATCH):
                part = slice(start, start + _BATCH)
                yield loader.assemble(start, kind, unmodified(rows.targets[part], rows.sources[part]))
        finally:
            loader.close()
