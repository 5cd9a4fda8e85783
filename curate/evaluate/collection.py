"""A measured collection in memory, from which `evaluate` draws."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.evaluate.planting import Flags, Names, Rows
from curate.relate.photo_frame import PhotoFrame, face_matrices
from manifests.reader import Dataset, decode_crop


@dataclass(frozen=True)
class MeasuredCollection:
    """P photos with M measured rows: those of the untouched source, then the planted ones.

    Attributes:
        measures: M rows of MEASURES.
        vectors: (M, D) float16, zeros for rows without a face.
        matrices: (M, 2, 3) float64, photo -> crop, zeros for rows without a face.
        start: (P + 1,) first row of each photo, and M.
        image_id, identity: (P,).
        usable: (P,) photos with a face.
        untouched: Number of photos of the untouched source.
        datasets: Where the crops of the rows below `start[untouched]` and of those from it on are stored.
    """

    measures: pa.Table
    vectors: npt.NDArray[np.float16]
    matrices: npt.NDArray[np.float64]
    start: Rows
    image_id: Names
    identity: Names
    usable: Flags
    untouched: int
    datasets: tuple[Dataset, ...]

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def template(self) -> str:
        """Name of the alignment template of the crops."""
        return self.datasets[0].info.template

    def has_face(self, rows: Rows) -> Flags:
        """Flags of the rows that have a face."""
        flags: Flags = self.measures["face_id"].is_valid().to_numpy()[rows]
        return flags

    def crop(self, row: int) -> npt.NDArray[np.uint8]:
        """Decode the crop of a row, uint8 (S, S, 3) RGB."""
        dataset = self.datasets[int(row >= self.start[self.untouched])]
        place = [self.measures[name][row].as_py() for name in ("shard", "crop_offset", "crop_length", "crop_crc")]
        return decode_crop(dataset.pixels.read(*place))

    def frame(self, row: int) -> PhotoFrame:
        """Where the crop of a row lies in its photo."""
        width, height = (self.measures[name][row].as_py() for name in ("width", "height"))
        return PhotoFrame.of(self.matrices[row], width, height)

    def with_planted(self, planted: "MeasuredCollection", names: dict[str, str]) -> "MeasuredCollection":
        """Append the photos of the planted files; names: image_id of a planted file -> image_id in this collection.

        Files of an earlier evaluation keep the name of their file; no draw refers to them.
        """
        renamed = [names.get(image_id, image_id) for image_id in planted.image_id.tolist()]
        return replace(
            self,
            measures=pa.concat_tables([self.measures, planted.measures]).combine_chunks(),
            vectors=np.concatenate([self.vectors, planted.vectors]),
            matrices=np.concatenate([self.matrices, planted.matrices]),
            start=np.concatenate([self.start[:-1], self.start[-1] + planted.start]),
            image_id=np.concatenate([self.image_id, renamed]),
            identity=np.concatenate([self.identity, planted.identity]),
            usable=np.concatenate([self.usable, planted.usable]),
            datasets=(*self.datasets, *planted.datasets),
        )


def read_collection(dataset: Dataset) -> MeasuredCollection:
    """Read a measured dataset as a whole, about 3 kB per photo."""
    tables, parts, places = [], [], []
    for bucket in range(dataset.buckets):
        table = dataset.measures(bucket)
        faces = dataset.embeddings(dataset.info.embedder_id, bucket)[1]
        has_face = table["face_id"].is_valid().to_numpy()
        vectors = np.zeros((table.num_rows, faces.shape[1]), np.float16)
        vectors[has_face] = faces
        matrices = np.zeros((table.num_rows, 2, 3))
        matrices[has_face] = face_matrices(dataset, bucket, table["face_id"].drop_null())
        places.append(matrices)
        tables.append(table)
        parts.append(vectors)
    measures = pa.concat_tables(tables).combine_chunks()
    image_id = np.array(measures["image_id"].to_pylist())
    start = np.flatnonzero(np.concatenate([[True], image_id[1:] != image_id[:-1]]))
    return MeasuredCollection(
        measures=measures,
        vectors=np.concatenate(parts),
        matrices=np.concatenate(places),
        start=np.append(start, len(image_id)),
        image_id=image_id[start],
        identity=np.array(measures["identity"].to_pylist())[start],
        usable=measures["face_id"].is_valid().to_numpy()[start],
        untouched=len(start),
        datasets=(dataset,),
    )
