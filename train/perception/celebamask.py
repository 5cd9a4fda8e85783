"""Photos and label maps of CelebAMask-HQ: `FOLDER/images/NAME.jpg` and `FOLDER/masks/NAME.png`."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def split_names(folder: Path) -> tuple[list[str], list[str]]:
    """Names of `folder`/images/*.jpg, sorted: the first nine tenths for training, the last tenth for testing."""
    names = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    cut = len(names) * 9 // 10
    return names[:cut], names[cut:]


def load_photos(folder: Path, names: list[str], size: int) -> tuple[Tensor, Tensor]:
    """Load photos uint8 (N, 3, size, size) RGB and label maps uint8 (N, size, size), resized to a square."""
    images = torch.empty(len(names), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(names), size, size, dtype=torch.uint8)
    for n, name in enumerate(names):
        photo = Image.open(folder / "images" / f"{name}.jpg").convert("RGB").resize((size, size), Image.Resampling.BOX)
        # A palette PNG: Pillow's pixel values are the class indices.
        mask = Image.open(folder / "masks" / f"{name}.png").resize((size, size), Image.Resampling.NEAREST)
        images[n] = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)
        labels[n] = torch.from_numpy(np.asarray(mask).copy())
    return images, labels
