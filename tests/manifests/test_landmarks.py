"""Templates, point order, and what a horizontal flip does to points and label maps."""

import numpy as np
import pytest

from manifests.landmarks import FLIP_CLASSES, FLIP_POINTS, MASK_CLASSES, TEMPLATES, flip_mask, flip_points


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_on_their_crop_in_the_stated_order(name: str) -> None:
    template = TEMPLATES[name]
    height, width = template.size
    for pose in template.points:
        assert ((pose >= -0.5) & (pose <= [width - 0.5, height - 0.5])).all()
        left_eye, right_eye, nose, left_mouth, right_mouth = pose
        assert left_eye[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_the_narrow_arcface_crop_is_the_wide_one_without_its_sides() -> None:
    # Published for a 112 x 96 crop: these are arcface-112's points moved by 8 px.
    narrow = [[30.29, 51.70], [65.53, 51.50], [48.03, 71.74], [33.55, 92.37], [62.73, 92.20]]
    assert np.abs(TEMPLATES["arcface-112x96"].points[0] - narrow).max() < 0.006
    assert TEMPLATES["arcface-112x96"].size == (112, 96)


def test_the_simswap_poses_mirror_each_other() -> None:
    poses = TEMPLATES["simswap-224"].points
    assert poses.shape == (5, 5, 2)
    assert [pose[2, 0] for pose in poses] == sorted(pose[2, 0] for pose in poses), "left profile to right"
    for pose, other in zip(poses, poses[::-1], strict=True):
        # The published poses mirror about x = 112, to within half a pixel plus their rounding.
        assert np.abs(flip_points(pose, 225) - other).max() < 5.0


def test_a_flip_keeps_left_before_right() -> None:
    points = np.array([[10.0, 20], [30, 21], [19, 30], [12, 40], [28, 41]])
    flipped = flip_points(points, 41)
    assert flipped.tolist() == [[10, 21], [30, 20], [21, 30], [12, 41], [28, 40]]
    assert flip_points(np.stack([points, flipped]), 41).tolist() == [flipped.tolist(), points.tolist()]


def test_a_point_stays_on_its_pixel_under_a_flip() -> None:
    image = np.zeros((4, 7))
    image[2, 1] = 1
    x, y = flip_points(np.array([[[1.0, 2.0]] * 5]), 7)[0, 0]
    assert image[:, ::-1][int(y), int(x)] == 1


def test_a_flip_exchanges_left_and_right_classes_only() -> None:
    exchanged = {(MASK_CLASSES[a], MASK_CLASSES[b]) for a, b in enumerate(FLIP_CLASSES) if a < b}
    assert exchanged == {("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear")}


def test_two_flips_are_the_identity() -> None:
    labels = np.random.default_rng(0).integers(0, len(MASK_CLASSES), (2, 8, 9), np.uint8)
    assert (flip_mask(flip_mask(labels)) == labels).all()
    assert flip_mask(labels).dtype == np.uint8
    assert [FLIP_POINTS[index] for index in FLIP_POINTS] == list(range(5))


def test_a_flipped_label_map_shows_the_mirrored_face() -> None:
    left_eye, right_eye = MASK_CLASSES.index("l_eye"), MASK_CLASSES.index("r_eye")
    assert flip_mask(np.array([[left_eye, 0, right_eye, 1]], np.uint8)).tolist() == [[1, left_eye, 0, right_eye]]


def test_the_classes_are_those_of_celebamask() -> None:
    assert len(MASK_CLASSES) == 19
    assert [MASK_CLASSES.index(name) for name in ("skin", "nose", "hair", "cloth")] == [1, 2, 13, 18]
