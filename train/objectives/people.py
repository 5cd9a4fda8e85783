"""The objective of the generator of a few named people."""

import torch
import torch.nn.functional as F
from torch import Tensor

from train.build import Networks
from train.data.distortion import DistortedFaces
from train.data.loader import Batch
from train.networks.conditioning import identity_conditioning
from train.networks.people import PeopleGenerator
from train.objectives.objective import Terms
from train.objectives.reconstruction import ReconstructionObjective, Swaps


class PeopleObjective(ReconstructionObjective):
    """The reconstruction's objective with L_class + lambda_anon L_anon, and swaps to other named people.

    L_class is the cross-entropy of a classifier of people on the code, which trains the classifier alone; L_anon trains
    the encoder to leave it without a preference. A swap's latent is the person's mean latent.
    """

    def __init__(self, networks: Networks, generator: PeopleGenerator) -> None:
        super().__init__(networks, generator)
        self.generator = generator

    def reconstruct(self, code: Tensor, batch: Batch, faces: DistortedFaces) -> Tensor:
        return self.generator.decode(code, self._people(batch))

    def swap(self, code: Tensor, batch: Batch, faces: DistortedFaces) -> Swaps:
        others = self._others(self._people(batch)[: len(code)])
        decoded = self.generator.decode(code, others)
        return Swaps(decoded, self.generator.latents[others], self.generator.spreads[others])

    def code_terms(self, code: Tensor, batch: Batch) -> tuple[Tensor, Terms]:
        terms = {
            "classification": F.cross_entropy(self.generator.classify(code), self._people(batch)),
            "recognisability": self.generator.recognisability(code),
        }
        return terms["classification"] + self.recipe.anonymity * terms["recognisability"], terms

    def _people(self, batch: Batch) -> Tensor:
        """The people's indices (B,)."""
        return self.generator.nearest(identity_conditioning(batch.latents, self.networks.centre))

    def _others(self, people: Tensor) -> Tensor:
        """Another person of the generator for each, drawn at random."""
        count = len(self.generator.names)
        return (people + torch.randint(1, count, people.shape, device=people.device)) % count
