"""Poses of the demo's views."""

from dataclasses import astuple

import numpy as np
import pytest

from curate.evaluate.demo_views import poses


@pytest.mark.parametrize("count", [3, 14, 20])
def test_no_two_poses_are_close(count: int) -> None:
    drawn = np.array([astuple(pose)[:5] for pose in poses(count, np.random.default_rng(0))])
    scaled = (drawn - drawn.min(0)) / np.ptp(drawn, 0)
    distance = np.linalg.norm(scaled[:, None] - scaled, axis=-1)
    assert distance[~np.eye(count, dtype=bool)].min() > 0.35


def test_yaw_pitch_and_expression_are_hardly_correlated() -> None:
    drawn = np.array([astuple(pose)[:5] for pose in poses(14, np.random.default_rng(0))])
    assert (np.abs(np.corrcoef(drawn.T) - np.eye(5)) < 0.65).all()
