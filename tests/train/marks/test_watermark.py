"""The watermark: it is read back after attacks, it is hardly visible, and unmarked pictures are not detected."""

import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from tests.samples.marks import Pixels, package_photo, resized
from train.journal import Journal
from train.marks.label import draw
from train.marks.watermark.carriers import carriers_on
from train.marks.watermark.code import CHIPS, WORDS, decode, encode, false_positive_bound, to_words, walsh_hadamard
from train.marks.watermark.reader import MAX_READINGS, MIN_SCORE, read, read_clip
from train.marks.watermark.writer import SAMPLE_ID, Watermark

MARK_ID = 0xC0FFEE42


@pytest.fixture(scope="module")
def photos() -> dict[str, Pixels]:
    astronaut = package_photo("skimage", "data/astronaut.png")
    group = package_photo("insightface", "data/images/t1.jpg")
    return {
        "face 224": resized(astronaut[:260, 90:350], 224, 224),
        "portrait 512": astronaut,
        "group": group,
        "frame": resized(group, 1280, 720),
    }


@pytest.fixture(scope="module")
def marked(photos: dict[str, Pixels]) -> dict[str, Pixels]:
    watermark = Watermark(MARK_ID)
    return {name: watermark.mark(photo[None])[0] for name, photo in photos.items()}


