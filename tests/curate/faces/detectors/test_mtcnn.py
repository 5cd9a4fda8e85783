"""MTCNN: agreement with facenet-pytorch, batches, faces that fill the frame, unusual photos."""

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from curate.faces.detectors import canvas
from curate.faces.detectors.canvas import Canvas
from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings
from curate.faces.detectors.mtcnn_networks import load
from curate.faces.detectors.pyramid import frame_boxes, outside
from curate.faces.detectors.refine import refine_landmarks
from curate.faces.faces import Faces


def wheel_photo(package: str, path: str) -> np.ndarray:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return read(Path(spec.submodule_search_locations[0], path))


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


def eye_distance(landmarks: np.ndarray) -> float:
    return float(np.linalg.norm(landmarks[1] - landmarks[0]))


ASTRONAUT = wheel_photo("skimage", "data/astronaut.png")  # one face, 512 x 512
GROUP = wheel_photo("insightface", "data/images/t1.jpg")  # six people, 886 x 1280
SMALL = cv2.resize(GROUP, (640, 443), interpolation=cv2.INTER_AREA)
MIXED = [SMALL, ASTRONAUT, ASTRONAUT[:300, 100:400], ASTRONAUT[20:201, 150:333], np.zeros((90, 70, 3), np.uint8)]


@pytest.fixture(scope="module")
def full() -> Mtcnn:
    return Mtcnn("cpu", MtcnnSettings("full", max_faces=20))


@pytest.fixture(scope="module")
def cascade() -> Mtcnn:
    """Without the refinement of landmarks, which the original does not have."""
    return Mtcnn("cpu", MtcnnSettings("full", max_faces=20, refine_landmarks=False))


@pytest.fixture(scope="module")
def coarse() -> Mtcnn:
    return Mtcnn()


@pytest.fixture(scope="module")
def original():
    facenet_pytorch = pytest.importorskip("facenet_pytorch")
    return facenet_pytorch.MTCNN(keep_all=True)


