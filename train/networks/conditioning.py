"""Identity conditioning: the vector by which a generator is given an identity."""

import torch.nn.functional as F
from torch import Tensor


def identity_conditioning(latents: Tensor, centre: Tensor) -> Tensor:
    """normalize(latent - centre), of unit norm.

    Args:
        latents: (N, D) or (D,), face embeddings of unit norm.
        centre: (D,), the latent centre: the mean latent of the training data, or zeros where it is not subtracted
            (`Recipe.centre_above`).
    """
    return F.normalize(latents - centre, dim=-1)
