"""The demo's sharpness limit separates its clean views from the blurs planted among them."""

import pandas as pd

from curate.evaluate.demo import MIN_SHARPNESS
from tests.conftest import Cleaned


def test_clean_views_score_above_the_limit_and_blurs_below(cleaned: Cleaned) -> None:
    sharpness = pd.read_parquet(cleaned.out / "manifest.parquet").set_index("image_id")["sharpness"]
    clean = sharpness[[photo.image_id for photo in cleaned.planted if photo.fault == ""]]
    blurred = sharpness[[photo.image_id for photo in cleaned.planted if photo.fault == "blur"]]
    assert len(clean) > 20
    assert len(blurred) >= 4
    assert blurred.max() < MIN_SHARPNESS < clean.min()
