"""The watermark: it is read back after attacks, it is hardly visible, and unmarked pictures are not detected."""

import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from tests.samples.marks import Pixels, package_photo, resized
from train.journal import Journal
from train.marks.label import draw
from train.marks.marking import Marking
from train.marks.watermark.carriers import carriers
from train.marks.watermark.code import CHIPS, WORDS, decode, encode, false_positive_bound, to_words, walsh_hadamard
from train.marks.watermark.grid import cells_of
from train.marks.watermark.mark import InvisibleWatermark
from train.marks.watermark.reader import (
    MAX_CLIPS,
    MAX_READINGS,
    MIN_CLIP_SCORE,
    MIN_SCORE,
    read,
    read_clip,
)
from train.marks.watermark.windows import SIDE, windows_of
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
    "squeezed to half its width": lambda picture: resized(picture, picture.shape[1] * 5 // 9, picture.shape[0]),
    "5% cropped on all sides": lambda picture: cropped(picture, 0.05, 0.05, 0.05, 0.05),
    "5% cropped on one side, JPEG 75": lambda picture: jpeg(cropped(picture, 0, 0, 0.05, 0), 75),
}


PLACEMENTS: dict[str, Callable[[Pixels], Pixels]] = {
    "half the area, JPEG 80": lambda picture: jpeg(cropped(picture, 0.2, 0, 0.1, 0.29), 80),
    "turned by 5 degrees": lambda picture: turned(picture, 5),
    "turned by -10 degrees, enlarged canvas": lambda picture: turned(picture, -10, expand=True),
    "turned by 90 degrees": lambda picture: np.rot90(picture),
    "upside down": lambda picture: np.rot90(picture, 2),
    "mirrored, turned by 90 degrees": lambda picture: np.rot90(picture[:, ::-1]),
    "framed, JPEG 75": lambda picture: jpeg(framed(picture, 0.1, 0.1), 75),
    "bars above and below, halved": lambda picture: scaled(framed(picture, 0, 0.5, 0), 0.5),
    "10% wider": lambda picture: resized(picture, picture.shape[1] * 11 // 10, picture.shape[0]),
}


def turned(picture: Pixels, degrees: float, expand: bool = False) -> Pixels:
    """Counter-clockwise, with black corners."""
    return np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC, expand=expand))


def framed(picture: Pixels, across: float, down: float, grey: int = 255) -> Pixels:
    """With a border of these shares of width and height on both sides."""
    x, y = round(across * picture.shape[1]), round(down * picture.shape[0])
    return np.pad(picture, ((y, y), (x, x), (0, 0)), constant_values=grey)


@pytest.mark.parametrize("attack", [*ATTACKS, *PLACEMENTS])
def test_the_id_survives(attack: str, marked: dict[str, Pixels]) -> None:
    change = (ATTACKS | PLACEMENTS)[attack]
    for name, reading in zip(marked, read([change(picture) for picture in marked.values()]), strict=True):
        assert reading.detected, f"{name}: score {reading.score:.1f}"
        assert reading.mark_id == MARK_ID, name
        assert reading.confidence > 1 - 1e-6
        assert reading.placement.mirrored == attack.startswith("mirrored")


def test_the_placement_and_the_region_are_reported(marked: dict[str, Pixels]) -> None:
    portrait = marked["portrait 512"]
    mirrored, turn, below = read([portrait[:, ::-1], turned(portrait, 7), framed(portrait, 0, 0.5, 0)])
    assert mirrored.placement.mirrored
    assert turn.placement.rotation == pytest.approx(-7, abs=0.5)  # clockwise is positive
    assert turn.placement.tile == pytest.approx((512, 512), rel=0.01)
    assert below.region is not None
    # Half a picture's height of black above and below.
    assert (below.region.left, below.region.right) == (0, 512)
    assert (below.region.top, below.region.bottom) == pytest.approx((256, 768), abs=60)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (611, 430), (988, 130)])
def test_a_picture_that_fills_a_sixth_of_another_is_found(left: int, top: int, photos: dict[str, Pixels]) -> None:
    page = resized(photos["group"], 1500, 1000).copy()
    face = resized(photos["portrait 512"][:260, 90:350], 512, 512)
    page[top : top + 512, left : left + 512] = Watermark(MARK_ID).mark(face[None])[0]
    (reading,) = read([jpeg(page, 85)])
    assert (reading.detected, reading.mark_id) == (True, MARK_ID)
    assert reading.region is not None
    region = (reading.region.left, reading.region.top, reading.region.right, reading.region.bottom)
    assert region == pytest.approx((left, top, left + 512, top + 512), abs=130)


def test_windows_cover_every_grid() -> None:
    for rows, columns in ((320, 320), (160, 640), (1, 640), (161, 480)):
        covered = np.zeros((rows, columns), bool)
        for window in windows_of(rows, columns):
            part = window.of(covered)
            assert part.shape == (min(SIDE, rows), min(SIDE, columns))
            covered[window.top : window.top + SIDE, window.left : window.left + SIDE] = True
        assert covered.all()


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


