"""curate/relate/copy_order.py: the original is preferred to every kind of copy."""

from dataclasses import replace

import numpy as np
import pytest

from curate.relate.copy_order import MAX_COMPARED, Copy, best_first, flaw

GRID = np.full((16, 16), 5.0, np.float32)
TEXT = GRID.copy()
TEXT[14, 9:15] += 6
ORIGINAL = Copy("b", (300, 300), 60.0, 5.0, 0.9, 0.0, 6.0, 6.0, GRID, 1000)
BAND = GRID.copy()
BAND[15] = 0
BAND[15, 2:6] = 12

COPIES = {
    "enlarged": {"size": (900, 900), "eye_distance": 180.0, "resolution": 0.35},
    "smaller": {"size": (150, 150), "eye_distance": 30.0, "resolution": 1.0},
    "soft": {"resolution": 0.5},
    "bordered": {"size": (320, 320), "border": 0.1},
    "drawn over": {"edge_grid": TEXT},
    "recompressed": {"quantisation": 9.0, "jpeg_step": 9.0},
    "saved again": {"jpeg_step": 2.0},
    "cropped": {"extent": 4.7},
    "no face": {"eye_distance": np.nan},
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_yields_to_the_original_and_its_flaw_is_named(name: str) -> None:
    copy = replace(ORIGINAL, image_id="a", **COPIES[name])
    assert (flaw(copy, ORIGINAL), flaw(ORIGINAL, copy)) == (name, None)
    assert best_first([copy, ORIGINAL]) == [ORIGINAL, copy]


def test_the_original_is_the_best_of_all_copies_together() -> None:
    copies = [replace(ORIGINAL, image_id=name, **changes) for name, changes in COPIES.items()]
    assert best_first([*copies, ORIGINAL])[0] == ORIGINAL


@pytest.mark.parametrize(
    ("larger", "smaller", "best"),
    [(0.9, 1.0, "larger"), (0.55, 1.0, "smaller"), (0.2, 0.4, "smaller"), (0.4, 0.4, "larger"), (np.nan, 1, "larger")],
)
def test_of_two_sizes_the_larger_is_kept_where_it_resolves_more(larger: float, smaller: float, best: str) -> None:
    copies = [
        replace(ORIGINAL, image_id="larger", size=(600, 600), eye_distance=120.0, resolution=larger),
        replace(ORIGINAL, image_id="smaller", resolution=smaller),
    ]
    assert best_first(copies)[0].image_id == best


def test_a_border_is_no_flaw_where_the_other_copy_lacks_more_than_the_border() -> None:
    cropped = replace(ORIGINAL, image_id="cropped", extent=4.5)
    assert flaw(cropped, replace(ORIGINAL, border=0.1)) == "cropped"


def test_drawing_is_found_on_a_mirrored_copy_and_not_where_the_frames_differ() -> None:
    ramp = 2 * np.tile(np.arange(16, dtype=np.float32), (16, 1))
    stamped = ramp[:, ::-1].copy()
    stamped[14, 3:9] += 20
    assert flaw(replace(ORIGINAL, edge_grid=stamped), replace(ORIGINAL, edge_grid=ramp)) == "drawn over"
    assert flaw(replace(ORIGINAL, edge_grid=np.roll(ramp + 3, 5, 1)), replace(ORIGINAL, edge_grid=ramp)) is None


def test_a_painted_band_is_drawn_over_although_it_hides_more_edges_than_its_text_adds() -> None:
    assert flaw(replace(ORIGINAL, edge_grid=BAND), ORIGINAL) == "drawn over"
    assert flaw(ORIGINAL, replace(ORIGINAL, edge_grid=BAND)) is None


def test_edges_that_are_weakened_a_little_do_not_tell_which_photo_is_drawn_over() -> None:
    faint = GRID.copy()
    faint[15, 2:8] = 3.8
    assert flaw(replace(ORIGINAL, edge_grid=faint, jpeg_step=1.0), ORIGINAL) == "saved again"
    assert flaw(ORIGINAL, replace(ORIGINAL, edge_grid=faint, jpeg_step=1.0)) is None


def test_a_border_beside_plain_rows_of_the_photo_is_one() -> None:
    """The plain rows, a tenth of the area, are no longer of one colour."""
    plain_rows = replace(ORIGINAL, border=0.1, extent=4.74)
    pillars = replace(ORIGINAL, size=(360, 300), border=1 / 6, extent=5.1)
    assert flaw(pillars, plain_rows) == "bordered"
    assert flaw(plain_rows, pillars) is None


def test_photos_of_another_shape_are_not_compared_cell_by_cell() -> None:
    letterboxed = replace(ORIGINAL, size=(300, 360), border=1 / 6, edge_grid=GRID - 4 * (TEXT > 5))
    assert flaw(ORIGINAL, letterboxed) is None
    assert flaw(letterboxed, ORIGINAL) == "bordered"


def test_of_two_that_were_saved_again_the_finer_table_has_lost_less() -> None:
    fine, coarse = (replace(ORIGINAL, image_id=str(step), jpeg_step=step) for step in (2.0, 4.0))
    assert best_first([coarse, fine]) == [fine, coarse]
    assert flaw(coarse, fine) == "saved again"


def test_a_step_in_the_own_table_counts_where_the_pixels_do_not_show_it() -> None:
    hidden = replace(ORIGINAL, quantisation=1.0, jpeg_step=9.0)
    assert flaw(hidden, ORIGINAL) == "recompressed"


def test_an_original_that_one_wrong_comparison_puts_behind_is_the_best_of_its_group() -> None:
    """Its enlargement seems to resolve more than it, but not more than its other copies."""
    enlarged = replace(ORIGINAL, image_id="a", size=(450, 450), eye_distance=90.0, resolution=0.92)
    others = [
        replace(ORIGINAL, image_id=name, resolution=1.4, **COPIES[name])
        for name in ("bordered", "drawn over", "recompressed")
    ]
    assert flaw(ORIGINAL, enlarged) == "smaller"
    assert all(flaw(enlarged, copy) == "enlarged" and flaw(copy, ORIGINAL) for copy in others)
    for copies in ([enlarged, ORIGINAL, *others], [*others, enlarged, ORIGINAL]):
        assert best_first(copies)[0] == ORIGINAL


def test_a_large_group_and_none_are_ordered() -> None:
    copies = [replace(ORIGINAL, image_id=f"{size:03d}", file_size=size) for size in range(100, 100 + 2 * MAX_COMPARED)]
    copies = [replace(copy, quantisation=1.0, jpeg_step=1.0) for copy in copies]
    assert best_first(copies) == copies[::-1]
    assert best_first([]) == []


def test_a_border_that_moves_the_landmarks_does_not_make_the_original_an_enlargement() -> None:
    bordered = replace(ORIGINAL, image_id="a", size=(360, 300), border=1 / 6, eye_distance=50.0, extent=6.0)
    assert flaw(bordered, ORIGINAL) == "bordered"
    assert flaw(ORIGINAL, bordered) is None


@pytest.mark.parametrize(("step", "size", "kept"), [(1.0, 2000, "large"), (6.0, 2000, "small"), (6.0, 1000.5, "large")])
def test_equal_copies_differ_in_bytes_and_finer_coding_of_coarse_data_adds_nothing(
    step: float, size: int, kept: str
) -> None:
    small = replace(ORIGINAL, image_id="small", quantisation=step, jpeg_step=np.nan)
    large = replace(small, image_id="large", file_size=size)
    assert best_first([small, large])[0].image_id == kept
    assert flaw(small, large) is flaw(large, small) is None
