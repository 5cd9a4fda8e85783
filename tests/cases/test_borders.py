"""Good photos with borders, pillars and grounds on the JPEG grid, from the folder that SWAPSET_CASES names."""

import os
from pathlib import Path

import pytest

from curate.decide.policy import load_policy
from curate.decode import decode
from tests.samples.measured_faces import damage_of

CASES = Path(os.environ.get("SWAPSET_CASES", "."))

pytestmark = pytest.mark.skipif("SWAPSET_CASES" not in os.environ, reason="SWAPSET_CASES is not set")


def test_borders_on_the_grid_are_not_corrupt_pixels() -> None:
    policy = load_policy("default")
    photos = sorted((CASES / "borders-on-grid" / "input").glob("*/*.jpg"))
    columns = [damage_of(decode(photo.read_bytes()).pixels) for photo in photos]
    assert len(columns) == 20
    assert max(values["corruption"] for values in columns) <= policy.max_corruption
    assert max(values["flat_rows"] for values in columns) <= policy.max_flat_rows
