"""Pasting: mask edges, colour matching, and pixels beyond the masks."""

import cv2
import numpy as np
import torch

from curate.faces import align
from manifests.landmarks import TEMPLATES
from train.swap.paste import feather, inside_photo, match_colour, nearest_face, paste

TEMPLATE = TEMPLATES["simswap-224"]


def disc(radius: float, side: int = 224) -> torch.Tensor:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return torch.from_numpy(np.hypot(x, y) <= radius)[None]


def similarity(scale: float, turn: float, shift: tuple[float, float]) -> np.ndarray:
    """A photo-to-crop matrix (1, 2, 3)."""
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[[c, -s, shift[0]], [s, c, shift[1]]]])


def test_opacity_is_0_outside_the_mask_and_1_inside() -> None:
    mask = disc(70)
    alpha = feather(mask, torch.ones_like(mask))[0, 0]
    assert (alpha[~mask[0]] == 0).all()
    assert (alpha[disc(50)[0]] == 1).all()
    # The edge is soft: no step from one pixel to the next is larger than a fifth.
    assert alpha.diff(dim=0).abs().max() < 0.2


def test_the_feather_is_proportional_to_the_face() -> None:
    def width(side: int) -> float:
        mask = disc(side * 0.3, side)
        alpha = feather(mask, torch.ones_like(mask))[0, 0, side // 2]
        return int(((alpha > 0) & (alpha < 1)).sum()) / side

    assert abs(width(512) - width(224)) < 0.02


def test_the_mask_is_soft_at_the_edge_of_the_crop_but_not_of_the_photo() -> None:
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask[:, :, 100:] = True
    inside = torch.ones_like(mask)
    inside[:, :, 200:] = False  # the photo ends there
    alpha = feather(mask & inside, inside)[0, 0]
    assert (alpha[100, 130:200] == 1).all()
    assert alpha[0].max() == 0
    assert feather(mask, torch.ones_like(mask))[0, 0][100, 223] == 0


def test_inside_photo_agrees_with_warping() -> None:
    matrix = similarity(2.0, 0.3, (20, -10))
    inside = inside_photo(matrix, 64, np.array([[40, 50]]))[0]
    shown = cv2.warpAffine(np.ones((40, 50), np.float32), matrix[0], (64, 64), borderValue=0)
    assert inside[shown == 1].all()
    assert not inside[shown == 0].any()


def test_faces_side_by_side_are_separated_in_the_middle() -> None:
    # Two faces of the same size, 60 px of crop apart, and one of another photo, which is ignored.
    matrices = np.concatenate([similarity(1, 0, (0, 0)), similarity(1, 0, (-60, 0)), similarity(1, 0, (-10, 0))])
    nearest = nearest_face(np.array([0, 0, 1]), matrices, TEMPLATE)
    x = TEMPLATE.points.mean((0, 1))[0]
    line = np.arange(224)
    assert (nearest[0, 100] == (line <= x + 30)).all()
    assert (nearest[1, 100] == (line >= x - 30)).all()
    assert nearest[2].all()


def test_each_pixel_of_the_photo_is_nearest_to_one_face() -> None:
    matrices = np.concatenate([similarity(1.3, 0.4, (3, -20)), similarity(0.8, -0.2, (-90, 30))])
    nearest = nearest_face(np.array([0, 0]), matrices, TEMPLATE)
    back = align.invert(matrices)
    rng = np.random.default_rng(0)
    divided = 0
    for u, v in rng.integers(0, 224, (400, 2)):
        photo = back[0, :, :2] @ (u, v) + back[0, :, 2]
        other = matrices[1, :, :2] @ photo + matrices[1, :, 2]
        a, b = np.rint(other).astype(int)
        if 0 <= a < 224 and 0 <= b < 224 and not (nearest[0, v, u] and nearest[1, b, a]):
            divided += 1
            assert nearest[0, v, u] != nearest[1, b, a]
    assert divided > 50


def test_a_colour_cast_and_uneven_light_are_removed() -> None:
    rng = np.random.default_rng(1)
    target = torch.from_numpy(rng.uniform(60, 180, (2, 3, 224, 224))).float()
    soft = feather(disc(70).expand(2, -1, -1), torch.ones(2, 224, 224, dtype=torch.bool))
    edge = soft * (1 - soft)
    cast = torch.tensor([30.0, -20.0, 5.0]).view(3, 1, 1)
    assert torch.allclose(match_colour(target + cast, target, edge), target, atol=1e-2)
    light = torch.linspace(-30, 30, 224).view(1, 1, 1, -1)
    residual = (match_colour(target + light, target, edge) - target)[edge.expand(-1, 3, -1, -1) > 0.1]
    assert residual.abs().mean() < 0.5 * light.abs().mean()
    assert torch.equal(match_colour(target, target, edge), target)


def test_pasting_the_original_crop_changes_nothing() -> None:
    y, x = np.mgrid[:300, :400]
    photo = np.stack([100 + 80 * np.sin(x / 23), 100 + 80 * np.cos(y / 31), (x + y) / 4], 2).astype(np.uint8)
    matrix = similarity(1.7, 0.5, (-60, -120))
    crop = align.warp([photo], [0], matrix, (224, 224)).permute(0, 2, 3, 1).numpy().astype(np.float32)
    mask = disc(80)
    alpha = feather(mask, torch.ones_like(mask))[:, 0].numpy()
    result = paste(photo, crop, alpha, matrix)
    assert np.abs(result.astype(int) - photo).max() <= 1
    painted = paste(photo, crop * 0, alpha, matrix)
    touched = (painted != photo).any(2)
    reach = cv2.warpAffine((alpha[0] > 0).astype(np.float32), align.invert(matrix)[0], (400, 300))
    assert touched.any()
    assert not touched[reach == 0].any()


def test_a_small_face_gets_the_mean_of_its_crop() -> None:
    # Ten pixels of the crop are one of the photo, so stripes must become their mean.
    photo = np.full((60, 60, 3), 100, np.uint8)
    matrix = similarity(10.0, 0, (-190, -190))
    stripes = np.zeros((1, 224, 224, 3), np.float32)
    stripes[:, :, ::2] = 200
    mask = disc(90)
    alpha = feather(mask, torch.ones_like(mask))[:, 0].numpy()
    result = paste(photo, stripes, alpha, matrix)
    assert np.abs(result[28:33, 28:33].astype(int) - 100).max() <= 2


def test_a_face_beyond_the_photo_changes_nothing() -> None:
    photo = np.full((50, 50, 3), 9, np.uint8)
    layer, alpha = np.zeros((1, 64, 64, 3), np.float32), np.ones((1, 64, 64), np.float32)
    assert (paste(photo, layer, alpha, similarity(1, 0, (500, 500))) == photo).all()
