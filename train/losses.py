"""Loss terms of SimSwap (Chen et al. 2020, section 3.3): scalars, float32.

`DiscriminatorOutput` are the outputs of a discriminator; the losses are means over its scales.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.faces.align import warp_crops
from curate.faces.embedder import Embedder
from train.networks.discriminator import Discriminator, DiscriminatorOutput

_SSIM_WINDOW = 7  # px


def hinge_g(fake: DiscriminatorOutput) -> Tensor:
    """-mean D(fake)."""
    return torch.stack([-logits.float().mean() for logits, _ in fake]).mean()


def hinge_d(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))."""
    return torch.stack(
        [
            F.relu(1 - logits_real.float()).mean() + F.relu(1 + logits_fake.float()).mean()
            for (logits_real, _), (logits_fake, _) in zip(real, fake, strict=True)
        ]
    ).mean()


def embed(embedder: Embedder, rgb01: Tensor, matrices: Tensor) -> Tensor:
    """Crops -> embeddings (N, D) of unit norm; differentiable.

    Computed in the precision that the embedder needs, independent of a surrounding autocast.

    Args:
        embedder: a frozen face embedder.
        rgb01: (N, 3, S, S), RGB in [0, 1].
        matrices: (N, 2, 3), crop -> the embedder's template: `align.fit(landmarks on the crop, embedder.template)`.
    """
    device = rgb01.device.type
    half = embedder.half_dtype if device == "cuda" else None
    with torch.autocast(device, half, enabled=half is not None):
        vectors: Tensor = embedder(warp_crops(rgb01.float(), matrices, embedder.template.size))
        return vectors


def identity_loss(
    embedder: Embedder,
    fake_rgb01: Tensor,
    matrices: Tensor,
    source_latent: Tensor,
    centre: Tensor | None = None,
    sufficient: Tensor | None = None,
) -> Tensor:
    """max(0, 1 - cos(embedding of the fake, latent of the source) - sufficient), mean over the batch.

    Args:
        embedder: the embedder of the latents.
        fake_rgb01: (N, 3, S, S), not clamped.
        matrices: (N, 2, 3), crop -> the embedder's template, of the *target's* face.
        source_latent: (N, D), of unit norm.
        centre: (D,), the latent centre, subtracted from both; it separates people where an embedder maps all of them
            into one corner of the sphere (dlib's).
        sufficient: (N,), distances below which there is no loss; None for 0.
    """
    fake, source = embed(embedder, fake_rgb01, matrices), source_latent.float()
    if centre is not None:
        fake, source = fake - centre, source - centre
    distance = 1 - F.cosine_similarity(fake, source)  # (N,)
    return (distance if sufficient is None else F.relu(distance - sufficient)).mean()


def reconstruction(fake: Tensor, target: Tensor, same_person: Tensor) -> Tensor:
    """Mean |fake - target| over the rows whose source and target are one person; 0 where there are none.

    fake, target: (N, 3, S, S) in the same io space; same_person: bool (N,).
    """
    weights = same_person.to(fake.dtype)
    distance = (fake - target).abs().mean((1, 2, 3))
    return (distance * weights).sum() / weights.sum().clamp(min=1)


def weak_feature_matching(fake: DiscriminatorOutput, real: DiscriminatorOutput, last: int = 2) -> Tensor:
    """Mean |D_i(fake) - D_i(target)| over the `last` deepest hidden layers i: keeps attributes, not texture.

    real: D's output for the targets; it gets no gradient.
    """
    terms = [
        F.l1_loss(feature.float(), reference.detach().float())
        for (_, features), (_, references) in zip(fake, real, strict=True)
        for feature, reference in zip(features[-last:], references[-last:], strict=True)
    ]
    return torch.stack(terms).mean()


def gradient_penalty(discriminator: Discriminator, images: Tensor, norm: float = 0.0) -> Tensor:
    """Mean (|dD/dx| - norm)^2 at the images, D summed over scales; differentiable, in float32.

    At real images with norm 0 it is R1 (Mescheder et al. 2018); at `interpolate(real, fake)` with norm 1 it is that of
    Gulrajani et al. 2017, weighted by 1e-5 in the SimSwap paper. Batch normalisation in D couples the images
    of a batch: each gradient includes the effect on the others.
    """
    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().float().requires_grad_()
        score = torch.stack([logits.mean((1, 2, 3)).sum() for logits, _ in discriminator(images)]).sum()
        (gradient,) = torch.autograd.grad(score, images, create_graph=True)
        squared = gradient.square().sum((1, 2, 3))
        return (squared if norm == 0 else ((squared + 1e-12).sqrt() - norm).square()).mean()


def interpolate(real: Tensor, fake: Tensor, random: torch.Generator | None = None) -> Tensor:
    """Images (N, 3, S, S) at a uniform random position between each real and fake one; no gradient."""
    position = torch.rand(len(real), 1, 1, 1, device=real.device, generator=random)
    return torch.lerp(fake.detach().float(), real.detach().float(), position)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of values (N, C, H, W) with weights (N, 1, H, W) of the positions."""
    return (values * weights).sum() / (values.shape[1] * weights.sum())


def structure(fake: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean 1 - SSIM of the luma at full and half resolution (Wang et al. 2004), in windows of 7 x 7 px.

    Args:
        fake, target: (N, 3, S, S), RGB in [0, 1], `fake` not clamped.
        weights: (N, 1, S, S), of the positions.
    """
    luma = fake.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    x, y = F.conv2d(fake, luma), F.conv2d(target, luma)
    full = _dissimilarity(x, y, weights)
    half = _dissimilarity(F.avg_pool2d(x, 2), F.avg_pool2d(y, 2), F.avg_pool2d(weights, 2))
    return (full + half) / 2


def _dissimilarity(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of 1 - SSIM of two images (N, 1, H, W) in [0, 1]."""
    pad = _SSIM_WINDOW // 2
    moments = F.pad(torch.cat([x, y, x * x, y * y, x * y]), (pad, pad, pad, pad), mode="reflect")
    # A square mean is one mean along each axis.
    line = moments.new_full((1, 1, 1, _SSIM_WINDOW), 1 / _SSIM_WINDOW)
    mean_x, mean_y, square_x, square_y, product = F.conv2d(F.conv2d(moments, line), line.mT).chunk(5)
    # SSIM = (2 mu_x mu_y + C1)(2 sigma_xy + C2) / ((mu_x^2 + mu_y^2 + C1)(sigma_x^2 + sigma_y^2 + C2))
    c1, c2 = 0.01**2, 0.03**2
    variances = (square_x - mean_x.square()).clamp(min=0) + (square_y - mean_y.square()).clamp(min=0)
    numerator = (2 * mean_x * mean_y + c1) * (2 * (product - mean_x * mean_y) + c2)
    denominator = (mean_x.square() + mean_y.square() + c1) * (variances + c2)
    return weighted_mean(1 - numerator / denominator, weights)
