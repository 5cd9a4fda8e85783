"""The interface of objectives, and the loss of one side."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from train.data.loader import Batch

Terms = dict[str, Tensor]
"""Loss terms by name: scalars, unweighted, detached; the columns of the log."""


@dataclass(frozen=True)
class Loss:
    """One side's loss for a batch.

    Attributes:
        total: the weighted sum of the terms, with its graph.
        terms: the terms by name.
        fake: the generated images (B, 3, S, S), detached.
    """

    total: Tensor
    terms: Terms
    fake: Tensor


class Objective(Protocol):
    """The two losses of a training."""

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        """L_G of a batch, with the mask's weight `a`."""

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Loss:
        """L_D of a batch on `fake`, detached images of the same batch, which are generated if None."""
