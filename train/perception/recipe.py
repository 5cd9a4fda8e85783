"""The recipe of the built-in face segmenter: architecture, phases of the training, learning rate."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from curate.faces.deeplab import DeepLabSpec

SPEC = DeepLabSpec(
    channels=(32, 64, 128, 192),
    stem_width=12,
    decoder_channels=80,
    atrous_rates=(2, 4, 6),
    size=176,  # between the training sizes: the largest at which two cores reach 100 images/s
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
LICENCE = "research use only: trained on CelebAMask-HQ, whose photos and labels are for non-commercial research"
TEST_SIZE = 224  # px
CACHE_SIZE = 320  # px at which photos are kept in memory: tight crops still have real detail


class Phase(NamedTuple):
    """A phase of the training.

    Attributes:
        start: share of all images at which it begins, 0 to 1.
        size: side of the crops, px.
        stride: of the loss, px of the crop.
        tight: share of the crops with the framing of arcface-112.
        degraded: share of the crops that `degrade` changes.
        occluded: share of the photos with an occluder (`occluders.OCCLUDERS`).
        turned: share of the photos with a turned head.
        padded: share of the crops in which the photo ends near or within the face.
        balance: classes are weighted by frequency ** -balance in the cross-entropy.
    """

    start: float
    size: int
    stride: int
    tight: float
    degraded: float
    balance: float
    occluded: float
    turned: float
    padded: float


# Coarse and cheap first. Balanced weights find the rare classes early; equal weights later correct the hats and glasses
# that balanced weights predict on hair.
FROM_SCRATCH = (
    Phase(0.00, 128, 4, tight=0.5, degraded=1.0, balance=0.25, occluded=0.3, turned=0.2, padded=0.2),
    Phase(0.45, 160, 4, tight=0.5, degraded=1.0, balance=0.25, occluded=0.5, turned=0.3, padded=0.3),
    Phase(0.60, 160, 4, tight=0.4, degraded=1.0, balance=0.0, occluded=0.5, turned=0.3, padded=0.3),
    Phase(0.72, 192, 2, tight=0.4, degraded=1.0, balance=0.0, occluded=0.4, turned=0.3, padded=0.3),
    Phase(0.83, 192, 2, tight=0.25, degraded=0.5, balance=0.0, occluded=0.3, turned=0.25, padded=0.25),
)

# From weights that find faces already.
FINE_TUNING = (
    Phase(0.00, 160, 4, tight=0.4, degraded=0.9, balance=0.1, occluded=0.5, turned=0.35, padded=0.3),
    Phase(0.50, 176, 4, tight=0.35, degraded=0.8, balance=0.0, occluded=0.4, turned=0.3, padded=0.3),
    Phase(0.75, 176, 2, tight=0.25, degraded=0.5, balance=0.0, occluded=0.3, turned=0.25, padded=0.25),
)


def phase_at(phases: Sequence[Phase], progress: float) -> Phase:
    """The phase at a share of all images, 0 to 1."""
    return [phase for phase in phases if progress >= phase.start][-1]


def learning_rate(images: int, total: int, warmup: int, peak: float) -> float:
    """Linear warm-up over `warmup` images, then a cosine to zero at `total` images."""
    return peak * min(1.0, images / warmup + 0.01) * 0.5 * (1 + math.cos(math.pi * images / total))
