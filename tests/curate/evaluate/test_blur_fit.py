"""Blur calibration: separates blurred faces from sharp ones, and gives the same numbers for the same seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from curate.errors import SourceError
from curate.evaluate import degradations
from curate.evaluate.blur_fit import MIN_FACES, AlignedFace, LabelledFace, fit_calibration, fit_data, fit_monotone
from curate.measure import sharpness
from tests.samples.measured_faces import ASTRONAUT, batch


def faces(count: int):
    """Different versions of one face that are equally sharp: with other brightness and noise, every second mirrored."""
    random = np.random.default_rng(1)
    for index in range(count):
        crop = degradations.noise(degradations.brightness(ASTRONAUT.crop, random.uniform(0.6, 1.2)), 2, random)
        crop = crop[:, ::-1].copy() if index % 2 else crop
        yield AlignedFace(crop, ASTRONAUT.labels, ASTRONAUT.points)


def test_a_calibration_separates_blurred_from_sharp_and_records_its_provenance():
    calibration = fit_calibration(faces(MIN_FACES), seed=3, provenance={"photos": "one face"})
    versions = [
        ASTRONAUT.crop,
        degradations.gaussian(ASTRONAUT.crop, 2.5),
        degradations.low_resolution(ASTRONAUT.crop, 5),
    ]
    scores = sharpness.sharpness(*batch(versions), calibration)["sharpness"]
    assert scores[0] > 0.5 > max(scores[1], scores[2])
    assert calibration.provenance == {"faces": MIN_FACES, "labelled": 0, "seed": 3, "photos": "one face"}
    assert min(calibration.weight) >= 0


def test_labelled_faces_count_as_much_as_degraded_ones():
    """A person to whom a slight blur is blur: the fit follows."""
    slight = replace(next(faces(1)), crop=degradations.gaussian(ASTRONAUT.crop, 1.2))
    labelled = [LabelledFace(face, False) for face in faces(3)] + [LabelledFace(slight, True)] * 3
    without, with_labels = (fit_calibration(faces(MIN_FACES), labelled=given) for given in ((), labelled))
    assert with_labels.provenance["labelled"] == 6
    assert with_labels != without


def test_a_statistic_that_counts_against_sharpness_is_left_out():
    inputs = torch.tensor([[0.0, 1.0], [0.2, 0.7], [0.8, 0.4], [1.0, 0.0]], dtype=torch.float64)
    weights, _ = fit_monotone(inputs, torch.tensor([False, False, True, True]), torch.ones(4))
    assert weights[0] > 0 == weights[1]


def test_the_same_seed_gives_the_same_statistics():
    first, again, other = (fit_data(faces(3), seed).columns["fine_ratio"] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_too_few_faces_are_refused():
    with pytest.raises(SourceError, match=f"2 faces are too few .* at least {MIN_FACES}"):
        fit_calibration(faces(2))
    with pytest.raises(SourceError, match="0 faces"):
        fit_calibration([])
