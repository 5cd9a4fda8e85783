"""The batched pipeline where the GPU's memory is smaller than a batch."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.faces import Faces
from curate.faces.models import Choice, load
from curate.measure.pipeline import Pipeline, Settings
from curate.sources import open_source
from tests.conftest import Cleaned

Images = list[np.ndarray]


class Greedy:
    """A detector that wants too much memory for more than `most` photos at once."""

    def __init__(self, detector: Mtcnn, most: int) -> None:
        self.detector, self.most = detector, most

    def __call__(self, images: Images) -> Faces:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.detector(images)


def test_a_batch_that_memory_does_not_hold_is_measured_in_parts(cleaned: Cleaned) -> None:
    source = open_source("vggface2", cleaned.photos)
    entries = list(chain.from_iterable(source.entries(name) for name in source.identities()))[:8]
    models = load(Choice("builtin"), "cpu")
    assert isinstance(models.detector, Mtcnn)
    whole = list(Pipeline(source, models, Settings())(entries))
    small = replace(models, detector=Greedy(models.detector, 3))
    parts = list(Pipeline(source, small, Settings())(entries))
    assert (len(whole), len(parts)) == (1, 4)
    names = [photo.entry.image_id for part in parts for photo in part.photos]
    assert names == [entry.image_id for entry in entries]
    assert np.array_equal(whole[0].phash, np.concatenate([part.phash for part in parts]))
    boxes = np.concatenate([part.faces.box for part in parts])
    assert len(boxes) > 0
    np.testing.assert_allclose(boxes, whole[0].faces.box, atol=1e-2)
    with pytest.raises(torch.OutOfMemoryError):
        list(Pipeline(source, replace(models, detector=Greedy(models.detector, 0)), Settings())(entries))
