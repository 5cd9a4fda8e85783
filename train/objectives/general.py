"""The objective of the generator for people it has never seen."""

import torch
from torch import Tensor

from train.build import Networks
from train.data.distortion import DistortedFaces
from train.data.loader import Batch
from train.networks.conditioning import SourceFaces, conditioning
from train.networks.general import GeneralGenerator
from train.objectives.reconstruction import ReconstructionObjective, Swaps, moved_points


class GeneralObjective(ReconstructionObjective):
    """The reconstruction's objective, where each photo is reconstructed from another one of the same person.

    In a swap, the source is that of the next face of the batch, and its latent is that of the photo.
    """

    def __init__(self, networks: Networks, generator: GeneralGenerator) -> None:
        super().__init__(networks, generator)
        self.generator = generator

    def reconstruct(self, code: Tensor, batch: Batch, faces: DistortedFaces) -> Tensor:
        return self._decode(code, batch, faces, torch.arange(len(code)))

    def swap(self, code: Tensor, batch: Batch, faces: DistortedFaces) -> Swaps:
        order = torch.arange(len(batch.targets)).roll(-1)[: len(code)]
        decoded = self._decode(code, batch, faces, order)
        return Swaps(decoded, batch.latents[order], self.generator.spread.expand(len(code)))

    def _decode(self, code: Tensor, batch: Batch, faces: DistortedFaces, order: Tensor) -> Tensor:
        """The first faces of the batch, whose codes are given, with the sources of rows `order`."""
        sources = batch.source_faces
        assert sources is not None  # the loader decodes them for generators that read the source
        with torch.no_grad(), torch.autocast(code.device.type, enabled=False):
            picked = SourceFaces(sources.crops[order], sources.points[order])
            points = moved_points(batch, faces)[: len(code)]
            condition = conditioning(self.generator, batch.latents[order], self.networks.centre, picked, points)
        return self.generator.decode(code, condition)
