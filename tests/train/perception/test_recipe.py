"""The schedule of the segmenter's training."""

import pytest

from train.perception.recipe import FINE_TUNING, FROM_SCRATCH, Phase, learning_rate, phase_at


@pytest.mark.parametrize("phases", [FROM_SCRATCH, FINE_TUNING])
def test_phases_begin_at_their_share_of_the_images(phases: tuple[Phase, ...]) -> None:
    assert phase_at(phases, 0) is phases[0]
    assert phase_at(phases, phases[1].start) is phases[1]
    assert phase_at(phases, 0.999) is phases[-1]
    assert all(phase.size % 16 == 0 and phase.size % phase.stride == 0 for phase in phases)


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    rates = [learning_rate(images, 1000, 100, 2.0) for images in (0, 50, 100, 500, 1000)]
    assert rates == pytest.approx([0.02, 1.0137, 1.9511, 1.0, 0.0], abs=1e-3)
