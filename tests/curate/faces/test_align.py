"""Alignment: fits, inverse matrices, and crops from photos and from crops."""

import os
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch

from curate.faces import align
from manifests.landmarks import TEMPLATES, flip_points

RNG = np.random.default_rng(0)


def wheel_photo(package: str, path: str) -> np.ndarray:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    bgr = cv2.imread(os.path.join(spec.submodule_search_locations[0], path))
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


ASTRONAUT = wheel_photo("skimage", "data/astronaut.png")  # 512 x 512
GROUP = wheel_photo("insightface", "data/images/t1.jpg")  # 886 x 1280


def similarity(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, x], [s, c, y]])


SIMILARITIES = np.stack([similarity(0.3, 25, 10, -4), similarity(1.7, -170, 300, 20), similarity(1, 0, 0, 0)])


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
def test_fit_inverts_any_similarity_of_any_pose(template):
    for pose in template.points:
        landmarks = align.transform_points(np.repeat(pose[None], 3, 0), align.invert(SIMILARITIES))
        matrices, residuals = align.fit(landmarks, template)
        np.testing.assert_allclose(matrices, SIMILARITIES, atol=1e-6)
        np.testing.assert_allclose(residuals, 0, atol=1e-6)


def test_fit_is_the_least_squares_optimum_over_all_poses():
    template = TEMPLATES["simswap-224"]
    landmarks = template.points[[0, 2, 3]] * 1.3 + RNG.normal(0, 4, (3, 5, 2))
    matrices, residuals = align.fit(landmarks, template)
    for points, matrix, residual in zip(landmarks, matrices, residuals, strict=True):
        solutions = []
        for pose in template.points:  # unknowns: c, s, tx, ty
            rows = [[x, -y, 1, 0] for x, y in points] + [[y, x, 0, 1] for x, y in points]
            solution, *_ = np.linalg.lstsq(np.array(rows), pose.T.ravel(), rcond=None)
            solutions.append((np.sqrt(((np.array(rows) @ solution - pose.T.ravel()) ** 2).sum() / 5), solution))
        best, (c, s, tx, ty) = min(solutions, key=lambda solution: solution[0])
        np.testing.assert_allclose(residual, best, rtol=1e-9)
        np.testing.assert_allclose(matrix, [[c, -s, tx], [s, c, ty]], atol=1e-9)


def test_a_mirrored_face_is_not_reflected_back():
    template = TEMPLATES["arcface-112"]
    mirrored = template.points * [-1, 1]  # left and right exchanged: no similarity fits
    matrices, residuals = align.fit(mirrored, template)
    assert np.linalg.det(matrices[0, :, :2]) > 0
    assert residuals[0] > 10
    in_order = flip_points(template.points, 112)
    assert align.fit(in_order, template)[1][0] < 1


@pytest.mark.parametrize("value", [7.0, np.nan, np.inf])
def test_points_that_are_not_alignable_give_nan_and_a_black_crop(value):
    landmarks = np.stack([np.full((5, 2), value), TEMPLATES["arcface-112"].points[0] + 100])
    matrices, residuals = align.fit(landmarks, TEMPLATES["arcface-112"])
    assert np.isnan(matrices[0]).all()
    assert np.isnan(residuals[0])
    assert np.isfinite(matrices[1]).all()
    crops = align.warp([ASTRONAUT], [0, 0], matrices, (112, 112))
    assert crops[0].max() == 0
    assert crops[1].max() > 0
    assert align.inside_fraction(matrices, (112, 112), [ASTRONAUT.shape[:2]] * 2).tolist() == [0, 1]
    assert align.inside_mask(matrices, (112, 112), [ASTRONAUT.shape[:2]] * 2).mean((1, 2)).tolist() == [0, 1]


def test_no_faces_give_no_crops():
    matrices, residuals = align.fit(np.zeros((0, 5, 2)), TEMPLATES["arcface-112"])
    assert matrices.shape == (0, 2, 3)
    assert residuals.shape == (0,)
    assert align.warp([], [], matrices, (8, 9)).shape == (0, 3, 8, 9)
    assert align.inside_fraction(matrices, (8, 9), np.zeros((0, 2))).shape == (0,)
    assert align.inside_mask(matrices, (8, 9), np.zeros((0, 2))).shape == (0, 8, 9)


