"""Two published marks in the initial noise, read by inverting the sampler: Tree-Ring and Gaussian shading.

Tree-Ring (Wen et al., "Tree-Ring Watermarks: Fingerprints for Diffusion Images that are Invisible and Robust", 2023): a
disc around the mean (DC) of each channel's Fourier plane holds values that are constant on rings, so that a turn about
the middle changes none. Unlike in the public code, the disc is centred on DC and the values are real and symmetric
(Hermitian), so that the noise is real and none of the key is lost; the rings lie around the middle of the crop, where
the face is.

Gaussian shading (Yang et al., "Gaussian Shading: Provable Performance-Lossless Image Watermarking for Diffusion
Models", 2024): each number of the noise keeps a magnitude of the normal distribution, and its sign is a bit of the
message, masked by a pseudo-random bit of the key. The message is the code of `train.marks.watermark.code`, 8,192 signs
of an ID and its CRC; with fewer numbers some signs are left out. Magnitudes are those of the key, so that a reader can
weigh by them.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from train.marks.keyed import Integers, normal, permutation, signs
from train.marks.watermark.code import CHIPS, WORDS, encode

Floats = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex128]
Shape = tuple[int, int, int]

KEY = b"published marks"
RADIUS = 4
"""Of the disc, cycles per side."""
_SIGNS = WORDS * CHIPS


def shaded_noise(mark_id: int, shape: Shape) -> Floats:
    """The initial noise of an ID: float32 (c, h, w), standard normal over random keys."""
    index, weights = _cells(math.prod(shape))
    return np.asarray((encode(mark_id).ravel()[index] * weights).reshape(shape), np.float32)


def soft_signs(estimate: Floats) -> Floats:
    """Soft values of the code, float32 (4, 2048), from an estimate (c, h, w) of noise that an ID shades."""
    index, weights = _cells(estimate.size)
    values = estimate.ravel().astype(np.float64) * weights
    return np.bincount(index, values, _SIGNS).reshape(WORDS, CHIPS).astype(np.float32)


@lru_cache(maxsize=4)
def _cells(count: int) -> tuple[Integers, Floats]:
    """Of each of `count` numbers: the index of its sign of the code; its magnitude times the sign of the key."""
    index = permutation(KEY, "order", -(-count // _SIGNS) * _SIGNS)[:count] % _SIGNS
    return index, np.abs(normal(KEY, "magnitudes", count)) * signs(KEY, "signs", count)


def with_rings(noise: Floats) -> Floats:
    """Noise (c, h, w) with the key in the discs of its channels; the rest of the Fourier planes is unchanged."""
    radius, centring = _plane(*noise.shape[1:])
    inside = radius >= 0
    spectrum = np.fft.fft2(noise)
    # A ring value is a standard normal number times sqrt(h w), the deviation of a Fourier coefficient of white noise.
    values = _key(len(noise), int(radius.max()) + 1) * np.sqrt(radius.size)
    spectrum[:, inside] = values[:, radius[inside]] * centring[inside]
    return np.asarray(np.fft.ifft2(spectrum).real, np.float32)


def ring_score(estimate: Floats) -> float:
    """The key's correlation with an estimate of the noise (c, h, w), in standard deviations.

    For every estimate that does not depend on the key it is standard normal over random keys: the sum of the estimate
    over each ring, (c, rings), has some direction, and a key of independent normal numbers is projected on it.
    """
    radius, centring = _plane(*estimate.shape[1:])
    inside = radius >= 0
    values = (np.fft.fft2(estimate)[:, inside] * centring[inside].conj()).real
    sums = np.stack([np.bincount(radius[inside], channel) for channel in values])
    return float((_key(*sums.shape) * sums).sum() / max(float(np.linalg.norm(sums)), 1e-12))


def _key(channels: int, rings: int) -> Floats:
    return normal(KEY, "rings", channels * (RADIUS + 1)).reshape(channels, RADIUS + 1)[:, :rings]


@lru_cache(maxsize=4)
def _plane(height: int, width: int) -> tuple[Integers, Complex]:
    """The ring of each frequency, int64 (h, w), -1 outside of the disc; the phase of the middle of the plane."""
    v, u = np.meshgrid(np.fft.fftfreq(height, 1 / height), np.fft.fftfreq(width, 1 / width), indexing="ij")
    radius = np.rint(np.hypot(u, v)).astype(np.int64)
    # Smaller planes: no frequency without a conjugate of its own.
    radius[radius > min(RADIUS, (min(height, width) - 1) // 2)] = -1
    centring = np.exp(-2j * np.pi * (u * (width // 2) / width + v * (height // 2) / height))
    return radius, centring
