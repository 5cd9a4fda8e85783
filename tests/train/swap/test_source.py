"""Source photos: one clear face each, and the identity conditioning of several."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curate.errors import ModelError, SourceError
from manifests.landmarks import TEMPLATES
from tests.samples.swap import (
    ASTRONAUT,
    GROUP,
    IdentityGenerator,
    Pixels,
    detector,
    embedder,
    pixels,
    segmenter,
    smaller,
    trained,
)
from train.errors import SourceFaceError
from train.networks.general import GeneralGenerator
from train.swap.source import Source, read_source
from train.swap.swapper import Swapper

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


def test_a_generator_that_reads_the_source_gets_its_crop(tmp_path: Path) -> None:
    (photo,) = save(tmp_path, one=ONE)
    template = TEMPLATES["simswap-224"]
    source = read_source([photo], detector(), embedder(), "cpu", template=template)
    assert read(photo).nearest_to_mean(224) is None
    torch.manual_seed(0)
    generator = trained(GeneralGenerator(128, 224, width=4).eval())
    face = source.nearest_to_mean(224)
    assert face is not None
    assert (face.crops.shape, face.points.shape) == ((1, 3, 224, 224), (1, 5, 2))
    condition = generator.person_condition(torch.from_numpy(source.embeddings))
    result = Swapper(generator, detector(), segmenter(), condition, source=face)([SIX])[0]
    assert result.swapped == 6
    # Untrained, it moves the source's pixels: the faces become more like the source's.
    faces = detector()([SIX])
    before, after = (faces.embed([shown], embedder()).numpy() @ source.embeddings[0] for shown in (SIX, result.pixels))
    assert (after > before).sum() >= 5
    with pytest.raises(ModelError, match="reads the source's crop beside the latent"):
        Swapper(generator, detector(), segmenter(), condition)([SIX])