def test_an_integer_translation_copies_pixels_and_the_outside_is_black():
    matrix = np.array([[[1.0, 0, -500], [0, 1, -20]]])
    crop = align.warp([ASTRONAUT], [0], matrix, (30, 40))[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(crop[:, :12], ASTRONAUT[20:50, 500:512])
    assert crop[:, 12:].max() == 0
    assert align.inside_fraction(matrix, (30, 40), [(512, 512)])[0] == pytest.approx(12 / 40, abs=1 / 32)
    np.testing.assert_array_equal(align.inside_mask(matrix, (30, 40), [(512, 512)])[0], [np.arange(40) < 12] * 30)


def test_crops_do_not_depend_on_what_lies_far_beyond_them():
    landmarks = TEMPLATES["arcface-112"].points[:1] * 3.3 + [100.4, 90.7]
    matrices, _ = align.fit(landmarks, TEMPLATES["arcface-112"])
    crop = align.warp([ASTRONAUT], [0], matrices, (112, 112))
    margin = np.full_like(ASTRONAUT, 255)
    margin[70:490, 80:500] = ASTRONAUT[70:490, 80:500]
    assert torch.equal(align.warp([margin], [0], matrices, (112, 112)), crop)


def test_halving_is_the_mean_of_two_by_two_pixels():
    matrix = np.array([[[0.5, 0, -0.25], [0, 0.5, -0.25]]])  # block (0, 0) of px 0 and 1 has its centre at 0.5
    blocks = ASTRONAUT.reshape(256, 2, 256, 2, 3).mean((1, 3))
    crop = align.warp([ASTRONAUT], [0], matrix, (256, 256))
    assert np.abs(crop[0].permute(1, 2, 0).numpy() - blocks).max() <= 1


def test_a_shrunken_checkerboard_is_grey_not_moire():
    board = np.kron(np.indices((200, 200)).sum(0) % 2, np.ones((2, 2)))[..., None].repeat(3, 2) * 255
    crop = align.warp([board.astype(np.uint8)], [0], similarity(1 / 6.5, 10, 0, -8)[None], (40, 40))
    assert crop[..., 12:28, 12:28].float().std() < 12
    aliased = cv2.warpAffine(board, similarity(1 / 6.5, 10, 0, -8), (40, 40))
    assert aliased[12:28, 12:28].std() > 60


def test_a_crop_does_not_depend_on_the_batch():
    photos, matrices = [ASTRONAUT, GROUP], np.stack([similarity(0.3, 5, 0, 0), similarity(0.11, 3, 0, 0)])
    together = align.warp(photos, [0, 1], matrices, (64, 64))
    for index in (0, 1):
        alone = align.warp(photos, [index], matrices[index : index + 1], (64, 64))
        assert torch.equal(together[index], alone[0])


def test_landmarks_in_the_pixels_of_a_crop_are_at_the_template():
    template = TEMPLATES["arcface-112"]
    landmarks = align.transform_points(template.points, similarity(2.2, 12, 90, 60)[None])
    photo = np.zeros((400, 400, 3), np.float64)
    rows, columns = np.indices((400, 400))
    for x, y in landmarks[0]:
        photo += 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 30)[..., None]
    matrices, _ = align.fit(landmarks, template)
    crop = align.warp([photo.clip(0, 255).astype(np.uint8)], [0], matrices, (112, 112))[0, 0].double().numpy()
    for x, y in template.points[0]:
        part = crop[round(y) - 5 : round(y) + 6, round(x) - 5 : round(x) + 6]
        down, right = np.indices(part.shape) - 5
        centre = round(x) + (part * right).sum() / part.sum(), round(y) + (part * down).sum() / part.sum()
        np.testing.assert_allclose(centre, (x, y), atol=0.1)


def test_inverse_matrices_and_nan_for_a_singular_one():
    points = RNG.normal(0, 50, (3, 7, 2))
    transformed = align.transform_points(points, SIMILARITIES)
    np.testing.assert_allclose(align.transform_points(transformed, align.invert(SIMILARITIES)), points, atol=1e-9)
    assert np.isnan(align.invert(np.zeros((1, 2, 3)))).all()


def test_warp_crops_matches_warp_and_passes_gradients():
    photo = torch.from_numpy(ASTRONAUT[100:324, 120:344].copy())
    matrices = np.stack([similarity(0.5, 8, 3, -6), similarity(0.55, -20, -20, 12)])
    expected = align.warp([photo.numpy()], [0, 0], matrices, (112, 112)).float()
    crops = (photo.permute(2, 0, 1)[None].float() / 255).repeat(2, 1, 1, 1).requires_grad_()
    warped = align.warp_crops(crops, torch.from_numpy(matrices).float(), (112, 112))
    assert (warped * 255 - expected).abs().mean() < 2
    warped[0].sum().backward()
    assert crops.grad is not None
    assert crops.grad[1].abs().max() == 0
    # Every source px in the crop has a gradient: 2 x 2 samples leave no gaps.
    assert (crops.grad[0, 0, 60:160, 60:160] > 0).all()


def test_warp_crops_by_the_identity_keeps_the_crops():
    crops = torch.rand(2, 3, 20, 30)
    identity = torch.eye(2, 3).repeat(2, 1, 1)
    torch.testing.assert_close(align.warp_crops(crops, identity, (20, 30)), crops, atol=1e-5, rtol=0)


def test_rescaled_points_and_matrices_agree():
    """Pixel centres are at integers: the edge of an image, at -0.5, is the fixed point."""
    points = RNG.normal(50, 20, (3, 5, 2))
    rescaled = align.transform_points(points, align.rescale_matrices(SIMILARITIES, 0.25))
    expected = align.rescale_points(align.transform_points(points, SIMILARITIES), 0.25)
    np.testing.assert_allclose(rescaled, expected, atol=1e-9)
    assert align.rescale_points(np.array([-0.5, 7.5]), 0.5).tolist() == [-0.5, 3.5]
