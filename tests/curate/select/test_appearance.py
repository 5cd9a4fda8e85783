"""curate/select/appearance.py: side light and open mouth of drawn faces."""

import io

import numpy as np
import pytest
from PIL import Image

from curate.select.appearance import appearance
from manifests.landmarks import MASK_CLASSES

SIDE = 224


def face(left: int, right: int, opening: int = 0) -> tuple[bytes, bytes]:
    """JPEG and PNG of a disc of skin with two lumas, and lips around an opening of so many rows."""
    y, x = np.mgrid[:SIDE, :SIDE]
    skin = (x - 112) ** 2 + (y - 112) ** 2 < 80**2
    labels = np.where(skin, MASK_CLASSES.index("skin"), 0).astype(np.uint8)
    labels[150:156, 90:134] = MASK_CLASSES.index("u_lip")
    labels[156 : 156 + opening, 90:134] = MASK_CLASSES.index("mouth")
    labels[156 + opening : 162 + opening, 90:134] = MASK_CLASSES.index("l_lip")
    luma = np.where(x < 112, left, right).astype(np.uint8)
    crop, mask = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.repeat(luma[..., None], 3, 2)).save(crop, "JPEG", quality=95)
    Image.fromarray(labels).save(mask, "PNG")
    return crop.getvalue(), mask.getvalue()


@pytest.mark.parametrize(("left", "right", "expected"), [(120, 120, 0), (60, 120, 1), (200, 50, -2)])
def test_side_light_is_the_ratio_of_both_halves(left: int, right: int, expected: float) -> None:
    assert appearance(*face(left, right)).side_light == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("opening", "expected"), [(0, 0), (12, 0.5)])
def test_an_open_mouth_is_the_share_between_the_lips(opening: int, expected: float) -> None:
    assert appearance(*face(120, 120, opening)).mouth_open == pytest.approx(expected, abs=0.02)


def test_without_a_face_in_the_label_map_nothing_is_known() -> None:
    crop, _ = face(120, 120)
    mask = io.BytesIO()
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(mask, "PNG")
    seen = appearance(crop, mask.getvalue())
    assert np.isnan([seen.side_light, seen.mouth_open]).all()
