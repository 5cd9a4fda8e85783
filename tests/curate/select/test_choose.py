"""curate/select/choose.py: coverage, distance, sharpness, and photos of other persons."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.select.candidates import Candidates
from curate.select.cells import AXES, PITCH_NAMES, YAW_NAMES, gaps, pose_code
from curate.select.choose import choose


def candidates(count: int, **values: Any) -> Candidates:
    """Faces of one person that look ahead in even light; vectors are close to one direction."""
    rng = np.random.default_rng(0)
    vectors = np.array([1.0, *[0.0] * 15]) + rng.normal(0, 0.05, (count, 16))
    usual: dict[str, Any] = {
        "rows": pa.table({"image_id": [f"a/{k:04d}.jpg" for k in range(count)], "identity": ["a"] * count}),
        "yaw": np.zeros(count),
        "pitch": np.zeros(count),
        "brightness": np.full(count, 140.0),
        "sharpness": np.full(count, 0.8),
        "detail": np.ones(count),
        "smile": np.zeros(count),
        "side_light": np.zeros(count),
        "mouth_open": np.zeros(count),
        "vectors": (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
    }
    return Candidates(**usual | values)


def test_every_pose_that_a_person_has_is_chosen_before_one_is_repeated() -> None:
    yaw = np.array([*np.zeros(90), *np.linspace(-60, 60, 10)])
    faces = candidates(100, yaw=yaw)
    poses = pose_code(faces.yaw, faces.pitch)
    occupied = len(np.unique(poses))
    assert len(np.unique(poses[choose(faces, occupied).rows])) == occupied


@pytest.mark.parametrize(("name", "value"), [("side_light", 1.0), ("mouth_open", 0.5), ("brightness", 60.0)])
def test_another_light_or_expression_is_covered(name: str, value: float) -> None:
    values = np.zeros(100) if name != "brightness" else np.full(100, 140.0)
    values[70] = value
    assert 70 in choose(candidates(100, **{name: values}), 4).rows


def test_of_equal_photos_the_sharpest_is_first() -> None:
    sharpness = np.full(50, 0.6)
    sharpness[[7, 30]] = 0.9, 0.95
    assert choose(candidates(50, sharpness=sharpness), 1).rows.tolist() == [30]


def test_a_face_of_few_pixels_yields_to_one_of_many() -> None:
    detail = np.full(50, 0.2)
    detail[7] = 1.0
    assert choose(candidates(50, detail=detail), 1).rows.tolist() == [7]


def test_chosen_photos_are_far_from_each_other() -> None:
    faces = candidates(60)
    repeated = np.repeat(faces.vectors[:20], 3, 0)  # three frames of each scene
    rows = choose(candidates(60, vectors=repeated), 20).rows
    assert len(np.unique(rows // 3)) >= 19


def test_photos_of_another_person_are_not_preferred() -> None:
    vectors = candidates(200).vectors.copy()
    strangers = [5, 50, 100, 150]
    vectors[strangers] = np.roll(vectors[strangers], 3, axis=1)
    assert not set(strangers) & set(choose(candidates(200, vectors=vectors), 32).rows.tolist())


def test_the_choice_of_k_is_the_first_k_of_a_larger_choice() -> None:
    rng = np.random.default_rng(1)
    faces = candidates(80, yaw=rng.uniform(-50, 50, 80), sharpness=rng.uniform(0.5, 1, 80))
    larger = choose(faces, 40)
    assert choose(faces, 12).rows.tolist() == larger.rows[:12].tolist()
    assert len(set(larger.rows.tolist())) == 40


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_person_with_few_photos_is_chosen_whole(count: int) -> None:
    same = candidates(count, vectors=np.ones((count, 4), np.float32) / 2)
    assert sorted(choose(same, 10).rows.tolist()) == list(range(count))


def test_missing_numbers_count_as_usual() -> None:
    nothing = np.full(5, np.nan)
    faces = candidates(5, yaw=nothing, pitch=nothing, brightness=nothing, side_light=nothing, mouth_open=nothing)
    assert {axis.cells[code] for axis in AXES for code in axis.code(faces)} == {
        "level, ahead", "medium, even", "mouth closed",
    }  # fmt: skip
    assert len(choose(faces, 3).rows) == 3


def test_gaps_are_whole_rows_and_columns_of_the_pose_map() -> None:
    yaw, pitch = (angles.ravel() for angles in np.meshgrid([-50, -30, -15, 0, 15, 30], [-25, -10, 0, 10]))
    assert gaps(pose_code(yaw, pitch)) == ["turned far right", "tilted far up"]
    assert pose_code(np.array([-90.0, 90.0]), np.array([-90.0, 90.0])).tolist() == [
        0, len(YAW_NAMES) * len(PITCH_NAMES) - 1,
    ]  # fmt: skip