def test_strips_and_single_pixels_are_marked_and_read_within_bounds() -> None:
    for shape in ((1, 1), (2, 9000), (9000, 3)):
        picture = np.full((*shape, 3), 90, np.uint8)
        marked = Watermark(MARK_ID).mark(picture[None])[0]
        assert marked.shape == picture.shape
        assert not read([picture])[0].detected
    assert cells_of(2, 9000) == (1, 4096)
    assert cells_of(300, 450) == (256, 384)


def test_real_photos_are_not_detected(data: Path) -> None:
    paths = [*sorted((data / "lfw-gray").rglob("*.jpg"))[::300], *sorted((data / "celebamask/images").iterdir())[::100]]
    readings = read([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    assert len(readings) >= 15
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


def test_an_earlier_mark_is_replaced(photos: dict[str, Pixels]) -> None:
    portrait = photos["portrait 512"]
    for earlier in (0xABCE4205, 0xABCF71D6, MARK_ID):
        target = jpeg(Watermark(earlier).mark(portrait[None])[0], 90)
        marked = InvisibleWatermark(Marking(MARK_ID)).apply(target[None])[0]
        (reading,) = read([marked])
        assert (reading.detected, reading.mark_id) == (True, MARK_ID)
        assert reading.score > 30  # about that of a picture with one mark
    assert InvisibleWatermark(Marking(MARK_ID)).apply(portrait[None][:0]).shape == (0, 512, 512, 3)


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


def test_one_frame_of_a_clip_that_still_has_the_mark_suffices(photos: dict[str, Pixels]) -> None:
    # As after an encoding at a low rate, whose predicted frames lose it.
    random = np.random.default_rng(1)
    frames = [photos["face 224"], *(np.roll(photos["face 224"], 3 * k, 1) for k in range(1, 48))]
    frames[0] = Watermark(MARK_ID).mark(frames[0][None])[0]
    clip = [np.clip(frame + random.normal(0, 12, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    reading = read_clip(clip)
    assert (reading.detected, reading.mark_id) == (True, MARK_ID)
    assert not read_clip(clip[1:]).detected


def test_the_code_corrects_two_fifths_of_wrong_signs() -> None:
    random = np.random.default_rng(2)
    for mark_id in (0, 1, MARK_ID, 2**32 - 1):
        signs = encode(mark_id)
        wrong = random.random(signs.shape) < 0.4
        decoded = decode(np.where(wrong, -signs, signs) * np.float32(0.01))
        assert (decoded.mark_id, decoded.valid) == (mark_id, True)
    empty = decode(np.zeros((WORDS, CHIPS), np.float32))
    assert empty.score == 0.0
    assert len(to_words(MARK_ID)) == WORDS


def test_a_word_that_is_only_the_second_likeliest_is_corrected_by_the_crc() -> None:
    signs = encode(MARK_ID)
    signs[2] = signs[2] + 1.1 * encode(MARK_ID ^ 0x00F00000)[1]  # a valid word of another ID is likelier
    decoded = decode(signs)
    assert (decoded.mark_id, decoded.valid) == (MARK_ID, True)


def test_the_key_does_not_change() -> None:
    key = carriers()
    parts = (key.index, key.order, key.signs, key.pilot, key.pilot_index)
    digest = sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
    # With another key, no picture marked so far could be read.
    assert digest.startswith("25ac2f4479943033")


def test_the_fast_transform_equals_the_matrix_product() -> None:
    matrix = np.ones((1, 1), np.float32)
    for _ in range(4):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    values = np.sin(np.arange(48, dtype=np.float32)).reshape(3, 16)
    assert np.allclose(walsh_hadamard(values), values @ matrix, atol=1e-5)


def test_false_positives_are_below_one_in_a_million_by_design() -> None:
    assert false_positive_bound(MIN_SCORE, MAX_READINGS) < 1e-6
    assert false_positive_bound(MIN_CLIP_SCORE, MAX_READINGS * MAX_CLIPS) < 1e-6
    # Random values: their scores are far below the threshold, even of the best combination with a right CRC.
    random = np.random.default_rng(4)
    decoded = [decode(random.normal(size=(WORDS, CHIPS)).astype(np.float32)) for _ in range(300)]
    assert 12 < np.mean([each.score for each in decoded]) < 15
    assert max(each.score for each in decoded) < MIN_SCORE


def test_sample_grids_of_a_training_are_marked(photos: dict[str, Pixels], tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    path = journal.grid(12, np.concatenate([photos["portrait 512"]] * 2, axis=1))
    journal.close()
    (reading,) = read([np.asarray(Image.open(path))])
    assert reading.detected
    assert reading.mark_id == SAMPLE_ID
