"""Metrics of swaps: pure functions of embeddings, landmarks and images; no models and no files.

Embeddings are float (N, D) and compared by cosine. Images are float (N, 3, H, W), RGB in [0, 1]. Landmarks are
(N, 5, 2), in the order of manifests/landmarks.py.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from curate.measure.pose import fit_rotation

Indices = npt.NDArray[np.int64]

_WINDOW, _SIGMA = 11, 1.5  # of the Gaussian window of SSIM, px


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cos(a, b) of each row: (N,), 0 to 2."""
    return 1 - F.cosine_similarity(a.float(), b.float())


def identity_gain(swap: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """cos(swap, source) - cos(target, source): (N,), positive where the swap is closer to the source than the target.

    Args:
        swap, source, target: (N, D) embeddings.
    """
    return F.cosine_similarity(swap.float(), source.float()) - F.cosine_similarity(target.float(), source.float())


def retrieval_rank(
    swap: Tensor, sources: Indices, embeddings: Tensor, people: Indices, gallery: Indices | None = None
) -> Tensor:
    """Rank of the source's person among the gallery's people, by their photo nearest to a swap: int64 (N,), from 1.

    The source photos themselves are excluded where their person has others in the gallery, so that the identity is
    retrieved and not the image. The target photo is not excluded.

    Args:
        swap: (N, D) embeddings.
        sources: (N,) or (N, K) rows of the photos that each swap's identity is from; -1 for none.
        embeddings: (M, D), of all photos.
        people: (M,) person of each photo.
        gallery: (G,) rows of the photos that are searched; None for all.
    """
    gallery = np.arange(len(people)) if gallery is None else gallery
    gallery = gallery[np.argsort(people[gallery], kind="stable")]
    sources = sources.reshape(len(sources), -1)
    photos = F.normalize(embeddings[torch.from_numpy(gallery).to(embeddings.device)].float())
    similarity = (F.normalize(swap.float()) @ photos.T).cpu().numpy()  # (N, G)
    person_of = people[gallery]
    for row, photos_of in enumerate(sources):
        excluded = np.isin(gallery, photos_of[photos_of >= 0])
        if ((person_of == people[photos_of[0]]) & ~excluded).any():
            similarity[row, excluded] = -np.inf
    names, first = np.unique(person_of, return_index=True)
    nearest = np.maximum.reduceat(similarity, first, axis=1)  # (N, P), of each person's photos
    own = np.where(names == people[sources[:, :1]], nearest, -np.inf).max(1, keepdims=True)
    return torch.from_numpy(1 + (nearest > own).sum(1))


def overlap(parts: Tensor, reference: Tensor) -> Tensor:
    """Soft intersection over union of the parts of a face, mean over the parts that the reference shows: (N,), 0 to 1.

    sum min(p, q) / sum max(p, q) over the positions, for probabilities p and q. NaN where the reference shows no part.

    Args:
        parts, reference: (N, P, H, W), probability of each part at each position.
    """
    p, q = parts.float(), reference.float()
    ratio = torch.minimum(p, q).sum((2, 3)) / torch.maximum(p, q).sum((2, 3)).clamp(min=1e-6)  # (N, P)
    shown = (q.amax((2, 3)) > 0.5).float()
    return (ratio * shown).sum(1) / shown.sum(1)


def pose_error(landmarks: Tensor, reference: Tensor) -> Tensor:
    """Angle between the head poses of two sets of landmarks (N, 5, 2), about any axis: degrees (N,).

    NaN where either set has a NaN.
    """
    rotation = fit_rotation(landmarks) @ fit_rotation(reference).mT
    # trace R = 1 + 2 cos(angle)
    cosine = (rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))


def landmark_error(landmarks: Tensor, reference: Tensor, eye_distance: float) -> Tensor:
    """Mean distance of five landmarks (N, 5, 2) from a reference, in eye distances: (N,), NaN where either has a NaN.

    Args:
        landmarks, reference: in the same unit.
        eye_distance: of a frontal face on the same crop, in that unit; that of a profile would be close to 0.
    """
    distance: Tensor = (landmarks - reference).double().square().sum(2).sqrt()
    return distance.mean(1) / eye_distance


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all pixels and channels: dB (N,); infinite for equal images."""
    return -10 * torch.log10((image.double() - reference.double()).square().mean((1, 2, 3)))


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), mean over channels: (N,), at most 1.

    A Gaussian window of 11 px and sigma 1.5; positions where it reaches over the edge are left out.
    """
    offset = torch.arange(_WINDOW, dtype=torch.float64, device=image.device) - _WINDOW // 2
    weights = torch.exp(-offset.square() / (2 * _SIGMA**2))
    weights = weights / weights.sum()

    def local_mean(x: Tensor) -> Tensor:
        blurred = F.conv2d(F.conv2d(x.flatten(0, 1)[:, None], weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
        return blurred.view(len(x), -1, *blurred.shape[2:])

    x, y = image.double(), reference.double()
    mean_x, mean_y = local_mean(x), local_mean(y)
    # sigma_xy = E[x y] - mu_x mu_y; C1 = (0.01 L)^2 and C2 = (0.03 L)^2 with the range L = 1.
    variance_x = local_mean(x * x) - mean_x.square()
    variance_y = local_mean(y * y) - mean_y.square()
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2)
    return (numerator / denominator).mean((1, 2, 3))
