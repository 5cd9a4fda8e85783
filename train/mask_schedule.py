"""The target's mask between generator and discriminator, brought in gradually: images and masks -> masked images.

The founding report's scheme: both what is real and what was generated is multiplied by 1 - a + a m before the
discriminator sees it, a rising during training. Masks m are (N, 1, S, S) in [0, 1]; 1 is the face.
"""

from torch import Tensor

START = 0.1
"""Share of the training's images before which the mask does nothing."""

END = 0.5
"""Share of the training's images from which it counts in full."""


def alpha(images: int, total: int) -> float:
    """The mask's weight a after `images` of `total`: 0 before a tenth, rising linearly to 1 at half."""
    if total <= 0:
        raise ValueError(f"a training of {total} images has no schedule")
    return min(1.0, max(0.0, (images / total - START) / (END - START)))


def apply(x: Tensor, m: Tensor, a: float) -> Tensor:
    """x (1 - a + a m): where the mask is 0, x fades to 0 as `a` goes to 1.

    x: (N, 3, S, S); 0 is black, or ImageNet's mean colour in that space. This masks what the discriminator sees, or,
    in the variant that the report named and did not try, what the generator sees.
    """
    return x if a == 0 else x * (1 - a + a * m)


def composite(generated: Tensor, target: Tensor, m: Tensor, a: float) -> Tensor:
    """The second half of that variant: what the input mask hid comes back from the target, as far as it was hidden."""
    return generated if a == 0 else target + (generated - target) * (1 - a + a * m)
