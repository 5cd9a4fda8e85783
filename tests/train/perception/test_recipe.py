"""The schedule of the segmenter's training."""

import pytest

from train.perception.recipe import PHASES, learning_rate, phase_at


def test_phases_begin_at_their_share_of_the_images() -> None:
    assert phase_at(0) is PHASES[0]
    assert phase_at(0.45) is PHASES[1]
    assert phase_at(0.999) is PHASES[-1]


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    rates = [learning_rate(images, 1000, 100, 2.0) for images in (0, 50, 100, 500, 1000)]
    assert rates == pytest.approx([0.02, 1.0137, 1.9511, 1.0, 0.0], abs=1e-3)
