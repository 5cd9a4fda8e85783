"""The target's mask between generator and discriminator, or at the generator's input, with a weight that rises.

The founding report's scheme: real and generated images are multiplied by 1 - a + a m before the discriminator, with a
rising during training. Masks m are (N, 1, S, S) in [0, 1], 1 on the face.
"""

from collections.abc import Callable

from torch import Tensor

START = 0.1
"""Share of the training's images up to which the weight is 0."""

END = 0.5
"""Share of the training's images from which the weight is 1."""


def alpha(images: int, total: int) -> float:
    """The mask's weight a after `images` of `total` images: 0 up to `START`, then rising linearly to 1 at `END`."""
    if total <= 0:
        raise ValueError(f"a training of {total} images has no schedule")
    return min(1.0, max(0.0, (images / total - START) / (END - START)))


def apply(x: Tensor, m: Tensor, a: float) -> Tensor:
    """x (1 - a + a m): outside of the mask, x fades to 0 as `a` rises to 1.

    x: (N, 3, S, S) in a generator's io space, where 0 is black or ImageNet's mean colour.
    """
    return x if a == 0 else x * (1 - a + a * m)


def composite(generated: Tensor, target: Tensor, m: Tensor, a: float) -> Tensor:
    """target + (generated - target) (1 - a + a m): the target where `apply` has removed it from the input."""
    return generated if a == 0 else target + (generated - target) * (1 - a + a * m)


def generate(
    generator: Callable[[Tensor, Tensor], Tensor], target: Tensor, latent: Tensor, m: Tensor | None, a: float
) -> Tensor:
    """generator(target, latent), with the background hidden from the input and put back into the output.

    Args:
        generator: (target, latent) -> image.
        target: (N, 3, S, S) in the generator's io space.
        latent: (N, D), from `identity_conditioning`.
        m: (N, 1, S, S), the input mask; None for recipes whose generator reads the whole target.
        a: the mask's weight.
    """
    if m is None:
        return generator(target, latent)
    return composite(generator(apply(target, m, a), latent), target, m, a)
