"""Identity conditioning: the second input of a generator."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.errors import ModelError
from train.networks.face_generator import FaceGenerator
from train.networks.source_warp import warp_to


@dataclass(frozen=True)
class SourceFaces:
    """Crops of sources, for generators that read their pixels, too (`FaceGenerator.reads_source`).

    Attributes:
        crops: (N, 3, S, S), RGB in [0, 1].
        points: (N, 5, 2), landmarks, px of the crop.
    """

    crops: Tensor
    points: Tensor

    def to(self, device: torch.device) -> "SourceFaces":
        """Copy to `device`."""
        return SourceFaces(self.crops.to(device), self.points.to(device))


def identity_conditioning(latents: Tensor, centre: Tensor) -> Tensor:
    """normalize(latent - centre), of unit norm.

    Args:
        latents: (N, D) or (D,), face embeddings of unit norm.
        centre: (D,), the latent centre: the mean latent of the training data, or zeros where it is not subtracted
            (`Recipe.centre_above`).
    """
    return F.normalize(latents - centre, dim=-1)


def conditioning(
    network: FaceGenerator, latents: Tensor, centre: Tensor, sources: SourceFaces | None, target_points: Tensor | None
) -> Tensor:
    """The second input of `network`: (N, `condition_dim`).

    The latents after `identity_conditioning`, and for generators that read the source the pixels of its crop, warped to
    the landmarks of the target.

    Args:
        network: the generator.
        latents: (N, D), of the sources.
        centre: (D,), the latent centre.
        sources: the N sources; None where the generator does not read them.
        target_points: (N, 5, 2), landmarks of the targets, px of the crop; None likewise.

    Raises:
        ModelError: the generator reads the sources, and they or the landmarks are missing.
    """
    return with_source(network, identity_conditioning(latents, centre), sources, target_points)


def with_source(
    network: FaceGenerator, condition: Tensor, sources: SourceFaces | None, target_points: Tensor | None
) -> Tensor:
    """Conditioned latents (N, D) -> the second input of `network`; arguments and errors as in `conditioning`."""
    if not network.reads_source:
        return condition
    if sources is None or target_points is None:
        raise ModelError("this generator reads the source's crop beside the latent: give both crops and landmarks")
    return torch.cat([condition, warp_to(sources.crops, sources.points, target_points).flatten(1)], 1)
