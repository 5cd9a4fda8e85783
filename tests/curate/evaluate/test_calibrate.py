"""curate/evaluate/calibrate.py: faces in, a usable calibration out, the same for the same seed."""

import numpy as np
import pytest
import torch

from curate.errors import SourceError
from curate.evaluate import degradations
from curate.evaluate.calibrate import MIN_FACES, calibrate, degraded_statistics
from curate.measure import sharpness
from tests.samples.measured_faces import ASTRONAUT, batch


def faces(count: int):
    """Versions of one face that are equally sharp and never equal: turned, lit and mirrored differently."""
    random = np.random.default_rng(1)
    for index in range(count):
        crop = degradations.noise(degradations.brightness(ASTRONAUT.crop, random.uniform(0.6, 1.2)), 2, random)
        crop = crop[:, ::-1].copy() if index % 2 else crop
        yield crop, ASTRONAUT.labels, ASTRONAUT.points, 1.0


def test_own_calibration_tells_blurred_from_sharp_and_is_repeatable():
    own = calibrate(faces(MIN_FACES), seed=3, provenance={"photos": "one face"})
    versions = [
        ASTRONAUT.crop,
        degradations.gaussian(ASTRONAUT.crop, 2.5),
        degradations.low_resolution(ASTRONAUT.crop, 5),
    ]
    scores = sharpness.sharpness(*batch(versions), torch.ones(3), own)["sharpness"]
    assert scores[0] > 0.5 > max(scores[1], scores[2])
    assert own.provenance == {"faces": MIN_FACES, "seed": 3, "photos": "one face"}
    assert own.enlarged <= 0


def test_same_seed_same_numbers():
    first, again, other = (degraded_statistics(faces(3), seed)[0]["laplacian"] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_too_few_faces_are_refused():
    with pytest.raises(SourceError, match=f"2 faces are too few .* at least {MIN_FACES}"):
        calibrate(faces(2))
    with pytest.raises(SourceError, match="0 faces"):
        calibrate([])
