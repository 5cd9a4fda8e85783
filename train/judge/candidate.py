"""A checkpoint under evaluation, and its swaps of pairs of faces."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
        """Read or compute the latents of the judged `faces`. cache: folder of latents that are computed."""
        latents = read_latents(dataset, faces, trained.embedder, cache, listener)
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
        return trained.generate(rgb01, trained.condition(batch.latents), masks)

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
