"""The watermark: what is written is read again, also after attacks; nothing is read where nothing was written."""

import io
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from train.journal import Journal
from train.marks.carriers import carriers_on
from train.marks.code import CHIPS, WORDS, decode, encode, false_positive_bound, walsh_hadamard, words_of
from train.marks.label import draw
from train.marks.watermark import LIMIT, SAMPLE_ID, TRIES, Watermark, read, read_clip

Pixels = npt.NDArray[np.uint8]
MARK_ID = 0xC0FFEE42


def package_photo(package: str, name: str) -> Pixels:
    found = find_spec(package)
    assert found is not None
    assert found.submodule_search_locations
    return np.asarray(Image.open(Path(found.submodule_search_locations[0]) / name).convert("RGB"))


def sized(photo: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def photos() -> dict[str, Pixels]:
    astronaut = package_photo("skimage", "data/astronaut.png")
    group = package_photo("insightface", "data/images/t1.jpg")
    return {
        "face 224": sized(astronaut[:260, 90:350], 224, 224),
        "portrait 512": astronaut,
        "group": group,
        "frame": sized(group, 1280, 720),
    }


@pytest.fixture(scope="module")
def marked(photos: dict[str, Pixels]) -> dict[str, Pixels]:
    ours = Watermark(MARK_ID)
    return {name: ours.mark(photo[None])[0] for name, photo in photos.items()}


def jpeg(picture: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def scaled(picture: Pixels, factor: float) -> Pixels:
    return sized(picture, round(picture.shape[1] * factor), round(picture.shape[0] * factor))


def cropped(picture: Pixels, left: float, top: float, right: float, bottom: float) -> Pixels:
    height, width = picture.shape[:2]
    return picture[round(top * height) : round((1 - bottom) * height), round(left * width) : round((1 - right) * width)]


ATTACKS: dict[str, Callable[[Pixels], Pixels]] = {
    "nothing": lambda picture: picture,
    "JPEG 75": lambda picture: jpeg(picture, 75),
    "JPEG 50": lambda picture: jpeg(picture, 50),
    "half the size": lambda picture: scaled(picture, 0.5),
    "the label": lambda picture: draw(picture[None])[0],
    "a screenshot": lambda picture: jpeg(scaled(picture, 0.75), 80),
    "another shape": lambda picture: sized(picture, 300, 420),
    "5% cut off all around": lambda picture: cropped(picture, 0.05, 0.05, 0.05, 0.05),
    "cut off on one side, then JPEG 75": lambda picture: jpeg(cropped(picture, 0, 0, 0.05, 0), 75),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_id_outlives(attack: str, marked: dict[str, Pixels]) -> None:
    for name, reading in zip(marked, read([ATTACKS[attack](picture) for picture in marked.values()]), strict=True):
        assert reading.detected, f"{name}: score {reading.score:.1f}"
        assert reading.mark_id == MARK_ID, name
        assert reading.confidence > 1 - 1e-6
        assert not reading.mirrored


def test_mirrored_pictures_are_read_and_a_crop_is_told(marked: dict[str, Pixels]) -> None:
    (mirrored, both) = read([marked["group"][:, ::-1], cropped(marked["group"][:, ::-1], 0.04, 0, 0, 0.06)])
    assert mirrored.detected
    assert mirrored.mirrored
    assert mirrored.mark_id == both.mark_id == MARK_ID
    assert both.mirrored
    assert both.crop is not None
    # Of the mirrored picture mirrored back, 4% are missing on the right.
    assert (both.crop.x, both.crop.y) == pytest.approx((0, 0), abs=0.01)
    assert (both.crop.width, both.crop.height) == pytest.approx((0.96, 0.94), abs=0.011)


def test_it_is_hardly_seen(photos: dict[str, Pixels], marked: dict[str, Pixels]) -> None:
    for name, photo in photos.items():
        noise = np.square(marked[name].astype(float) - photo).mean()
        assert 10 * np.log10(255**2 / noise) > 38, name
        assert structural_similarity(marked[name][..., 1], photo[..., 1]) > 0.97, name


def test_unmarked_pictures_say_nothing(photos: dict[str, Pixels]) -> None:
    flat = [np.full((224, 224, 3), level, np.uint8) for level in (0, 128, 255)]
    noise = np.random.default_rng(3).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    stripes = np.zeros((224, 224, 3), np.uint8)
    stripes[:, ::6] = 255
    tiny = [np.full((1, 1, 3), 7, np.uint8), noise[0, :3, :5]]
    for reading in read([*photos.values(), *flat, *noise, stripes, *tiny]):
        assert not reading.detected
        assert reading.confidence == 0
        assert reading.score < LIMIT


def test_every_real_photo_of_a_sample_says_nothing(data: Path) -> None:
    paths = [*sorted((data / "lfw-gray").rglob("*.jpg"))[::150], *sorted((data / "celebamask/images").iterdir())[::50]]
    readings = read([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    assert len(readings) >= 40
    assert not any(reading.detected for reading in readings)


def test_a_batch_marks_as_one_by_one_and_leaves_its_input(photos: dict[str, Pixels]) -> None:
    batch = np.stack([sized(photo, 320, 200) for photo in photos.values()])
    before, ours = batch.copy(), Watermark(5)
    together = ours.mark(batch)
    assert np.array_equal(batch, before)
    assert together.dtype == np.uint8
    assert np.array_equal(together, np.concatenate([ours.mark(one[None]) for one in batch]))
    assert ours.mark(batch[:0]).shape == (0, 200, 320, 3)
    with pytest.raises(ValueError, match=r"uint8 \(N, H, W, 3\) is needed"):
        ours.mark(batch[0])


def test_frames_of_a_clip_say_together_what_none_says_alone(photos: dict[str, Pixels]) -> None:
    random = np.random.default_rng(1)
    clip = Watermark(MARK_ID).mark(np.repeat(photos["face 224"][None], 24, axis=0))
    noisy = [np.clip(frame + random.normal(0, 45, frame.shape), 0, 255).astype(np.uint8) for frame in clip]
    assert not read([noisy[0]])[0].detected
    together = read_clip(iter(noisy))
    assert together.detected
    assert together.mark_id == MARK_ID
    with pytest.raises(ValueError, match="no frames"):
        read_clip([])


def test_the_code_mends_two_fifths_wrong_signs() -> None:
    random = torch.Generator().manual_seed(2)
    for mark_id in (0, 1, MARK_ID, 2**32 - 1):
        signs = encode(mark_id)
        wrong = torch.rand(signs.shape, generator=random) < 0.4
        (found,) = decode((signs * (1 - 2 * wrong.float()))[None] * 0.01)
        assert (found.mark_id, found.checked) == (mark_id, True)
    (nothing,) = decode(torch.zeros(1, WORDS, CHIPS))
    assert (nothing.mark_id, nothing.score) == (0, 0.0)
    assert len(words_of(MARK_ID)) == WORDS


def test_the_key_stays_what_it_was() -> None:
    keyed = carriers_on(torch.device("cpu"))
    parts = (keyed.index, keyed.order, keyed.signs, keyed.pilot, keyed.pilot_index)
    digest = sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
    # With another key every picture that was ever marked would say nothing any more.
    assert digest.startswith("5a6c51213316f92d")


def test_the_fast_transform_is_the_matrix() -> None:
    matrix = torch.ones(1, 1)
    for _ in range(4):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    values = torch.arange(48.0).view(3, 16).sin()
    assert torch.allclose(walsh_hadamard(values), values @ matrix, atol=1e-5)


def test_false_positives_are_rarer_than_one_in_a_million_by_design() -> None:
    assert false_positive_bound(LIMIT, TRIES) < 1e-6
    # What random values do: their scores gather far below the limit, and next to no ID passes its check.
    found = decode(torch.randn(400, WORDS, CHIPS, generator=torch.Generator().manual_seed(4)))
    assert 14 < np.mean([one.score for one in found]) < 15
    assert sum(one.score > LIMIT for one in found) < 3
    assert not any(one.checked for one in found)


def test_sample_grids_of_a_training_are_marked(photos: dict[str, Pixels], tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    path = journal.grid(12, np.concatenate([photos["portrait 512"]] * 2, axis=1))
    journal.close()
    (reading,) = read([np.asarray(Image.open(path))])
    assert reading.detected
    assert reading.mark_id == SAMPLE_ID
