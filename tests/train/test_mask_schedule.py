"""The mask's weight over a training, and its effect on images."""

import pytest
import torch

from train.mask_schedule import alpha, apply, composite, generate


@pytest.mark.parametrize(
    ("images", "expected"),
    [(0, 0), (999, 0), (1000, 0), (2000, 0.25), (3000, 0.5), (5000, 1), (10_000, 1), (20_000, 1)],
)
def test_alpha(images: int, expected: float) -> None:
    assert alpha(images, 10_000) == pytest.approx(expected)


def test_alpha_of_no_training() -> None:
    with pytest.raises(ValueError, match="0 images has no schedule"):
        alpha(0, 0)


def test_apply_fades_the_background() -> None:
    x = torch.rand(2, 3, 4, 4) + 0.1
    m = torch.zeros(2, 1, 4, 4)
    m[..., :2] = 1
    assert apply(x, m, 0) is x
    for a in (0.3, 1.0):
        masked = apply(x, m, a)
        torch.testing.assert_close(masked[..., :2], x[..., :2])
        torch.testing.assert_close(masked[..., 2:], x[..., 2:] * (1 - a))


def test_composite_restores_the_background() -> None:
    target, generated = torch.rand(2, 1, 3, 4, 4)
    m = torch.zeros(1, 1, 4, 4)
    m[..., :2] = 1
    assert composite(generated, target, m, 0) is generated
    whole = composite(generated, target, m, 1)
    torch.testing.assert_close(whole[..., :2], generated[..., :2])
    torch.testing.assert_close(whole[..., 2:], target[..., 2:])
    half = composite(generated, target, m, 0.5)
    torch.testing.assert_close(half[..., 2:], (target + generated)[..., 2:] / 2)


def test_a_generator_does_not_read_the_background_and_returns_the_targets() -> None:
    target, latent = torch.rand(1, 3, 4, 4), torch.zeros(1, 2)
    m = torch.zeros(1, 1, 4, 4)
    m[..., :2] = 1
    inputs: list[torch.Tensor] = []

    def generator(image: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        inputs.append(image)
        return torch.full_like(image, 7)

    image = generate(generator, target, latent, m, 1)
    assert torch.equal(inputs[0], target * m)
    torch.testing.assert_close(image, torch.where(m > 0, 7.0, target))
    generate(generator, target, latent, None, 1)
    assert inputs[1] is target


def test_gradient_stops_where_the_mask_is_0() -> None:
    x = torch.rand(1, 3, 2, 2, requires_grad=True)
    m = torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]])
    apply(x, m, 1).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, m.expand(1, 3, 2, 2))
