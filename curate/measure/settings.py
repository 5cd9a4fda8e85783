"""Settings of a measurement."""

from dataclasses import asdict, dataclass

from curate.decode import MAX_PIXELS

REVISION = 6
"""Increases when reading, detection, alignment, segmentation or encoding gives other results for the same settings, so
that finished shards are measured again. A measure that changes increases its own `Measure.version` instead."""


CROP_TEMPLATES = ("simswap-224", "arcface-112", "ffhq-512")
"""Alignment templates of crops. The segmenter is trained on crops of each."""

ALIGNED = "aligned"
"""Value of --template for photos that are crops of arcface-112 already, see `curate.measure.aligned`."""


@dataclass(frozen=True)
class MeasureSettings:
    """Options that a measurement depends on besides the photos and the networks; another value measures again.

    Attributes:
        template: alignment of the crops, a name of `manifests.landmarks.TEMPLATES`.
        max_pixels: limit on width x height of a photo; larger JPEGs and PNGs are decoded scaled down, other
            photos are "too many pixels".
        aligned: whether the photos are crops of arcface-112 already; `template` is then that.
    """

    template: str = CROP_TEMPLATES[0]
    max_pixels: int = MAX_PIXELS
    aligned: bool = False

    def fingerprint_values(self) -> dict[str, object]:
        """The settings by name, without `aligned` where it is not set: shards that were measured before it existed."""
        return {name: value for name, value in asdict(self).items() if name != "aligned" or value}
