"""Photos and encoded files for the tests of marks."""

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

MARK_ID = 0x00C0FFEE

FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 90},
    "PNG": {},
    "WEBP": {"quality": 90},
    "WEBP lossless": {"lossless": True},
}
"""By name, the options of Pillow's `save`; the first word of a name is Pillow's format."""


def package_photo(package: str, name: str) -> Pixels:
    """A photo that is part of an installed package: uint8 (H, W, 3) RGB."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return np.asarray(Image.open(Path(spec.submodule_search_locations[0]) / name).convert("RGB"))


def resized(photo: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS))


def portrait() -> Pixels:
    """256 x 256 px, one face."""
    return resized(package_photo("skimage", "data/astronaut.png")[:300, 60:360], 256, 256)


def encoded(pixels: Pixels, name: str, **options: Any) -> bytes:
    """`name`: a key of FORMATS."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, name.split()[0], **FORMATS[name] | options)
    return buffer.getvalue()


def decoded(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)))
