"""Settings of a measurement."""

from dataclasses import dataclass

from curate.decode import MAX_PIXELS

REVISION = 4
"""Increases when reading, detection, alignment, segmentation or encoding gives other results for the same settings, so
that finished shards are measured again. A measure that changes increases its own `Measure.version` instead."""


@dataclass(frozen=True)
class MeasureSettings:
    """Options that a measurement depends on besides the photos and the networks; another value measures again.

    Attributes:
        template: alignment of the crops, a name of `manifests.landmarks.TEMPLATES`.
        max_pixels: limit on width x height of a photo; larger JPEGs are decoded scaled down, other
            photos are "too many pixels".
    """

    template: str = "simswap-224"
    max_pixels: int = MAX_PIXELS
