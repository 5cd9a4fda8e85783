"""What layers that read the latent have in common, and instance normalisation; features are (N, C, H, W)."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STYLE_SPREAD = 0.25
"""Standard deviation of a new layer's scale and shift over latents of unit norm.

With the default initialisation of a linear layer it would be 0.6 / sqrt(D), 0.026 at D = 512, and the output of a new
network would hardly depend on the identity.
"""

EPSILON = 1e-8
"""Added to the variance in instance normalisation. It underflows in float16, hence float32 throughout."""


def is_channels_last(x: Tensor) -> bool:
    """Whether x (N, C, H, W) has the memory format channels_last and not also the contiguous one."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Context manager that disables autocast on x's device; the meta device has none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


class Conditioned(nn.Module):
    """Base class of layers that `Stage` calls with the features and the latent (N, D)."""


class LatentLinear(nn.Linear):
    """A linear layer on the latent; its learning rate is multiplied by the recipe's `latent_rate`.

    The components of a unit vector are about 1 / sqrt(D). Adam moves every weight by about the learning rate, so that
    the output of this layer moves sqrt(D) times less than that of a layer whose inputs have deviation 1.
    """


def instance_norm(x: Tensor) -> Tensor:
    """Instance normalisation: each channel of each image to mean 0 and (biased) variance 1, float32, no parameters."""
    with full_precision(x):
        # Equal to instance normalisation. On a CPU this kernel is the fastest of five formulations (backward 4x faster
        # than var_mean), but only in the contiguous memory format.
        return F.group_norm(x.float().contiguous(), x.shape[1], eps=EPSILON)
