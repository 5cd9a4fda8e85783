"""Random numbers of a key, and the marks in initial noise that the benchmark makes of them."""

import numpy as np
import pytest

from bench.noise_marks import REFERENCES, matched_score
from bench.published_marks import RADIUS, ring_score, shaded_noise, soft_signs, with_rings
from tests.samples.marks import MARK_ID
from train.marks.keyed import normal, permutation, signs
from train.marks.watermark.code import decode

SHAPES = [(16, 12, 12), (16, 28, 28), (16, 13, 13)]


def noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_numbers_of_a_key_never_change() -> None:
    assert normal(b"key", "purpose", 4).round(3).tolist() == pytest.approx([-0.416, 0.194, 0.496, -0.274])
    assert signs(b"key", "purpose", 4).tolist() == [-1, 1, 1, -1]
    assert permutation(b"key", "purpose", 5).tolist() == [4, 2, 1, 0, 3]
    many = normal(b"key", "purpose", 10_000)
    assert many.mean() == pytest.approx(0, abs=0.03)
    assert many.std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("shape", SHAPES)
def test_rings_are_real_centred_and_outlive_a_turn(shape: tuple[int, int, int]) -> None:
    base = noise(2, shape)
    marked = with_rings(base)
    assert marked.std() == pytest.approx(1, abs=0.1)  # the disc has only 80 free values
    assert ring_score(marked) > 6
    assert ring_score(marked + 2 * noise(3, shape)) > 4
    assert abs(ring_score(base)) < 4
    # Only the disc was changed; the mean of each plane is its centre.
    changed = (np.abs(np.fft.fft2(marked) - np.fft.fft2(base)) > 1e-2).any(0)
    rows, columns = np.argwhere(np.fft.fftshift(changed)).T
    assert (np.rint(np.hypot(rows - shape[1] // 2, columns - shape[2] // 2)) <= RADIUS).all()
    assert changed.sum() == 69
    if shape[1] % 2:
        assert ring_score(np.rot90(marked, axes=(1, 2))) == pytest.approx(ring_score(marked), abs=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_shading_is_normal_and_carries_the_id(shape: tuple[int, int, int]) -> None:
    marked = shaded_noise(MARK_ID, shape)
    assert marked.std() == pytest.approx(1, abs=0.03)
    assert (np.abs(marked) < 1).mean() == pytest.approx(0.683, abs=0.02)
    assert abs((marked[:, :, 1:] * marked[:, :, :-1]).mean()) < 0.06
    decoded = decode(soft_signs(marked + 2 * noise(8, shape)))
    assert decoded.valid
    assert decoded.mark_id == MARK_ID
    assert decode(soft_signs(noise(9, shape))).score < 17


def test_the_matched_score_finds_the_noise_that_was_used() -> None:
    noises = normal(b"key", "noises", (1 + REFERENCES) * 2304).reshape(-1, 16, 12, 12)
    marked = [matched_score(noise(seed, noises.shape[1:]) + 0.5 * noises[0], 0.3 * noises) for seed in range(5)]
    unmarked = [matched_score(noise(seed, noises.shape[1:]), 0.3 * noises) for seed in range(50)]
    assert min(marked) > 8
    assert abs(np.mean(unmarked)) < 0.6
    assert max(unmarked) < 4.5
