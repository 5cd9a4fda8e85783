"""Crops and label maps encoded as they are stored: JPEG quality 95 4:4:4, 8-bit PNG."""

import cv2
import simplejpeg
from torch import Tensor

from curate.decode import Pixels

JPEG_QUALITY = 95


def encode_crops(crops: Tensor) -> list[bytes]:
    """Encode crops, uint8 (N, 3, H, W) RGB, as N JPEG files."""
    return [_jpeg(crop) for crop in crops.permute(0, 2, 3, 1).contiguous().cpu().numpy()]


def encode_label_maps(label_maps: Tensor) -> list[bytes]:
    """Encode label maps, uint8 (N, H, W), as N PNG files."""
    return [_png(labels) for labels in label_maps.cpu().numpy()]


def _jpeg(image: Pixels) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(image, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
    return encoded


def _png(labels: Pixels) -> bytes:
    ok, encoded = cv2.imencode(".png", labels)
    assert ok
    return encoded.tobytes()
