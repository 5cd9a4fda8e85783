"""Metrics: against scikit-image, against known turns and shifts, and intervals that cover what they should."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from curate.measure.pose import MEAN_FACE
from train.judge import metrics


def pictures(count: int = 3, side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    one = torch.nn.functional.avg_pool2d(torch.rand(count, 3, side + 4, side + 4, generator=random), 5, 1)
    return one, (one + 0.05 * torch.randn(one.shape, generator=random)).clamp(0, 1)


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    one, other = pictures()
    psnr, ssim = metrics.psnr(other, one), metrics.ssim(other, one)
    for index in range(len(one)):
        a, b = (images[index].permute(1, 2, 0).double().numpy() for images in (one, other))
        assert psnr[index].item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1.0), abs=1e-5)
        expected = structural_similarity(
            a, b, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim[index].item() == pytest.approx(expected, abs=1e-6)
    assert metrics.ssim(one, one).allclose(torch.ones(3, dtype=torch.float64))
    assert metrics.psnr(one, one).isinf().all()


def turned(yaw: float, pitch: float) -> torch.Tensor:
    """Five points of the mean face so turned, seen from afar, 60 px between the eyes."""
    y, p = np.radians([yaw, pitch])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return 60 * (MEAN_FACE @ torch.from_numpy(about_x @ about_y).T)[None, :, :2]


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (20, 0), (-35, 0), (0, 15)])
def test_pose_error_is_the_angle_between_heads(yaw: float, pitch: float) -> None:
    error = metrics.pose_error(1.7 * turned(yaw, pitch) + 12, turned(0, 0))
    assert error.item() == pytest.approx(max(abs(yaw), abs(pitch)), abs=0.5)


def test_landmark_error_counts_in_eye_distances() -> None:
    points = turned(10, 0)
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
    assert metrics.relative_fall(np.array([0.3]), np.array([0.4])) == pytest.approx(25)


def test_a_person_is_retrieved_by_another_photo_than_the_source() -> None:
    # Two photos of person 0, one each of 1 and 2.
    gallery = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    people = np.array([0, 0, 1, 2])
    swaps = torch.stack([gallery[0], torch.tensor([0.3, 0.9, 0.0]), gallery[3], gallery[3]])
    # The last one is like its target, person 2, although it should show person 1.
    assert metrics.retrieved(swaps, np.array([0, 0, 3, 2]), gallery, people).tolist() == [True, False, True, False]


def test_an_interval_by_person_is_wider_than_one_by_pair_where_people_differ() -> None:
    random = np.random.default_rng(3)
    person = np.repeat(np.arange(12), 50)
    values = random.normal(0, 1, 12)[person] + random.normal(0, 0.1, 600)
    by_person = metrics.interval(values, [person])
    by_pair = metrics.interval(values, [np.arange(600)])
    assert by_person[0] < values.mean() < by_person[1]
    assert by_person[1] - by_person[0] > 3 * (by_pair[1] - by_pair[0])
    assert metrics.interval(values, [person]) == by_person


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    target, source = np.repeat(np.arange(20), 20), np.tile(np.arange(20), 20)
    hits = 0
    for _ in range(100):
        values = 5 + random.normal(0, 1, 20)[target] + random.normal(0, 1, 20)[source] + random.normal(0, 1, 400)
        low, high = metrics.interval(values, [target, source], draws=200)
        hits += low < 5 < high
    assert 85 <= hits <= 100


def test_the_interval_of_a_ratio_is_paired() -> None:
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(10), 20)
    baseline = random.uniform(0.3, 1.0, 10)[person]
    columns = np.stack([0.9 * baseline, baseline], 1)
    low, high = metrics.interval(columns, [person], lambda means: metrics.relative_fall(means[:, 0], means[:, 1]))
    assert (low, high) == pytest.approx((10, 10))


def test_one_person_has_no_interval_and_missing_numbers_are_left_out() -> None:
    assert np.isnan(metrics.interval(np.ones(4), [np.zeros(4, np.int64)])).all()
    low, high = metrics.interval(np.array([1.0, np.nan, 1.0, np.nan]), [np.array([0, 1, 2, 3])])
    assert (low, high) == (1, 1)
