"""Luma of RGB crops."""

from torch import Tensor


def luma(crops: Tensor) -> Tensor:
    """Crops (N, 3, H, W) RGB -> float32 (N, H, W), 0-255, by the weights of ITU-R BT.601."""
    red, green, blue = crops.unbind(1)
    return 0.299 * red.float() + 0.587 * green.float() + 0.114 * blue.float()