def jpeg(picture: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def scaled(picture: Pixels, factor: float) -> Pixels:
    return resized(picture, round(picture.shape[1] * factor), round(picture.shape[0] * factor))


def cropped(picture: Pixels, left: float, top: float, right: float, bottom: float) -> Pixels:
    height, width = picture.shape[:2]
    return picture[round(top * height) : round((1 - bottom) * height), round(left * width) : round((1 - right) * width)]


ATTACKS: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda picture: picture,
    "JPEG 75": lambda picture: jpeg(picture, 75),
    "JPEG 50": lambda picture: jpeg(picture, 50),
    "half the size": lambda picture: scaled(picture, 0.5),
    "visible label": lambda picture: draw(picture[None])[0],
    "scaled to 75%, JPEG 80": lambda picture: jpeg(scaled(picture, 0.75), 80),
    "another aspect ratio": lambda picture: resized(picture, 300, 420),
    "5% cropped on all sides": lambda picture: cropped(picture, 0.05, 0.05, 0.05, 0.05),
    "5% cropped on one side, JPEG 75": lambda picture: jpeg(cropped(picture, 0, 0, 0.05, 0), 75),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_id_survives(attack: str, marked: dict[str, Pixels]) -> None:
    for name, reading in zip(marked, read([ATTACKS[attack](picture) for picture in marked.values()]), strict=True):
        assert reading.detected, f"{name}: score {reading.score:.1f}"
        assert reading.mark_id == MARK_ID, name
        assert reading.confidence > 1 - 1e-6
        assert not reading.mirrored


def test_mirrored_and_cropped_pictures_are_read(marked: dict[str, Pixels]) -> None:
    mirrored, both = read([marked["group"][:, ::-1], cropped(marked["group"][:, ::-1], 0.04, 0, 0, 0.06)])
    assert mirrored.detected
    assert mirrored.mirrored
    assert mirrored.mark_id == both.mark_id == MARK_ID
    assert both.mirrored
    assert both.crop is not None
    # In the picture mirrored back, 4% are missing on the right.
    assert (both.crop.x, both.crop.y) == pytest.approx((0, 0), abs=0.01)
    assert (both.crop.width, both.crop.height) == pytest.approx((0.96, 0.94), abs=0.011)


def test_the_mark_is_hardly_visible(photos: dict[str, Pixels], marked: dict[str, Pixels]) -> None:
    for name, photo in photos.items():
        noise = np.square(marked[name].astype(float) - photo).mean()
        assert 10 * np.log10(255**2 / noise) > 38, name
        assert structural_similarity(marked[name][..., 1], photo[..., 1]) > 0.97, name


def test_unmarked_pictures_are_not_detected(photos: dict[str, Pixels]) -> None:
    flat = [np.full((224, 224, 3), level, np.uint8) for level in (0, 128, 255)]
    noise = np.random.default_rng(3).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    stripes = np.zeros((224, 224, 3), np.uint8)
    stripes[:, ::6] = 255
    tiny = [np.full((1, 1, 3), 7, np.uint8), noise[0, :3, :5]]
    for reading in read([*photos.values(), *flat, *noise, stripes, *tiny]):
        assert not reading.detected
        assert reading.confidence == 0
        assert reading.score < MIN_SCORE


def test_real_photos_are_not_detected(data: Path) -> None:
    paths = [*sorted((data / "lfw-gray").rglob("*.jpg"))[::150], *sorted((data / "celebamask/images").iterdir())[::50]]
    readings = read([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    assert len(readings) >= 40
    assert not any(reading.detected for reading in readings)


def test_a_batch_is_marked_like_single_pictures_and_not_modified(photos: dict[str, Pixels]) -> None:
    batch = np.stack([resized(photo, 320, 200) for photo in photos.values()])
    before, watermark = batch.copy(), Watermark(5)
    together = watermark.mark(batch)
    assert np.array_equal(batch, before)
    assert together.dtype == np.uint8
    assert np.array_equal(together, np.concatenate([watermark.mark(picture[None]) for picture in batch]))
    assert watermark.mark(batch[:0]).shape == (0, 200, 320, 3)
    with pytest.raises(ValueError, match=r"must be uint8 \(N, H, W, 3\)"):
        watermark.mark(batch[0])


def test_a_clip_is_read_where_its_single_frames_are_not(photos: dict[str, Pixels]) -> None:
    random = np.random.default_rng(1)
    clip = Watermark(MARK_ID).mark(np.repeat(photos["face 224"][None], 24, axis=0))
    noisy = [np.clip(frame + random.normal(0, 45, frame.shape), 0, 255).astype(np.uint8) for frame in clip]
    assert not read([noisy[0]])[0].detected
    together = read_clip(iter(noisy))
    assert together.detected
    assert together.mark_id == MARK_ID
    with pytest.raises(ValueError, match="no frames"):
        read_clip([])


def test_the_code_corrects_two_fifths_of_wrong_signs() -> None:
    random = torch.Generator().manual_seed(2)
    for mark_id in (0, 1, MARK_ID, 2**32 - 1):
        signs = encode(mark_id)
        wrong = torch.rand(signs.shape, generator=random) < 0.4
        (decoded,) = decode((signs * (1 - 2 * wrong.float()))[None] * 0.01)
        assert (decoded.mark_id, decoded.valid) == (mark_id, True)
    (empty,) = decode(torch.zeros(1, WORDS, CHIPS))
    assert (empty.mark_id, empty.score) == (0, 0.0)
    assert len(to_words(MARK_ID)) == WORDS


def test_the_key_does_not_change() -> None:
    carriers = carriers_on(torch.device("cpu"))
    parts = (carriers.index, carriers.order, carriers.signs, carriers.pilot, carriers.pilot_index)
    digest = sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
    # With another key, no picture marked so far could be read.
    assert digest.startswith("5a6c51213316f92d")


def test_the_fast_transform_equals_the_matrix_product() -> None:
    matrix = torch.ones(1, 1)
    for _ in range(4):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    values = torch.arange(48.0).view(3, 16).sin()
    assert torch.allclose(walsh_hadamard(values), values @ matrix, atol=1e-5)


def test_false_positives_are_below_one_in_a_million_by_design() -> None:
    assert false_positive_bound(MIN_SCORE, MAX_READINGS) < 1e-6
    # Random values: their scores are far below the threshold, and hardly any CRC is right.
    decoded = decode(torch.randn(400, WORDS, CHIPS, generator=torch.Generator().manual_seed(4)))
    assert 14 < np.mean([each.score for each in decoded]) < 15
    assert sum(each.score > MIN_SCORE for each in decoded) < 3
    assert not any(each.valid for each in decoded)


def test_sample_grids_of_a_training_are_marked(photos: dict[str, Pixels], tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    path = journal.grid(12, np.concatenate([photos["portrait 512"]] * 2, axis=1))
    journal.close()
    (reading,) = read([np.asarray(Image.open(path))])
    assert reading.detected
    assert reading.mark_id == SAMPLE_ID
