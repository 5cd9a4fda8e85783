"""Photos of one person -> the latent of that person."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.decode import decode
from curate.errors import DecodeError, SourceError
from curate.faces.embedder import Embedder
from curate.faces.faces import Faces
from curate.sources.stores.walk import photos_under
from train.errors import SourceFaceError
from train.swap.faces import FaceFinder, Pixels

_COUNTS = 0.3
"""A face with less than this share of the largest one's side is somebody in the background."""


@dataclass(frozen=True)
class Source:
    """`photos`: the files; `vectors`: float32 (M, D), the embedding of the face on each."""

    photos: tuple[Path, ...]
    vectors: npt.NDArray[np.float32]


def read_source(
    paths: Sequence[Path], finder: FaceFinder, embedder: Embedder, number: int | None = None, what: str = "source"
) -> Source:
    """Photos, or folders of photos, of one person -> their files and embeddings.

    Each photo must show one face; those that are small beside the largest do not count. number: take that face,
    counted from the left, 1 the first. what: how messages call the photos.
    Raises SourceFaceError: unreadable, no face, several faces,
    no such number. SourceError: a path that does not exist, a folder without photos.
    """
    files = [file for path in paths for file in _files(path, what)]
    vectors = []
    for file in files:
        try:
            photo = decode(file.read_bytes()).pixels
        except (DecodeError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SourceFaceError(f"{what} {file}: cannot be read ({reason}): bring another photo") from error
        vectors.append(_embedding(photo, f"{what} {file}", finder, embedder, number))
    return Source(tuple(files), np.stack(vectors))


def _files(path: Path, what: str) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{what} {path}: no such file or folder")
    found = sorted(photo.path for photo in photos_under(str(path), "", Counter()) if photo.refusal is None)
    if not found:
        raise SourceError(f"{what} {path}: there is no photo in it; name a photo, or a folder of photos of one person")
    return [path / name for name in found]


def _embedding(
    photo: Pixels, name: str, finder: FaceFinder, embedder: Embedder, number: int | None
) -> npt.NDArray[np.float32]:
    """(D,) of the one face, or of the one that `number` names."""
    faces = finder([photo])
    if not len(faces):
        raise SourceFaceError(
            f"{name}: no face was found in it: bring a photo with a clear face, not cropped too tightly"
        )
    faces = _in_front(faces)
    faces = faces.take(np.argsort(faces.box[:, 0], kind="stable"))
    if number is not None and not 1 <= number <= len(faces):
        raise SourceFaceError(f"{name}: shows {len(faces)} faces, there is no face {number} from the left")
    if number is None and len(faces) > 1:
        boxes = "; ".join(
            f"{k} at x {box[0]:.0f}-{box[2]:.0f}, y {box[1]:.0f}-{box[3]:.0f}" for k, box in enumerate(faces.box, 1)
        )
        raise SourceFaceError(
            f"{name}: shows {len(faces)} faces ({boxes}): choose a source's with --source-face NUMBER, "
            "counted from the left, or crop the photo to one face"
        )
    one = faces.take(np.array([(number or 1) - 1]))
    vector: npt.NDArray[np.float32] = one.embed([photo], embedder, finder.device)[0].cpu().numpy()
    return vector


def _in_front(faces: Faces) -> Faces:
    """Without the faces that are small beside the largest."""
    side = (faces.box[:, 2:] - faces.box[:, :2]).max(1)
    return faces.take(np.asarray(side >= _COUNTS * side.max()))