def sample(folder: str, count: int) -> list[np.ndarray]:
    """`count` photos spread evenly over a folder of $SWAPSET_DATA."""
    root = os.environ.get("SWAPSET_DATA")
    if not root:
        pytest.skip("SWAPSET_DATA (folder with collections of photos) is not set")
    paths = sorted(path for path in Path(root, folder).rglob("*") if path.suffix in (".jpg", ".png"))
    return [read(path) for path in paths[:: max(1, len(paths) // count)][:count]]


def assert_equals_original(ours: Faces, photo: np.ndarray, original) -> None:
    boxes, scores, landmarks = original.detect(photo, landmarks=True)
    if boxes is None:
        assert len(ours) == 0
        return
    assert len(ours) == len(boxes)
    np.testing.assert_allclose(ours.box, boxes.astype(np.float32), atol=1)
    np.testing.assert_allclose(ours.landmarks, landmarks.astype(np.float32), atol=1)
    np.testing.assert_allclose(ours.score, scores.astype(np.float32), atol=1e-3)


@pytest.mark.parametrize("photo", [ASTRONAUT, SMALL, ASTRONAUT[:211, 90:391]], ids=["astronaut", "group", "odd size"])
def test_full_mode_agrees_with_the_original(photo, cascade, original):
    assert_equals_original(cascade([photo]), photo, original)


def test_full_mode_agrees_with_the_original_on_collected_photos(cascade, original):
    photos = sample("celebs-color", 4) + sample("web-raw", 2) + sample("celebs-112", 6)
    ours = cascade(photos)
    for index, photo in enumerate(photos):
        assert_equals_original(ours.in_photo(index), photo, original)


@pytest.mark.parametrize("mode", ["full", "coarse"])
def test_faces_do_not_depend_on_the_batch(mode):
    detector = Mtcnn("cpu", MtcnnSettings(mode))
    together = detector(MIXED)
    assert [len(together.in_photo(index)) for index in (0, 1)] == [4, 1]
    assert (np.diff(together.photo) >= 0).all()
    for index, photo in enumerate(MIXED):
        faces, alone = together.in_photo(index), detector([photo])
        assert len(alone) == len(faces)
        np.testing.assert_allclose(alone.box, faces.box, atol=1e-3)
        # Crops for the refinement are rounded to integers, which amplifies differences in the last bit.
        np.testing.assert_allclose(alone.landmarks, faces.landmarks, atol=0.02)


def test_coarse_detects_the_main_face_of_full(coarse, full):
    photos = [ASTRONAUT, SMALL] + (sample("celebs-color", 10) if "SWAPSET_DATA" in os.environ else [])
    found = coarse(photos).largest(), full(photos).largest()
    assert all(faces.photo.tolist() == list(range(len(photos))) for faces in found)
    for index in range(len(photos)):
        coarse_faces, full_faces = (faces.in_photo(index) for faces in found)
        assert iou(coarse_faces.box[0], full_faces.box[0]) > 0.7
        off = np.linalg.norm(coarse_faces.landmarks[0] - full_faces.landmarks[0], axis=1).mean()
        assert off < 0.03 * eye_distance(full_faces.landmarks[0])


def test_coarse_detects_several_faces_of_similar_size(coarse, full):
    coarse_faces, full_faces = coarse([GROUP]), full([SMALL])
    assert len(coarse_faces) == 4
    for box in coarse_faces.box:
        assert max(iou(box / 2, other) for other in full_faces.box) > 0.6


def test_a_small_face_in_a_large_photo_is_detected(coarse):
    photo = np.full((1400, 2100, 3), 90, np.uint8)
    photo[900:1028, 1500:1628] = cv2.resize(ASTRONAUT, (128, 128), interpolation=cv2.INTER_AREA)
    found = coarse([photo])
    truth = coarse([ASTRONAUT]).box[0] / 4 + [1500, 900, 1500, 900]
    assert len(found) == 1
    assert iou(found.box[0], truth) > 0.7


def test_a_face_that_fills_the_frame_is_detected(coarse):
    whole = coarse([ASTRONAUT])
    x0, y0, x1, y1 = whole.box[0].round().astype(int)
    tight = np.ascontiguousarray(ASTRONAUT[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4])
    found = coarse([tight])
    assert len(found) == 1
    off = np.linalg.norm(found.landmarks[0] + [x0 + 4, y0 + 4] - whole.landmarks[0], axis=1)
    assert off.max() < 0.12 * eye_distance(whole.landmarks[0])


def test_refinement_corrects_landmarks_of_a_cropped_or_rotated_face(coarse, cascade):
    whole = coarse([ASTRONAUT])
    x0, y0, x1, y1 = whole.box[0].round().astype(int)
    cut = np.ascontiguousarray(ASTRONAUT[y0 + 10 : y1, x0:x1])
    turn = cv2.getRotationMatrix2D((256, 256), 25, 1)
    turned = cv2.warpAffine(ASTRONAUT, turn, (512, 512))
    points = whole.landmarks[0]
    for photo, truth in ((cut, points - [x0, y0 + 10]), (turned, points @ turn[:, :2].T + turn[:, 2])):
        error, refined_error = (
            np.linalg.norm(detector([photo]).landmarks[0] - truth, axis=1).mean() / eye_distance(truth)
            for detector in (cascade, coarse)
        )
        assert refined_error < 0.03
        assert refined_error < 0.3 * error


def test_a_face_with_a_low_score_in_the_refinement_keeps_its_landmarks():
    device = torch.device("cpu")
    points = np.array([[[30, 30], [60, 30], [45, 50], [33, 65], [57, 65]]], np.float64)
    grey = np.full((90, 90, 3), 127, np.uint8)
    refined = refine_landmarks(load(device)[2], [grey], np.array([0]), points, device)
    assert np.array_equal(refined, points)


def test_faces_that_fill_the_frame_are_detected_in_a_collection(coarse):
    found = coarse(sample("celebs-112", 60))
    assert len(found.largest()) / 60 >= 0.95


@pytest.mark.parametrize("mode", ["full", "coarse"])
@pytest.mark.parametrize("shape", [(1, 1), (10, 5000), (5000, 1), (12, 12), (19, 400), (20, 20), (37, 38)])
def test_photos_without_a_face_give_no_faces(mode, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 1), np.uint8).repeat(3, 2)
    found = Mtcnn("cpu", MtcnnSettings(mode))([noise])
    for array, empty in zip(vars(found).values(), vars(Faces.empty()).values(), strict=True):
        assert (array.shape, array.dtype) == (empty.shape, empty.dtype)


def test_no_photos_give_no_faces(coarse):
    assert len(coarse([])) == 0


def test_grey_read_only_and_strided_photos_are_accepted(coarse):
    grey = cv2.cvtColor(ASTRONAUT, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)
    grey.setflags(write=False)
    mirrored = ASTRONAUT[:, ::-1]
    found = coarse([grey, mirrored, ASTRONAUT])
    assert found.photo.tolist() == [0, 1, 2]
    assert iou(found.box[0], found.box[2]) > 0.8
    back = found.box[1] * [-1, 1, -1, 1] + [511, 0, 511, 0]
    assert iou(back[[2, 1, 0, 3]], found.box[2]) > 0.8
    # Image-left first, in a mirrored face too.
    assert (found.landmarks[:, 0, 0] < found.landmarks[:, 1, 0]).all()
    assert (found.landmarks[:, 3, 0] < found.landmarks[:, 4, 0]).all()


def test_faces_are_sorted_by_size_and_limited(full):
    found = full([SMALL])
    sizes = (found.box[:, 2:] - found.box[:, :2]).prod(1)
    assert len(sizes) >= 6
    assert (np.diff(sizes) <= 0).all()
    two = Mtcnn("cpu", MtcnnSettings("full", max_faces=2))([SMALL])
    np.testing.assert_array_equal(two.box, found.box[:2])


def test_the_fingerprint_depends_on_each_setting():
    default = MtcnnSettings()
    assert Mtcnn().fingerprint == default.fingerprint()
    changes = ({"refine_landmarks": False}, {"mode": "full"}, {"max_faces": 3}, {"min_face": 40})
    fingerprints = {default.fingerprint(), *(replace(default, **change).fingerprint() for change in changes)}
    assert len(fingerprints) == 5
    assert all(len(fingerprint) == 64 for fingerprint in fingerprints)


def test_resampling_is_area_interpolation():
    photo = np.random.default_rng(1).integers(0, 256, (61, 47, 3), np.uint8)
    tables = Canvas([ASTRONAUT, photo], torch.device("cpu"))
    boxes = torch.tensor([[0, 0, 47, 61], [5, 7, 46, 20]])
    resampled = tables.resample(torch.tensor([1, 1]), boxes, torch.tensor([[24, 24], [24, 24]]), (24, 24))
    for (x0, y0, x1, y1), pixels in zip(boxes.tolist(), resampled, strict=True):
        part = torch.from_numpy(photo[y0:y1, x0:x1]).permute(2, 0, 1)[None].float()
        expected = torch.nn.functional.interpolate(part, size=(24, 24), mode="area")
        torch.testing.assert_close(pixels, (expected[0] - 127.5) / 128, atol=1e-5, rtol=0)


def test_tables_of_padded_photos_as_a_gpu_computes_them_give_the_same_pixels(monkeypatch):
    random = np.random.default_rng(2)
    sizes = [(61, 47), (60, 48), (20, 300), (7, 5), (64, 47)]
    photos = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    boxes = torch.tensor([[0, 0, width, height] for height, width in sizes])
    grids = torch.full((len(sizes), 2), 12)
    cpu = torch.device("cpu")
    expected = Canvas(photos, cpu).resample(torch.arange(len(sizes)), boxes, grids, (12, 12))
    monkeypatch.setattr(canvas, "_tables_on_cpu", lambda copies: canvas._tables_on(cpu, copies))
    padded = Canvas(photos, cpu).resample(torch.arange(len(sizes)), boxes, grids, (12, 12))
    torch.testing.assert_close(padded, expected, atol=0, rtol=0)


@pytest.mark.parametrize("size", [(12, 12), (31, 44), (40, 53)])
def test_an_image_in_a_larger_frame_gives_the_same_cells(size):
    pnet = load(torch.device("cpu"))[0]
    image = torch.rand(1, 3, *size) * 2 - 1
    frame = torch.rand(1, 3, 60, 70)
    frame[..., : size[0], : size[1]] = image
    alone, _ = pnet(image)
    framed, _ = pnet(frame, outside(torch.tensor([size]) - 2, 58, 68))
    rows, columns = ((side - 1) // 2 - 4 for side in size)
    assert alone.shape == (1, rows, columns)
    torch.testing.assert_close(framed[:, :rows, :columns], alone, atol=1e-5, rtol=0)


def test_a_face_that_the_first_network_does_not_propose_is_found(coarse: Mtcnn) -> None:
    x, y, side = 910, 101, 67
    expected = coarse([GROUP]).landmarks[2] - [x, y]
    tight = coarse([np.ascontiguousarray(GROUP[y : y + side, x : x + side])])
    assert len(tight) == 1
    assert np.abs(tight.landmarks[0] - expected).max() < 0.15 * eye_distance(expected)


def test_no_face_is_found_in_textures(coarse: Mtcnn) -> None:
    textures = [skimage.data.brick(), skimage.data.grass(), skimage.data.gravel(), skimage.data.moon()]
    photos = [np.repeat(image[50:162, 80:192, None], 3, 2) for image in textures]
    assert not len(coarse([*photos, np.ascontiguousarray(skimage.data.coffee()[:224, :300])]))


def test_frame_boxes_lie_around_the_middle_of_the_photo() -> None:
    boxes = frame_boxes(200, 200, 0.5)  # a photo of 100 px with a margin of 50 px
    sides, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    assert boxes.shape == (6 * 5 * 5, 4)
    assert np.allclose(sides[:, 0], sides[:, 1])
    assert sides.min() == pytest.approx(60)
    assert centres.min() >= 75
    assert centres.max() <= 125
    assert len(frame_boxes(200, 300, 0.5)) > len(boxes)
    assert not len(frame_boxes(200, 30_000, 0.5))
