"""Which faces are swapped: all, one person's, nobody's who said no; and whose identity a source gives."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from curate.errors import ModelError, SourceError
from curate.relate.exclude import Gallery
from manifests.landmarks import TEMPLATES
from tests.samples.swap import (
    ASTRONAUT,
    GROUP,
    Paint,
    Pixels,
    Same,
    embedder,
    finder,
    pixels,
    smaller,
    swapper,
    write_checkpoint,
)
from train.config import Recipe
from train.errors import CheckpointError, SourceFaceError
from train.swap.consent import Consent
from train.swap.person import Person
from train.swap.source import read_source
from train.trained import SwapModel, load_model, shrink

SIX = smaller(pixels(GROUP), 0.5)
ONE = smaller(pixels(ASTRONAUT), 0.5)


def changed(before: Pixels, after: Pixels) -> np.ndarray:
    """Middle (x, y) of what changed and its width."""
    columns, rows = np.flatnonzero((before != after).any((0, 2))), np.flatnonzero((before != after).any((1, 2)))
    return np.array([columns.mean(), rows.mean(), np.ptp(columns)])


def test_every_face_of_every_photo_of_a_batch_is_swapped() -> None:
    empty = np.full((80, 90, 3), 128, np.uint8)
    done = swapper(Paint())([SIX, empty, ONE])
    assert [(one.faces, one.swapped, one.reason) for one in done] == [(6, 6, ""), (0, 0, "no face"), (1, 1, "")]
    assert (done[1].pixels == empty).all()
    for box in finder()([SIX]).box:
        x0, y0, x1, y1 = box.astype(int)
        middle = np.s_[(y0 + y1) // 2 - 3 : (y0 + y1) // 2 + 3, (x0 + x1) // 2 - 3 : (x0 + x1) // 2 + 3]
        assert (done[0].pixels[middle] != SIX[middle]).mean() > 0.5
    # A photo's result does not depend on its batch.
    alone = swapper(Paint())([ONE])[0].pixels
    assert np.abs(alone.astype(int) - done[2].pixels).max() <= 1


def test_the_identity_generator_gives_the_photo_back() -> None:
    for photo, result, painted in zip(
        [SIX, ONE], swapper(Same())([SIX, ONE]), swapper(Paint())([SIX, ONE]), strict=True
    ):
        # Where little of the paint is seen, rounding may hide it.
        touched = cv2.dilate((painted.pixels != photo).any(2).astype(np.uint8), np.ones((5, 5))) > 0
        assert (result.pixels[~touched] == photo[~touched]).all()
        assert 0.02 < touched.mean() < 0.25
        # Inside lies what two resamplings cost.
        assert np.abs(result.pixels[touched].astype(int) - photo[touched]).mean() < 3


def test_only_the_person_on_a_reference_photo_is_swapped() -> None:
    faces = finder()([SIX])
    vectors = faces.embed([SIX], embedder()).numpy()
    for wanted in (0, 4):
        person = Person("ref.jpg", vectors[wanted], embedder().calibration.far_1e2)
        done = swapper(Paint(), only=person)([SIX, ONE])
        assert (done[0].faces, done[0].swapped) == (6, 1)
        box = faces.box[wanted]
        assert np.abs(changed(SIX, done[0].pixels)[:2] - (box[:2] + box[2:]) / 2).max() < 12
        assert done[1].swapped == 0
        assert done[1].reason.startswith("nobody in it is the person on ref.jpg (most alike: cosine 0.")


def test_an_excluded_person_is_refused_in_words() -> None:
    vectors = finder()([ONE]).embed([ONE], embedder()).numpy()
    consent = Consent(Gallery(vectors, ("ann/1.jpg",), embedder().calibration.far_1e4))
    done = swapper(Paint(), consent=consent)([SIX, ONE])
    assert done[0].swapped == 6
    assert done[1].refused
    assert (done[1].pixels == ONE).all()
    assert "matches ann/1.jpg of --exclude (cosine 1.000" in done[1].reason


def test_a_face_at_the_border_is_swapped_up_to_it() -> None:
    photo = np.ascontiguousarray(pixels(ASTRONAUT)[:, 197:])  # cuts off a cheek
    done = swapper(Paint())([photo])[0]
    assert done.swapped == 1
    assert (done.pixels != photo).any(2)[:, 0].sum() > 50
    again = swapper()([photo])[0].pixels
    assert np.abs(again.astype(int) - photo).max() < 80  # nothing black comes in from beyond the photo
    assert np.abs(again.astype(int) - photo)[100:140, 2:8].mean() < 4


def test_a_face_of_20_px_is_swapped() -> None:
    photo = np.full((160, 160, 3), 128, np.uint8)
    small = smaller(pixels(ASTRONAUT), 0.22)
    photo[20 : 20 + len(small), 20 : 20 + small.shape[1]] = small
    width = np.diff(finder()([photo]).box[0, [0, 2]])[0]
    assert 18 < width < 24
    done = swapper(Paint())([photo])[0]
    assert done.swapped == 1
    assert 10 < changed(photo, done.pixels)[2] < 30


def test_a_hand_that_passes_for_a_face_is_left_alone() -> None:
    # At full size, the detector alone takes knuckles and a pot on this photo for faces.
    photo = pixels(GROUP)
    assert len(finder().detector([photo])) > 6
    assert swapper()([photo])[0].swapped == 6


def save(folder: Path, **photos: Pixels) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for name, photo in photos.items():
        paths.append(folder / f"{name}.png")
        Image.fromarray(photo).save(paths[-1])
    return paths


def test_a_source_of_several_photos_is_their_mean(tmp_path: Path) -> None:
    (one, mirrored) = save(tmp_path / "ann", one=ONE, two=np.ascontiguousarray(ONE[:, ::-1]))
    source = read_source([tmp_path / "ann"], finder(), embedder())
    assert source.photos == (one, mirrored)
    model = SwapModel(Same(), embedder(), Recipe(), torch.linspace(-0.1, 0.1, 128))
    latent = model.latent(torch.from_numpy(source.vectors))
    mean = source.vectors.mean(0)
    expected = mean / np.linalg.norm(mean) - np.linspace(-0.1, 0.1, 128)
    assert np.allclose(latent, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_source_must_show_one_face_and_the_message_says_how_to_choose(tmp_path: Path) -> None:
    (several,) = save(tmp_path / "a", several=SIX)
    with pytest.raises(SourceFaceError, match=r"shows 6 faces \(1 at x \d+-\d+.*--source-face NUMBER.*or crop"):
        read_source([several], finder(), embedder())
    third = read_source([several], finder(), embedder(), 3).vectors[0]
    faces = finder()([SIX])
    vectors = faces.embed([SIX], embedder()).numpy()
    assert (vectors @ third).argmax() == np.argsort(faces.box[:, 0])[2]
    with pytest.raises(SourceFaceError, match="shows 6 faces, there is no face 7 from the left"):
        read_source([several], finder(), embedder(), 7)
    (none,) = save(tmp_path / "b", none=np.full((50, 50, 3), 9, np.uint8))
    with pytest.raises(SourceFaceError, match="no face was found in it"):
        read_source([none], finder(), embedder())
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    with pytest.raises(SourceFaceError, match=r"bad.jpg: cannot be read \(not an image\)"):
        read_source([tmp_path / "bad.jpg"], finder(), embedder())
    with pytest.raises(SourceError, match="no such file or folder"):
        read_source([tmp_path / "nowhere"], finder(), embedder())


def test_a_checkpoint_brings_its_embedder_or_says_which_it_needs(tmp_path: Path) -> None:
    recipe = write_checkpoint(tmp_path / "a.safetensors")
    model = load_model(tmp_path / "a.safetensors", "cpu")
    assert model.embedder.embedder_id == embedder().embedder_id
    assert (model.size, model.template) == (recipe.size, TEMPLATES["simswap-224"])
    swapped = model.swap(torch.full((9, 3, 64, 64), 100.0), torch.eye(128)[3])
    assert swapped.shape == (9, 3, 64, 64)
    assert 0 <= swapped.min() < swapped.max() <= 255
    write_checkpoint(tmp_path / "b.safetensors", embedder_id="0123456789abcdef")
    with pytest.raises(ModelError, match=r"was trained with embedder 0123456789abcdef, and builtin is .*--embedder"):
        load_model(tmp_path / "b.safetensors", "cpu")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_model(tmp_path / "c.safetensors", "cpu")


def test_a_recipe_that_masks_its_input_gets_the_mask(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", mask="face", masked="input")
    model = load_model(tmp_path / "a.safetensors", "cpu")
    assert model.alpha == 1
    target = torch.rand(1, 3, 64, 64) * 255
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    swapped = model.swap(target, torch.eye(128)[0], mask)
    hidden = mask.expand(-1, 3, -1, -1) == 0
    assert torch.allclose(swapped[hidden], target[hidden], atol=1e-3)
    assert (swapped - target)[~hidden].abs().mean() > 1


def test_crops_shrink_as_training_shrinks_them() -> None:
    crop = np.random.default_rng(0).uniform(0, 255, (224, 224, 3)).astype(np.float32)
    ours = shrink(torch.from_numpy(crop).permute(2, 0, 1)[None], 128)[0].permute(1, 2, 0).numpy()
    assert np.allclose(ours, cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA), atol=0.01)
