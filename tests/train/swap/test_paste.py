"""Paste-back: masks end where they must, colours meet, and no other pixel changes."""

import cv2
import numpy as np
import torch

from curate.faces import align
from manifests.landmarks import TEMPLATES
from train.swap.paste import inside_photo, match_colour, own_side, paste, soften

TEMPLATE = TEMPLATES["simswap-224"]


def disc(radius: float, side: int = 224) -> torch.Tensor:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return torch.from_numpy(np.hypot(x, y) <= radius)[None]


def similarity(scale: float, turn: float, shift: tuple[float, float]) -> np.ndarray:
    """Photo -> crop."""
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[[c, -s, shift[0]], [s, c, shift[1]]]])


def test_a_softened_mask_is_nothing_outside_and_everything_inside() -> None:
    mask = disc(70)
    alpha = soften(mask, torch.ones_like(mask))[0, 0]
    assert (alpha[~mask[0]] == 0).all()
    assert (alpha[disc(50)[0]] == 1).all()
    # The edge is soft: no step from one pixel to the next is larger than a fifth.
    assert alpha.diff(dim=0).abs().max() < 0.2


def test_the_feather_is_in_proportion_to_the_face() -> None:
    def width(side: int) -> float:
        mask = disc(side * 0.3, side)
        alpha = soften(mask, torch.ones_like(mask))[0, 0, side // 2]
        return int(((alpha > 0) & (alpha < 1)).sum()) / side

    assert abs(width(512) - width(224)) < 0.02


def test_the_edge_of_the_photo_is_no_edge_of_the_face_but_that_of_the_crop_is() -> None:
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask[:, :, 100:] = True
    inside = torch.ones_like(mask)
    inside[:, :, 200:] = False  # the photo ends there
    alpha = soften(mask & inside, inside)[0, 0]
    assert (alpha[100, 130:200] == 1).all()
    assert alpha[0].max() == 0
    assert soften(mask, torch.ones_like(mask))[0, 0][100, 223] == 0


def test_which_pixels_show_photo() -> None:
    matrix = similarity(2.0, 0.3, (20, -10))
    found = inside_photo(matrix, 64, np.array([[40, 50]]))[0]
    shown = cv2.warpAffine(np.ones((40, 50), np.float32), matrix[0], (64, 64), borderValue=0)
    assert found[shown == 1].all()
    assert not found[shown == 0].any()


def test_faces_side_by_side_are_parted_in_the_middle() -> None:
    # Two faces of one size, 60 px of crop apart; a third of another photo at the same place does not count.
    matrices = np.concatenate([similarity(1, 0, (0, 0)), similarity(1, 0, (-60, 0)), similarity(1, 0, (-10, 0))])
    own = own_side(np.array([0, 0, 1]), matrices, TEMPLATE)
    x = TEMPLATE.points.mean((0, 1))[0]
    line = np.arange(224)
    assert (own[0, 100] == (line <= x + 30)).all()
    assert (own[1, 100] == (line >= x - 30)).all()
    assert own[2].all()


def test_who_owns_a_pixel_does_not_depend_on_which_face_asks() -> None:
    matrices = np.concatenate([similarity(1.3, 0.4, (3, -20)), similarity(0.8, -0.2, (-90, 30))])
    own = own_side(np.array([0, 0]), matrices, TEMPLATE)
    back, there = align.invert(matrices), matrices
    rng = np.random.default_rng(0)
    seen = 0
    for u, v in rng.integers(0, 224, (400, 2)):
        photo = back[0, :, :2] @ (u, v) + back[0, :, 2]
        other = there[1, :, :2] @ photo + there[1, :, 2]
        a, b = np.rint(other).astype(int)
        if 0 <= a < 224 and 0 <= b < 224 and not (own[0, v, u] and own[1, b, a]):
            seen += 1
            assert own[0, v, u] != own[1, b, a]
    assert seen > 50


def test_a_colour_cast_and_uneven_light_are_taken_off() -> None:
    rng = np.random.default_rng(1)
    target = torch.from_numpy(rng.uniform(60, 180, (2, 3, 224, 224))).float()
    soft = soften(disc(70).expand(2, -1, -1), torch.ones(2, 224, 224, dtype=torch.bool))
    edge = soft * (1 - soft)
    cast = torch.tensor([30.0, -20.0, 5.0]).view(3, 1, 1)
    assert torch.allclose(match_colour(target + cast, target, edge), target, atol=1e-2)
    light = torch.linspace(-30, 30, 224).view(1, 1, 1, -1)
    left = (match_colour(target + light, target, edge) - target)[edge.expand(-1, 3, -1, -1) > 0.1]
    assert left.abs().mean() < 0.5 * light.abs().mean()
    assert torch.equal(match_colour(target, target, edge), target)


def test_pasting_back_what_was_cut_out_changes_nothing() -> None:
    y, x = np.mgrid[:300, :400]
    photo = np.stack([100 + 80 * np.sin(x / 23), 100 + 80 * np.cos(y / 31), (x + y) / 4], 2).astype(np.uint8)
    matrix = similarity(1.7, 0.5, (-60, -120))
    crop = align.warp([photo], [0], matrix, (224, 224)).permute(0, 2, 3, 1).numpy().astype(np.float32)
    mask = disc(80)
    alpha = soften(mask, torch.ones_like(mask))[:, 0].numpy()
    result = paste(photo, crop, alpha, matrix)
    assert np.abs(result.astype(int) - photo).max() <= 1
    painted = paste(photo, crop * 0, alpha, matrix)
    touched = (painted != photo).any(2)
    reach = cv2.warpAffine((alpha[0] > 0).astype(np.float32), align.invert(matrix)[0], (400, 300))
    assert touched.any()
    assert not touched[reach == 0].any()


def test_a_face_of_a_few_pixels_gets_the_mean_of_its_crop() -> None:
    # The crop shows 22 px of the photo: ten of its pixels are one of the photo's. Stripes must become their mean.
    photo = np.full((60, 60, 3), 100, np.uint8)
    matrix = similarity(10.0, 0, (-190, -190))
    stripes = np.zeros((1, 224, 224, 3), np.float32)
    stripes[:, :, ::2] = 200
    mask = disc(90)
    alpha = soften(mask, torch.ones_like(mask))[:, 0].numpy()
    result = paste(photo, stripes, alpha, matrix)
    assert np.abs(result[28:33, 28:33].astype(int) - 100).max() <= 2


def test_a_face_beyond_the_photo_changes_nothing() -> None:
    photo = np.full((50, 50, 3), 9, np.uint8)
    layer, alpha = np.zeros((1, 64, 64, 3), np.float32), np.ones((1, 64, 64), np.float32)
    assert (paste(photo, layer, alpha, similarity(1, 0, (500, 500))) == photo).all()
