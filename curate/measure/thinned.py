"""Every second pixel of aligned faces: enough for shares, medians and colours of a face."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from curate.measure.luma import luma


@dataclass(frozen=True)
class Thinned:
    """Every second pixel of N crops along each axis, beginning with the first.

    Attributes:
        pixels: uint8 (N, 3, H / 2, W / 2) RGB, contiguous.
    """

    pixels: Tensor

    @classmethod
    def of(cls, crops: Tensor) -> "Thinned":
        """Thin crops, uint8 (N, 3, H, W)."""
        return cls(crops[:, :, ::2, ::2].contiguous())

    @cached_property
    def planes(self) -> Tensor:
        """`pixels` as float32."""
        return self.pixels.float()

    @cached_property
    def luma(self) -> Tensor:
        """Luma, float32 (N, H / 2, W / 2), 0-255."""
        return luma(self.planes)

    @cached_property
    def cells(self) -> Tensor:
        """Middle pixels of the cells of `curate.measure.region`, uint8 (N, 3, H / 4, W / 4)."""
        return self.pixels[:, :, 1::2, 1::2].contiguous()
