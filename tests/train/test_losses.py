"""Each loss against its formula, and the gradient of the identity loss through the warp to the pixels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.faces.align import fit
from curate.faces.embedder import Embedder
from curate.faces.weights import MOBILEFACENET
from manifests.landmarks import TEMPLATES
from train import losses
from train.networks.discriminator import DiscriminatorOutput, MultiScalePatchGan


def verdicts(seed: int, scales: int = 2) -> DiscriminatorOutput:
    random = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(2, 1, 4, 4, generator=random), [torch.randn(2, 3, 5, 5, generator=random) for _ in range(4)])
        for _ in range(scales)
    ]


def test_hinge() -> None:
    real = [(torch.tensor([2.0, 0.5]), []), (torch.tensor([-1.0]), [])]
    fake = [(torch.tensor([-3.0, 0.0]), []), (torch.tensor([1.0]), [])]
    # scale 1: (0 + 0.5) / 2 + (0 + 1) / 2; scale 2: 2 + 2
    assert losses.hinge_d(real, fake).item() == pytest.approx((0.75 + 4) / 2)
    assert losses.hinge_g(fake).item() == pytest.approx((1.5 - 1) / 2)


def test_discriminator_and_generator_have_opposite_gradients() -> None:
    fake = torch.zeros(3, requires_grad=True)
    (down,) = torch.autograd.grad(losses.hinge_d([(torch.zeros(3), [])], [(fake, [])]), fake)
    (up,) = torch.autograd.grad(losses.hinge_g([(fake, [])]), fake)
    assert (down > 0).all()
    assert (up < 0).all()


def test_reconstruction_counts_same_person_rows_only() -> None:
    fake, target = torch.zeros(3, 3, 2, 2), torch.ones(3, 3, 2, 2) * torch.tensor([1.0, 2.0, 4.0])[:, None, None, None]
    assert losses.reconstruction(fake, target, torch.tensor([True, False, True])).item() == 2.5
    assert losses.reconstruction(fake, target, torch.tensor([False] * 3)).item() == 0


def test_weak_feature_matching_uses_the_deep_layers_and_has_no_gradient_to_the_target() -> None:
    fake, real = verdicts(1), verdicts(2)
    for _, features in real:
        features[-1].requires_grad_()
    for _, features in fake:
        features[-1].requires_grad_()
    loss = losses.weak_feature_matching(fake, real, last=2)
    expected = (
        sum(
            (a - b).abs().mean()
            for (_, x), (_, y) in zip(fake, real, strict=True)
            for a, b in zip(x[2:], y[2:], strict=True)
        )
        / 4
    )
    torch.testing.assert_close(loss, expected)
    fake[0][1][0].add_(100)
    torch.testing.assert_close(losses.weak_feature_matching(fake, real, last=2), loss)
    loss.backward()
    assert fake[0][1][-1].grad is not None
    assert real[0][1][-1].grad is None


def linear(image: Tensor) -> DiscriminatorOutput:
    """D(x) = 2 sum x, as one logit a photo: its gradient is 2 at every one of n numbers."""
    return [(2 * image.sum((1, 2, 3))[:, None, None, None], [])]


def test_gradient_penalty() -> None:
    images = torch.rand(3, 3, 4, 4)
    count = 3 * 4 * 4
    assert losses.gradient_penalty(linear, images).item() == pytest.approx(4 * count)
    assert losses.gradient_penalty(linear, images, norm=1).item() == pytest.approx((2 * count**0.5 - 1) ** 2, rel=1e-5)
    discriminator = MultiScalePatchGan(width=2, scales=1)
    losses.gradient_penalty(discriminator, torch.rand(2, 3, 64, 64)).backward()
    assert discriminator.scales[0].last.weight.grad.abs().max() > 0  # type: ignore[union-attr,operator]


def test_interpolate_lies_between() -> None:
    real, fake = torch.zeros(8, 3, 2, 2), torch.ones(8, 3, 2, 2, requires_grad=True)
    between = losses.interpolate(real, fake, torch.Generator().manual_seed(1))
    assert not between.requires_grad
    flat = between.flatten(1)
    assert torch.equal(flat.min(1).values, flat.max(1).values)
    assert 0 < flat.min() < flat.max() < 1


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """A smooth random network behind the real preprocessing: 112x96 chips, its own template."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, 4), nn.Tanh(), nn.Conv2d(8, 8, 5, 4), nn.Tanh(), nn.Flatten(), nn.LazyLinear(16)
    )
    network(torch.zeros(1, 3, *TEMPLATES[MOBILEFACENET.template or ""].size))
    return Embedder(network, MOBILEFACENET, "0" * 64, dim=16, calibration=MOBILEFACENET.calibration)  # type: ignore[arg-type]


