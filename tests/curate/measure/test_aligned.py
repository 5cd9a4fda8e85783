"""Packs of 112 px crops: found by the landmarks of a sample, stored pixel for pixel."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import curate
from curate.decode import decode
from curate.errors import ModelError
from curate.faces import align
from curate.faces.detectors.detector import Detector
from curate.faces.faces import Faces
from curate.faces.models import load_detector
from curate.measure.aligned import TEMPLATE, displacements, is_aligned, moved_to_template
from curate.measure.measure import plan
from curate.measure.request import MeasureRequest
from curate.sources import open_source
from manifests.landmarks import TEMPLATES
from manifests.layout import ChoiceRecord, read_info
from manifests.reader import Dataset
from tests.samples.listener import Recorder
from tests.samples.measured_faces import GROUP_PHOTO
from tests.samples.recordio import write_pack

LINE = "the photos are 112 px crops aligned to arcface-112: stored as they are, without resampling; "


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(ChoiceRecord("builtin"), "cpu", max_faces=6)


@pytest.fixture(scope="module")
def group(detector: Detector) -> Faces:
    return detector([GROUP_PHOTO])


@pytest.fixture(scope="module")
def crops(group: Faces) -> list[np.ndarray]:
    """Twelve aligned crops of six persons: as an aligner cuts them whose landmarks are up to 1.5 px off."""
    noise = np.random.default_rng(0).uniform(-1.5, 1.5, (2, *group.landmarks.shape)).astype(np.float32)
    made = [replace(group, landmarks=group.landmarks + shift).crop([GROUP_PHOTO], TEMPLATE) for shift in noise]
    return [np.ascontiguousarray(crop) for part in made for crop in part.permute(0, 2, 3, 1).numpy()]


def save(folder: Path, photos: list[np.ndarray]) -> Path:
    for number, photo in enumerate(photos):
        (folder / f"{number % 6}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(folder / f"{number % 6}" / f"{number}.png")
    return folder


def unaligned(crops: list[np.ndarray], kind: str, group: Faces) -> list[np.ndarray]:
    """Photos of 112 px that are no crops of the template."""
    if kind == "another template":
        wide = TEMPLATES["simswap-224"]
        matrices = align.rescale_matrices(group.matrices(wide), 0.5)
        return list(align.warp([GROUP_PHOTO], group.photo, matrices, TEMPLATE.size).permute(0, 2, 3, 1).numpy())
    if kind == "another size":
        return [cv2.resize(crop, (128, 128)) for crop in crops]
    if kind == "boxes":
        boxes = group.box.astype(int)
        return [cv2.resize(GROUP_PHOTO[y0:y1, x0:x1], TEMPLATE.size) for x0, y0, x1, y1 in boxes]
    return crops[:3]


@pytest.mark.parametrize("kind", ["another template", "another size", "boxes", "three photos"])
def test_other_photos_of_112_px_are_not_aligned(
    tmp_path: Path, crops: list[np.ndarray], group: Faces, detector: Detector, kind: str
) -> None:
    source = open_source("folder", save(tmp_path, unaligned(crops, kind, group)))
    assert not is_aligned(source, source.identities(), lambda: detector)


def test_no_detector_is_loaded_for_other_sizes(tmp_path: Path, crops: list[np.ndarray]) -> None:
    def load() -> Detector:
        raise ModelError("a detector was loaded")

    source = open_source("folder", save(tmp_path, [cv2.resize(crop, (90, 90)) for crop in crops]))
    assert not is_aligned(source, source.identities(), load)


def test_the_crop_of_an_aligned_photo_is_the_photo(crops: list[np.ndarray], detector: Detector) -> None:
    detected = detector(crops).largest().alignable()
    assert len(detected) == len(crops)
    assert 0.5 < displacements(detected).max() < 8
    faces = moved_to_template(detected, crops)
    np.testing.assert_array_equal(faces.crop(crops, TEMPLATE).permute(0, 2, 3, 1).numpy(), np.stack(crops))
    shape = align.fit(detected.landmarks, TEMPLATE)[1]
    np.testing.assert_allclose(align.fit(faces.landmarks, TEMPLATE)[1], shape, rtol=1e-4)


def test_a_face_elsewhere_in_an_aligned_photo_stays_where_it_is(crops: list[np.ndarray], detector: Detector) -> None:
    moved = [np.roll(crop, 20, 1) for crop in crops]
    detected = detector(moved).largest().alignable()
    np.testing.assert_array_equal(moved_to_template(detected, moved).landmarks, detected.landmarks)
    larger = [cv2.copyMakeBorder(crop, 0, 1, 0, 1, cv2.BORDER_REPLICATE) for crop in crops]
    detected = detector(larger).largest().alignable()
    np.testing.assert_array_equal(moved_to_template(detected, larger).landmarks, detected.landmarks)


def test_a_pack_is_cleaned_without_resampling(tmp_path: Path, crops: list[np.ndarray]) -> None:
    photos = [(number + 1, float(number % 6), png(crop)) for number, crop in enumerate(crops)]
    request = MeasureRequest(
        layout="folder",
        root=write_pack(tmp_path / "pack", photos),
        out=tmp_path / "out",
        models="builtin",
        device="cpu",
    )
    recorder = Recorder()
    cleaned = curate.clean(request, listener=recorder)
    assert [note for note in recorder.notes if note.startswith(LINE)]
    assert read_info(cleaned.out).settings.template == "arcface-112"
    manifest = Dataset.open(cleaned.out).manifest(["image_id", "inside", "upscale", "face_id"])
    assert manifest["inside"].to_pylist() == [1.0] * 12
    np.testing.assert_allclose(manifest["upscale"].to_numpy(), 1, atol=1e-6)
    assert not {"cropped_before", "mostly_cut_off"} & {finding.check for finding in cleaned.decided.findings}

    assert plan(request).todo == []
    assert plan(replace(request, template="aligned")).todo == []
    assert plan(replace(request, template="arcface-112")).todo
    assert plan(replace(request, template="simswap-224")).job.settings.aligned is False


def png(photo: np.ndarray) -> bytes:
    data: bytes = cv2.imencode(".png", photo[..., ::-1])[1].tobytes()
    assert (decode(data).pixels == photo).all()
    return data
