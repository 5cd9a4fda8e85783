from pathlib import Path

import pytest
import skimage
from PIL import Image

ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """A real photo, RGB, 120 px wide and 96 px high."""
    return Image.open(ASTRONAUT).convert("RGB").crop((150, 0, 390, 192)).resize((120, 96))
