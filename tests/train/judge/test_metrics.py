"""Metrics of swaps: against scikit-image, and against known rotations and shifts."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from curate.measure.pose import MEAN_FACE
from train.judge import metrics


def noisy_images(count: int = 3, side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth random images (N, 3, S, S), and the same with noise."""
    random = torch.Generator().manual_seed(0)
    clean = torch.nn.functional.avg_pool2d(torch.rand(count, 3, side + 4, side + 4, generator=random), 5, 1)
    return clean, (clean + 0.05 * torch.randn(clean.shape, generator=random)).clamp(0, 1)


def test_psnr_and_ssim_equal_those_of_scikit_image() -> None:
    clean, noisy = noisy_images()
    psnr, ssim = metrics.psnr(noisy, clean), metrics.ssim(noisy, clean)
    for index in range(len(clean)):
        a, b = (images[index].permute(1, 2, 0).double().numpy() for images in (clean, noisy))
        assert psnr[index].item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1.0), abs=1e-5)
        expected = structural_similarity(
            a, b, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim[index].item() == pytest.approx(expected, abs=1e-6)
    assert metrics.ssim(clean, clean).allclose(torch.ones(3, dtype=torch.float64))
    assert metrics.psnr(clean, clean).isinf().all()


def rotated_face(yaw: float, pitch: float) -> torch.Tensor:
    """Landmarks (1, 5, 2) of the mean face rotated by degrees, in orthographic projection, 60 px between the eyes."""
    y, p = np.radians([yaw, pitch])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return 60 * (MEAN_FACE @ torch.from_numpy(about_x @ about_y).T)[None, :, :2]


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (20, 0), (-35, 0), (0, 15)])
def test_pose_error_is_the_angle_between_head_poses(yaw: float, pitch: float) -> None:
    error = metrics.pose_error(1.7 * rotated_face(yaw, pitch) + 12, rotated_face(0, 0))
    assert error.item() == pytest.approx(max(abs(yaw), abs(pitch)), abs=0.5)


def test_landmark_error_is_in_eye_distances() -> None:
    points = rotated_face(10, 0)
    missing = torch.full_like(points, torch.nan)
    error = metrics.landmark_error(torch.cat([points + torch.tensor([3.0, 4.0]), missing]), points.repeat(2, 1, 1), 50)
    assert error[0].item() == pytest.approx(0.1)
    assert error[1].isnan()
    assert metrics.pose_error(missing, points).isnan().all()


def test_gain_and_distance_compare_directions() -> None:
    source, target = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    swap = torch.tensor([[1.0, 1.0]])
    assert metrics.identity_gain(swap, source, target).item() == pytest.approx(0.5**0.5)
    assert metrics.cosine_distance(target, source).item() == pytest.approx(1)


def test_the_rank_of_a_person_is_that_of_another_photo_than_the_source() -> None:
    # Two photos of person 0, one each of 1 and 2.
    photos = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    people = np.array([0, 0, 1, 2])
    swaps = torch.stack([photos[0], torch.tensor([0.3, 0.9, 0.0]), photos[3], photos[3]])
    # The last swap equals its target, person 2, instead of showing person 1.
    sources = np.array([0, 0, 3, 2])
    assert metrics.retrieval_rank(swaps, sources, photos, people).tolist() == [1, 2, 1, 2]
    # With both photos of person 0 as sources none is left, so none is excluded; -1 stands for no photo.
    both = np.array([[0, 1], [0, 1], [3, -1], [2, -1]])
    assert metrics.retrieval_rank(swaps, both, photos, people).tolist() == [1, 2, 1, 2]
    # Without person 0 in the gallery, its swaps rank behind everyone in it.
    assert metrics.retrieval_rank(swaps[:1], sources[:1], photos, people, np.array([3, 2])).tolist() == [3]


def test_overlap_compares_the_parts_that_the_reference_shows() -> None:
    reference = torch.zeros(1, 2, 4, 4)
    reference[0, 0, 0] = 1  # the second part is hidden
    shifted = reference.roll(2, 3).clone()
    assert metrics.overlap(reference, reference).item() == pytest.approx(1)
    half = reference.clone()
    half[0, 0, 0, 2:] = 0
    half[0, 1] = 1
    assert metrics.overlap(half, reference).item() == pytest.approx(0.5)
    assert metrics.overlap(shifted.roll(1, 2), reference).item() == 0
    assert metrics.overlap(reference, torch.zeros_like(reference)).isnan()
