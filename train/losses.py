"""What the generator and the discriminator minimise: networks' outputs in, scalars out, float32.

Chen et al. 2020 (SimSwap), section 3.3. Lists of verdicts are a `Discriminator`'s; over scales the mean is taken.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.faces.align import warp_crops
from curate.faces.embedder import Embedder
from train.networks.discriminator import Discriminator, Verdicts


def hinge_g(fake: Verdicts) -> Tensor:
    """-mean D(fake)."""
    return torch.stack([-logits.float().mean() for logits, _ in fake]).mean()


def hinge_d(real: Verdicts, fake: Verdicts) -> Tensor:
    """mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))."""
    return torch.stack(
        [
            F.relu(1 - logits_real.float()).mean() + F.relu(1 + logits_fake.float()).mean()
            for (logits_real, _), (logits_fake, _) in zip(real, fake, strict=True)
        ]
    ).mean()


def embed(embedder: Embedder, rgb01: Tensor, matrices: Tensor) -> Tensor:
    """Crops (N, 3, S, S), RGB in [0, 1] -> unit vectors (N, D), through the embedder's own chip; differentiable.

    matrices: (N, 2, 3) crop -> chip: `curate.faces.align.fit(landmarks on the crop, embedder.template)`. It computes in
    the type that the embedder is accurate in, whatever autocast surrounds it.
    """
    device = rgb01.device.type
    half = embedder.half_dtype if device == "cuda" else None
    with torch.autocast(device, half, enabled=half is not None):
        vectors: Tensor = embedder(warp_crops(rgb01.float(), matrices, embedder.template.size))
        return vectors


def identity_loss(
    embedder: Embedder, fake_rgb01: Tensor, matrices: Tensor, source_latent: Tensor, centre: Tensor | None = None
) -> Tensor:
    """1 - cos(embedding of the fake, the source's latent), mean over the batch.

    fake_rgb01: (N, 3, S, S), not clamped; matrices: (N, 2, 3) of the *target's* face, crop -> chip; source_latent:
    (N, D), unit vectors of the same embedder. `centre` (D,), the mean of many people's embeddings, is taken off both
    first: where an embedder keeps all people in one corner of the sphere (dlib's), the plain cosine says little.
    """
    fake, source = embed(embedder, fake_rgb01, matrices), source_latent.float()
    if centre is not None:
        fake, source = fake - centre, source - centre
    return (1 - F.cosine_similarity(fake, source)).mean()


def reconstruction(fake: Tensor, target: Tensor, same_person: Tensor) -> Tensor:
    """Mean |fake - target| over the rows whose source is the target's own person; 0 where there are none.

    fake, target: (N, 3, S, S) in one space; same_person: bool (N,).
    """
    chosen = same_person.to(fake.dtype)
    distance = (fake - target).abs().mean((1, 2, 3))
    return (distance * chosen).sum() / chosen.sum().clamp(min=1)


def weak_feature_matching(fake: Verdicts, real: Verdicts, last: int = 2) -> Tensor:
    """Mean |D_i(fake) - D_i(target)| over the `last` deepest hidden layers i: attributes are kept, texture is free.

    `real` is D's verdict on the target; it gets no gradient, so it may come from torch.no_grad().
    """
    terms = [
        F.l1_loss(feature.float(), wanted.detach().float())
        for (_, features), (_, targets) in zip(fake, real, strict=True)
        for feature, wanted in zip(features[-last:], targets[-last:], strict=True)
    ]
    return torch.stack(terms).mean()


def gradient_penalty(discriminator: Discriminator, images: Tensor, norm: float = 0.0) -> Tensor:
    """Mean (|dD/dx| - norm)^2 at the images, summed over scales; it needs float32 and a second backward pass.

    At real images with norm 0 it is R1 (Mescheder et al. 2018); at `interpolate(real, fake)` with norm 1 that of
    Gulrajani et al. 2017, which the SimSwap paper weighs with 1e-5. Batch normalisation in D couples a batch's images:
    each gradient then holds the others' share too.
    """
    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().float().requires_grad_()
        score = torch.stack([logits.mean((1, 2, 3)).sum() for logits, _ in discriminator(images)]).sum()
        (gradient,) = torch.autograd.grad(score, images, create_graph=True)
        squared = gradient.square().sum((1, 2, 3))
        return (squared if norm == 0 else ((squared + 1e-12).sqrt() - norm).square()).mean()


def interpolate(real: Tensor, fake: Tensor, random: torch.Generator | None = None) -> Tensor:
    """Images (N, 3, S, S) at a random place between each real one and its fake one; no gradient."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device, generator=random)
    return torch.lerp(fake.detach().float(), real.detach().float(), share)
