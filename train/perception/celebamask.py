"""Photos and label maps of CelebAMask-HQ: `FOLDER/images/NAME.jpg` and `FOLDER/masks/NAME.png`."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from curate.errors import SourceError
from manifests.landmarks import MASK_CLASSES

MIN_PHOTOS = 10
"""Fewer photos leave none to test on."""


def split_names(folder: Path) -> tuple[list[str], list[str]]:
    """Names of `folder`/images/*.jpg, sorted: the first nine tenths for training, the last tenth for testing.

    Raises SourceError where there are fewer than MIN_PHOTOS.
    """
    names = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    if len(names) < MIN_PHOTOS:
        raise SourceError(
            f"--data {folder}: {len(names)} photos in images/*.jpg, at least {MIN_PHOTOS} are needed: give a folder of "
            "CelebAMask-HQ with images/NAME.jpg and masks/NAME.png"
        )
    cut = len(names) * 9 // 10
    return names[:cut], names[cut:]


def load_photos(folder: Path, names: list[str], size: int) -> tuple[Tensor, Tensor]:
    """Load photos uint8 (N, 3, size, size) RGB and label maps uint8 (N, size, size), resized to a square.

    Raises SourceError for a file that is missing or damaged, and for a label that is no class.
    """
    images = torch.empty(len(names), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(names), size, size, dtype=torch.uint8)
    for n, name in enumerate(names):
        photo = _open(folder / "images" / f"{name}.jpg").convert("RGB").resize((size, size), Image.Resampling.BOX)
        # A palette PNG: Pillow's pixel values are the class indices.
        path = folder / "masks" / f"{name}.png"
        mask = _open(path)
        if mask.mode not in ("P", "L"):
            raise SourceError(f"{path}: a label map has one channel, this one is {mask.mode}: restore it")
        classes = np.asarray(mask.resize((size, size), Image.Resampling.NEAREST))
        if classes.max() >= len(MASK_CLASSES):
            raise SourceError(f"{path}: label {classes.max()} is no class, they are 0 to {len(MASK_CLASSES) - 1}")
        images[n] = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)
        labels[n] = torch.from_numpy(classes.copy())
    return images, labels


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{path} cannot be read ({reason}): restore it") from error
