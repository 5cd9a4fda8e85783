"""Source photos: one clear face each, and the identity conditioning of several."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curate.errors import SourceError
from tests.samples.swap import ASTRONAUT, GROUP, IdentityGenerator, Pixels, detector, embedder, pixels, smaller, trained
from train.errors import SourceFaceError
from train.swap.source import Source, read_source

SIX = smaller(pixels(GROUP), 0.5)
ONE = smaller(pixels(ASTRONAUT), 0.5)


def save(folder: Path, **photos: Pixels) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for name, photo in photos.items():
        paths.append(folder / f"{name}.png")
        Image.fromarray(photo).save(paths[-1])
    return paths


def read(path: Path, face_number: int | None = None) -> Source:
    return read_source([path], detector(), embedder(), "cpu", face_number)


def test_several_photos_condition_on_their_mean(tmp_path: Path) -> None:
    one, mirrored = save(tmp_path / "ann", one=ONE, two=np.ascontiguousarray(ONE[:, ::-1]))
    source = read(tmp_path / "ann")
    assert source.photos == (one, mirrored)
    generator = trained(IdentityGenerator(), torch.linspace(-0.1, 0.1, 128))
    condition = generator.person_condition(torch.from_numpy(source.embeddings))
    mean = source.embeddings.mean(0)
    expected = mean / np.linalg.norm(mean) - np.linspace(-0.1, 0.1, 128)
    assert np.allclose(condition, expected / np.linalg.norm(expected), atol=1e-5)


def test_several_faces_are_an_error_unless_one_is_chosen(tmp_path: Path) -> None:
    (photo,) = save(tmp_path, six=SIX)
    with pytest.raises(SourceFaceError, match=r"shows 6 faces \(1 at x \d+-\d+.*--source-face NUMBER.*or crop"):
        read(photo)
    with pytest.raises(SourceFaceError, match="shows 6 faces, there is no face 7 from the left"):
        read(photo, 7)
    third = read(photo, 3).embeddings[0]
    faces = detector()([SIX])
    assert (faces.embed([SIX], embedder()).numpy() @ third).argmax() == np.argsort(faces.box[:, 0])[2]


def test_photos_that_cannot_be_used_are_errors(tmp_path: Path) -> None:
    (wall,) = save(tmp_path, wall=np.full((50, 50, 3), 9, np.uint8))
    with pytest.raises(SourceFaceError, match="no face found: give a photo with a clear face"):
        read(wall)
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    with pytest.raises(SourceFaceError, match=r"bad.jpg: cannot be read \(not an image\)"):
        read(tmp_path / "bad.jpg")
    with pytest.raises(SourceError, match="no such file or folder"):
        read(tmp_path / "nowhere")
