"""Distortion of training faces: input and target agree but for the warp, and the matrices locate their pixels."""

import torch

from train.data.distortion import compose, distort, invert, transform


def faces(count: int = 3, size: int = 48) -> torch.Tensor:
    """Smooth random images."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def test_draws_follow_the_seed() -> None:
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(distort(faces(), None, 0.05).input)
    assert torch.equal(results[0], results[1])
    assert not torch.allclose(results[0], results[2], atol=0.01)


def test_the_warp_alone_separates_input_and_target() -> None:
    torch.manual_seed(0)
    plain = distort(faces(), None, 0.0)
    assert torch.allclose(plain.input, plain.target, atol=1e-5)
    assert torch.allclose(plain.masks, torch.ones(()), atol=1e-5)
    assert not torch.allclose(plain.target, faces(), atol=0.01)
    warped = distort(faces(), None, 0.1)
    assert (warped.input - warped.target).abs().mean() > 0.01


def test_matrices_map_moved_pixels_to_the_original() -> None:
    size = 48
    columns, rows = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy")
    ramps = torch.stack([columns, rows, torch.zeros_like(rows)]).float() / size  # colours are coordinates
    torch.manual_seed(3)
    moved = distort(ramps[None], ramps[None, :1], 0.0)
    points = torch.tensor([[20.0, 24.0], [30.0, 17.0], [1.0, 0.0], [0.0, 1.0]])  # two pixels, as (x, y)
    expected = points[:2] @ moved.matrices[0, :, :2].T + moved.matrices[0, :, 2]
    # The mask is moved like the target, and its values are the original columns.
    found = torch.stack([moved.masks[0, 0, int(y), int(x)] * size for x, y in points[:2]])
    assert torch.allclose(found, expected[:, 0], atol=0.01)


def test_matrices_are_composed_from_right_to_left() -> None:
    outer, inner = torch.randn(2, 1, 2, 3, generator=torch.Generator().manual_seed(0)).unbind()
    x = torch.tensor([2.0, -1.0])
    through = outer[0, :, :2] @ (inner[0, :, :2] @ x + inner[0, :, 2]) + outer[0, :, 2]
    both = compose(outer, inner)[0]
    assert torch.allclose(both[:, :2] @ x + both[:, 2], through, atol=1e-6)


def test_the_inverse_moves_points_back() -> None:
    matrices = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1))
    points = torch.tensor([[[1.0, 2.0], [-3.0, 0.5]]]).expand(2, -1, -1)
    moved = transform(points, matrices)
    assert torch.allclose(moved[0, 1], matrices[0, :, :2] @ points[0, 1] + matrices[0, :, 2])
    assert torch.allclose(transform(moved, invert(matrices)), points, atol=1e-4)