def matrices_to(embedder: Embedder, count: int) -> Tensor:
    """Crop -> the embedder's template, for faces aligned exactly to the 224 template."""
    points = np.repeat(TEMPLATES["simswap-224"].points[:1], count, 0)
    return torch.from_numpy(fit(points, embedder.template)[0]).float()


def test_identity_loss_is_a_cosine_distance_on_the_aligned_chip(embedder: Embedder) -> None:
    fake = F.interpolate(torch.rand(2, 3, 14, 14), (224, 224), mode="bilinear")
    matrices = matrices_to(embedder, 2)
    latents = losses.embed(embedder, fake, matrices)
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(2))
    assert losses.identity_loss(embedder, fake, matrices, latents).item() == pytest.approx(0, abs=1e-5)
    assert losses.identity_loss(embedder, fake, matrices, -latents).item() == pytest.approx(2, abs=1e-5)
    sufficient = torch.tensor([1.5, 3.0])
    assert losses.identity_loss(embedder, fake, matrices, -latents, None, sufficient).item() == pytest.approx(0.25)
    centre = latents.mean(0)
    # Relative to their mean, two embeddings are opposite, however similar they are.
    assert losses.identity_loss(embedder, fake, matrices, latents.flip(0), centre).item() == pytest.approx(2, abs=1e-3)


def test_identity_loss_reaches_the_face_and_not_what_lies_outside_the_chip(embedder: Embedder) -> None:
    fake = torch.rand(1, 3, 224, 224, requires_grad=True)
    matrices = matrices_to(embedder, 1)
    latent = F.normalize(torch.randn(1, 16))
    with torch.autocast("cpu", torch.bfloat16):  # must not reach the embedder, which is accurate in float32 only
        loss = losses.identity_loss(embedder, fake, matrices, latent)
        loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(losses.identity_loss(embedder, fake, matrices, latent).item(), abs=1e-6)
    assert fake.grad is not None
    y, x = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    on_chip = torch.stack([x, y, torch.ones_like(x)], 2) @ matrices[0].T  # (224, 224, 2)
    outside = ((on_chip < -3) | (on_chip > torch.tensor([95.0, 111.0]) + 3)).any(2)
    strength = fake.grad.abs().amax((0, 1))
    assert (strength[~outside] > 0).float().mean() > 0.5
    assert 0.05 < outside.float().mean() < 0.9
    assert not strength[outside].any()


def test_descending_the_identity_loss_makes_the_face_more_like_the_source(embedder: Embedder) -> None:
    torch.manual_seed(5)
    fake = torch.rand(1, 3, 224, 224)
    matrices = matrices_to(embedder, 1)
    source = losses.embed(embedder, F.interpolate(torch.rand(1, 3, 9, 9), (224, 224)), matrices)
    before = losses.identity_loss(embedder, fake, matrices, source)
    for _ in range(10):
        fake.requires_grad_()
        (gradient,) = torch.autograd.grad(losses.identity_loss(embedder, fake, matrices, source), fake)
        fake = (fake - 0.05 * gradient / gradient.abs().max()).detach()
    assert losses.identity_loss(embedder, fake, matrices, source) < before - 0.01


def test_weighted_mean_counts_positions_by_their_weight() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(1, 2, 1, 2)  # two channels at two positions
    assert losses.weighted_mean(values, torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)).item() == pytest.approx(2)
    assert losses.weighted_mean(values, torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)).item() == pytest.approx(3.5)


def test_structure_ignores_brightness_less_than_blur_and_positions_without_weight() -> None:
    torch.manual_seed(0)
    image, everywhere = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    assert losses.structure(image, image, everywhere).item() == pytest.approx(0, abs=1e-5)
    blurred, brighter = F.avg_pool2d(image, 5, 1, 2), image + 0.05
    assert losses.structure(blurred, image, everywhere) > 10 * losses.structure(brighter, image, everywhere)
    # The upper half alone is blurred, and the lower half counts.
    half = torch.cat([blurred[:, :, :16], image[:, :, 16:]], 2)
    below = everywhere.clone()
    below[:, :, :24] = 0
    assert losses.structure(half, image, below).item() == pytest.approx(0, abs=1e-5)
