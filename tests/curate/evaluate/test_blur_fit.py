"""Blur calibration: separates blurred faces from sharp ones, and gives the same numbers for the same seed."""

import numpy as np
import pytest
import torch

from curate.errors import SourceError
from curate.evaluate import degradations
from curate.evaluate.blur_fit import MIN_FACES, AlignedFace, degraded_statistics, fit_calibration
from curate.measure import sharpness
from tests.samples.measured_faces import ASTRONAUT, batch


def faces(count: int):
    """Different versions of one face that are equally sharp: with other brightness and noise, every second mirrored."""
    random = np.random.default_rng(1)
    for index in range(count):
        crop = degradations.noise(degradations.brightness(ASTRONAUT.crop, random.uniform(0.6, 1.2)), 2, random)
        crop = crop[:, ::-1].copy() if index % 2 else crop
        yield AlignedFace(crop, ASTRONAUT.labels, ASTRONAUT.points, 1.0)


def test_a_calibration_separates_blurred_from_sharp_and_records_its_provenance():
    calibration = fit_calibration(faces(MIN_FACES), seed=3, provenance={"photos": "one face"})
    versions = [
        ASTRONAUT.crop,
        degradations.gaussian(ASTRONAUT.crop, 2.5),
        degradations.low_resolution(ASTRONAUT.crop, 5),
    ]
    scores = sharpness.sharpness(*batch(versions), torch.ones(3), calibration)["sharpness"]
    assert scores[0] > 0.5 > max(scores[1], scores[2])
    assert calibration.provenance == {"faces": MIN_FACES, "seed": 3, "photos": "one face"}
    assert calibration.enlarged <= 0


def test_the_same_seed_gives_the_same_statistics():
    first, again, other = (degraded_statistics(faces(3), seed).columns["laplacian"] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_too_few_faces_are_refused():
    with pytest.raises(SourceError, match=f"2 faces are too few .* at least {MIN_FACES}"):
        fit_calibration(faces(2))
    with pytest.raises(SourceError, match="0 faces"):
        fit_calibration([])
