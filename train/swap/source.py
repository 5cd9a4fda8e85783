"""The source of a swap: photos of one person, and the embedding of the face on each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from curate.counts import counted
from curate.decode import decode
from curate.errors import DecodeError, SourceError
from curate.faces.align import rescale_points, transform_points
from curate.faces.embedder import Embedder
from curate.faces.faces import Faces
from curate.sources.stores.walk import photos_under
from manifests.landmarks import Template
from train.errors import SourceFaceError
from train.networks.conditioning import SourceFaces
from train.swap.detection import SwapDetector
from train.trained import shrink

Pixels = npt.NDArray[np.uint8]

_MIN_RELATIVE_SIDE = 0.3  # of the largest face; smaller ones are people in the background


@dataclass(frozen=True)
class Source:
    """A person: photos, or a name that the checkpoint was trained on.

    Attributes:
        photos: empty for a name.
        embeddings: float32 (M, D) of unit norm, one per photo; the mean embedding for a name.
        labels: (M,) what messages call each row.
        crops: uint8 (M, T, T, 3) RGB, the faces in the generator's template; None where nothing reads them.
        points: float64 (M, 5, 2), their landmarks, px of the crop; None likewise.
    """

    photos: tuple[Path, ...]
    embeddings: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    crops: Pixels | None = None
    points: npt.NDArray[np.float64] | None = None

    def nearest_to_mean(self, size: int) -> SourceFaces | None:
        """The photo whose embedding is nearest to the mean, with crops of `size` px; None where there are no crops.

        Pixels of several photos cannot be averaged as embeddings can.
        """
        if self.crops is None or self.points is None:
            return None
        row = int((self.embeddings @ self.embeddings.mean(0)).argmax())
        crop = torch.from_numpy(self.crops[row]).permute(2, 0, 1)[None].float() / 255
        points = rescale_points(self.points[row : row + 1], size / crop.shape[-1])
        return SourceFaces(shrink(crop, size), torch.from_numpy(points.astype(np.float32)))


def read_source(
    paths: Sequence[Path],
    detector: SwapDetector,
    embedder: Embedder,
    device: str,
    face_number: int | None = None,
    name: str = "source",
    template: Template | None = None,
) -> Source:
    """Detect and embed the face on each photo of one person.

    Args:
        paths: Photos, or folders of photos.
        detector: Detects the faces. Those that are small beside the largest of the photo are ignored.
        embedder: The embedder of the checkpoint, on `device`.
        device: Where the crops are embedded.
        face_number: Of a photo with several faces, the one to use: 1 is the leftmost. None requires a single face.
        name: What messages call the photos.
        template: Of the crops that the generator reads; None for none.

    Raises:
        SourceFaceError: A photo is unreadable, shows no face, several faces, or no face of that number.
        SourceError: A path does not exist, or is a folder without photos.
    """
    files = [file for path in paths for file in _photos(path, name)]
    embeddings, crops, points = [], [], []
    for file in files:
        try:
            photo = decode(file.read_bytes()).pixels
        except (DecodeError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SourceFaceError(f"{name} {file}: cannot be read ({reason}): give another photo") from error
        face = _only_face(detector([photo]), face_number, f"{name} {file}", can_choose=name == "source")
        embeddings.append(face.embed([photo], embedder, device)[0].cpu().numpy())
        if template is not None:
            crops.append(face.crop([photo], template, device)[0].permute(1, 2, 0).cpu().numpy())
            points.append(transform_points(face.landmarks.astype(np.float64), face.matrices(template))[0])
    labels = tuple(f"{name} {file}" for file in files)
    if template is None:
        return Source(tuple(files), np.stack(embeddings), labels)
    return Source(tuple(files), np.stack(embeddings), labels, np.stack(crops), np.stack(points))


def _photos(path: Path, name: str) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{name} {path}: no such file or folder")
    photos = sorted(photo.path for photo in photos_under(str(path), "", Counter()) if photo.refusal is None)
    if not photos:
        raise SourceError(f"{name} {path}: no photo in it; give a photo, or a folder of photos of one person")
    return [path / photo for photo in photos]


def _only_face(faces: Faces, number: int | None, name: str, can_choose: bool) -> Faces:
    """The only face of a photo that is not small beside the largest, or the one of that number."""
    if not len(faces):
        raise SourceFaceError(f"{name}: no face found: give a photo with a clear face, not cropped too tightly")
    side = (faces.box[:, 2:] - faces.box[:, :2]).max(1)
    faces = faces.take(np.asarray(side >= _MIN_RELATIVE_SIDE * side.max()))
    faces = faces.take(np.argsort(faces.box[:, 0], kind="stable"))
    if number is not None and not 1 <= number <= len(faces):
        raise SourceFaceError(f"{name}: shows {counted(len(faces), 'face')}, there is no face {number} from the left")
    if number is None and len(faces) > 1:
        boxes = "; ".join(
            f"{k} at x {box[0]:.0f}-{box[2]:.0f}, y {box[1]:.0f}-{box[3]:.0f}" for k, box in enumerate(faces.box, 1)
        )
        choice = "choose one with --source-face NUMBER, counted from the left, or " if can_choose else ""
        raise SourceFaceError(f"{name}: shows {len(faces)} faces ({boxes}): {choice}crop the photo to one face")
    return faces.take(np.array([(number or 1) - 1]))
