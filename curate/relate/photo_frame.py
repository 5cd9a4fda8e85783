"""Where an aligned crop lies in its photo, and the map between the crops of two photos of equal framing."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.reader import Dataset

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PhotoFrame:
    """The place of a crop.

    Attributes:
        matrix: float64 (3, 3), px of the photo -> px of the crop.
        width, height: of the photo, px.
    """

    matrix: Matrix
    width: int
    height: int

    @classmethod
    def of(cls, matrix: npt.NDArray[np.floating], width: int, height: int) -> "PhotoFrame":
        """Take the (2, 3) matrix, photo -> crop, of the face in a photo of this size."""
        return cls(np.vstack([np.asarray(matrix, np.float64), [0.0, 0.0, 1.0]]), width, height)

    @property
    def scale(self) -> float:
        """Px of the crop per px of the photo."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:2, :2]))))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo."""
        return self.width, self.height

    def shrunk(self, factor: float) -> "PhotoFrame":
        """Return the place of the crop after it was resized by 1 / factor."""
        matrix = self.matrix.copy()
        matrix[:2] /= factor
        matrix[:2, 2] += (1 / factor - 1) / 2  # pixel centres
        return PhotoFrame(matrix, self.width, self.height)

    def to_crop_of(self, other: "PhotoFrame", mirrored: bool) -> Matrix | None:
        """Return the map (2, 3) from px of this crop to px of another photo's crop that show the same point.

        None where the photos differ in their ratio of width to height by more than rounding: one of them is cropped or
        bordered.

        Args:
            other: photo of the same picture, perhaps resized.
            mirrored: whether one of the photos is the mirror image of the other.
        """
        across, down = other.width / self.width, other.height / self.height
        rounding = 1.01 / min(self.width, self.height, other.width, other.height)
        if abs(np.log(across / down)) > rounding:
            return None
        photo = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
        if mirrored:
            photo = np.array([[-1.0, 0, other.width - 1], [0, 1, 0], [0, 0, 1]]) @ photo
        between: Matrix = (other.matrix @ photo @ np.linalg.inv(self.matrix))[:2]
        return between


def face_matrices(dataset: Dataset, bucket: int, face_ids: pa.ChunkedArray) -> Matrix:
    """Return the matrices photo -> crop of F faces of a bucket, float64 (F, 2, 3)."""
    faces = dataset.faces(bucket, ["face_id", "matrix"])
    faces = faces.take(pc.index_in(face_ids, faces["face_id"].combine_chunks()))
    matrices: Matrix = faces["matrix"].combine_chunks().flatten().to_numpy().reshape(-1, 2, 3)
    return matrices
