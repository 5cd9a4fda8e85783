"""Luma of RGB crops."""

import cv2
import numpy as np
import torch
from torch import Tensor


def luma(crops: Tensor) -> Tensor:
    """Crops (N, 3, H, W) RGB -> float32 (N, H, W), 0-255, by the weights of ITU-R BT.601."""
    if crops.device.type == "cpu" and crops.stride()[1::2] == (1, 3):
        # Channels last, as `align.warp` returns them: OpenCV reads each pixel once.
        pixels = crops.permute(0, 2, 3, 1).numpy()
        planes = np.empty(pixels.shape[:3], np.float32)
        for image, plane in zip(pixels, planes, strict=True):
            cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY, plane)
        return torch.from_numpy(planes)
    red, green, blue = crops.unbind(1)
    return 0.299 * red.float() + 0.587 * green.float() + 0.114 * blue.float()
