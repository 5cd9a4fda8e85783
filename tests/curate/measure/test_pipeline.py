"""The batched pipeline: batches larger than the GPU's memory, and measures beyond the table's."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curate.faces import align
from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.faces import Faces
from curate.faces.models import Models, load
from curate.measure.photos import BATCH_PHOTOS
from curate.measure.pipeline import Pipeline
from curate.measure.settings import MeasureSettings
from curate.measure.table import MEASURES, Measure
from curate.sources import Entry, Source, open_source
from manifests.layout import ChoiceRecord
from tests.samples.measured_faces import ASTRONAUT_PHOTO


@dataclass
class LimitedDetector:
    """A detector that runs out of memory on more than `max_photos` photos."""

    detector: Mtcnn
    max_photos: int
    confident_score = Mtcnn.confident_score

    def __call__(self, photos: list[np.ndarray]) -> Faces:
        if len(photos) > self.max_photos:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.detector(photos)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Eight photos of one person, each cut from another place of the same picture."""
    root = tmp_path_factory.mktemp("source")
    (root / "anna").mkdir()
    for k in range(8):
        Image.fromarray(ASTRONAUT_PHOTO[4 * k : 300 + 4 * k, 60:360]).save(root / "anna" / f"{k}.png")
    return open_source("folder", root)


@pytest.fixture(scope="module")
def entries(source: Source) -> list[Entry]:
    return source.entries("anna")


@pytest.fixture(scope="module")
def models() -> Models:
    return load(ChoiceRecord("builtin"), "cpu")


def with_memory_for(photos: int, models: Models) -> Models:
    assert isinstance(models.detector, Mtcnn)
    return replace(models, detector=LimitedDetector(models.detector, photos))


def test_a_batch_that_exceeds_memory_is_measured_in_parts(source: Source, entries: list[Entry], models: Models) -> None:
    (whole,) = Pipeline(source, models, MeasureSettings())(entries)
    parts = list(Pipeline(source, with_memory_for(3, models), MeasureSettings())(entries))
    assert len(parts) == 4
    photos = [photo for part in parts for photo in part.photos]
    assert [photo.entry for photo in photos] == entries
    assert [photo.columns for photo in photos] == [photo.columns for photo in whole.photos]
    boxes = np.concatenate([part.faces.box for part in parts])
    assert len(boxes) == 8
    np.testing.assert_allclose(boxes, whole.faces.box, atol=1e-2)


def test_batches_in_flight_keep_their_order_and_their_bytes(
    source: Source, entries: list[Entry], models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BATCH_PHOTOS, "cpu", 2)
    one, many = (list(Pipeline(source, models, MeasureSettings(), threads)(entries)) for threads in (1, 8))
    assert [photo.entry for batch in many for photo in batch.photos] == entries
    assert len(one) == len(many) == 4
    for first, second in zip(one, many, strict=True):
        assert first.crops == second.crops
        assert first.masks == second.masks
        np.testing.assert_array_equal(first.embeddings, second.embeddings)
        assert first.columns.keys() == second.columns.keys()
        for name, values in first.columns.items():
            np.testing.assert_array_equal(values, second.columns[name])


def test_a_photo_that_exceeds_memory_is_an_error(source: Source, entries: list[Entry], models: Models) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(Pipeline(source, with_memory_for(0, models), MeasureSettings())(entries))


def test_measures_can_be_added(source: Source, entries: list[Entry], models: Models) -> None:
    grain = Measure("grain", "face", ("grain",), ("crops",), lambda crops: {"grain": crops.float().std((1, 2, 3))})
    aspect = Measure("aspect", "photo", ("aspect",), ("width", "height"), lambda w, h: {"aspect": w / h})
    pipeline = Pipeline(source, models, MeasureSettings(), measures=(*MEASURES, grain, aspect))
    (batch,) = pipeline(entries[:2])
    assert batch.columns["grain"].shape == (len(batch.faces),)
    assert [photo.columns["aspect"] for photo in batch.photos] == [1.0, 1.0]


def test_label_maps_are_background_outside_the_photo(tmp_path: Path, models: Models) -> None:
    (tmp_path / "anna").mkdir()
    Image.fromarray(ASTRONAUT_PHOTO[60:180, 160:290]).save(tmp_path / "anna" / "0.png")  # cut at hair and cheek
    narrow = open_source("folder", tmp_path)
    (batch,) = Pipeline(narrow, models, MeasureSettings())(narrow.entries("anna"))
    labels = np.asarray(Image.open(io.BytesIO(batch.masks[0])))
    inside = align.inside_mask(batch.matrices, labels.shape, [(120, 130)])[0]
    assert 0.1 < inside.mean() < 0.9
    assert (labels[~inside] == 0).all()
    assert (labels[inside] != 0).mean() > 0.5
