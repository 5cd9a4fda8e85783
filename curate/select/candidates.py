"""The kept faces of some people, with the numbers by which a selection chooses among them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from curate.measure.pose import fit_face
from curate.select.appearance import appearance
from manifests.arrays import landmark_array
from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset
from manifests.schema import LANDMARKS

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

BATCH_FACES = 8192
"""Faces whose pixels and vectors are read together, in whole persons."""

_CHUNK = 64
"""Images read in one call of a thread."""

_NUMBERS = ("yaw", "pitch", "brightness", "sharpness", "eye_distance", "resolution")

COLUMNS = (
    "image_id", "identity", "face_id", "shard", "crop_offset", "crop_length", "crop_crc", "mask_offset", "mask_length",
    "mask_crc", *_NUMBERS, *LANDMARKS,
)  # fmt: skip
"""Columns of the manifest that are read."""


@dataclass(frozen=True)
class Candidates:
    """N kept faces, sorted by person.

    Attributes:
        rows: of the manifest, with COLUMNS.
        yaw, pitch: (N,) degrees.
        brightness: (N,) median luma of the face.
        sharpness: (N,) 0-1.
        detail: (N,) 0-1, distance between the eyes in px of the photo that carry detail, relative to the crop's; 1
            where the crop is not interpolated.
        smile: (N,) standard deviations of mouth corners moved out and up.
        side_light, mouth_open: (N,) see `Appearance`.
        vectors: (N, D) unit vectors of the embedder, float32.
    """

    rows: pa.Table
    yaw: Floats
    pitch: Floats
    brightness: Floats
    sharpness: Floats
    detail: Floats
    smile: Floats
    side_light: Floats
    mouth_open: Floats
    vectors: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.yaw)

    def take(self, indices: Rows) -> "Candidates":
        """Return these faces, in this order."""
        values: dict[str, Any] = {entry.name: getattr(self, entry.name)[indices] for entry in fields(self)[1:]}
        return Candidates(self.rows.take(pa.array(indices)), **values)

    def people(self) -> Iterator[tuple[str, "Candidates"]]:
        """Yield each person and its faces."""
        names, codes = np.unique(self.rows["identity"].to_numpy(zero_copy_only=False), return_inverse=True)
        order = np.argsort(codes, kind="stable")
        for name, indices in zip(names, np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True):
            yield str(name), self.take(indices)


def batches(kept: pa.Table) -> list[pa.Table]:
    """Divide manifest rows into tables of whole persons and about BATCH_FACES rows, in the order of their shards."""
    kept = kept.sort_by([("shard", "ascending"), ("crop_offset", "ascending")])
    codes = kept["identity"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")  # codes count persons in the order of their first shard
    ends = np.cumsum(np.bincount(codes))
    kept = kept.take(pa.array(order))
    tables, start = [], 0
    for end, following in zip(ends, [*ends[1:], ends[-1] + BATCH_FACES], strict=True):
        if following - start > BATCH_FACES:
            tables.append(kept.slice(start, end - start).combine_chunks())
            start = end
    return tables


def read_candidates(dataset: Dataset, rows: pa.Table, pool: ThreadPoolExecutor) -> Candidates:
    """Read vectors and pixels of manifest rows with COLUMNS.

    Raises DatasetError where a shard is missing or damaged.
    """
    numbers = {name: np.asarray(rows[name].to_numpy(zero_copy_only=False), np.float64) for name in _NUMBERS}
    eyes = TEMPLATES[dataset.info.template].points[:, :2]
    crop_distance = np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1).max()
    carried = numbers["eye_distance"] * np.nan_to_num(numbers["resolution"], nan=1.0)
    seen = _appearances(dataset, rows, pool)
    return Candidates(
        rows=rows,
        yaw=numbers["yaw"],
        pitch=numbers["pitch"],
        brightness=numbers["brightness"],
        sharpness=np.nan_to_num(numbers["sharpness"]),
        detail=np.clip(np.nan_to_num(carried) / crop_distance, 0, 1),
        smile=fit_face(torch.from_numpy(landmark_array(rows)))[1].numpy(),
        side_light=seen[:, 0],
        mouth_open=seen[:, 1],
        vectors=np.asarray(dataset.embeddings_for(rows), np.float32),
    )


def _appearances(dataset: Dataset, rows: pa.Table, pool: ThreadPoolExecutor) -> Floats:
    """Side light and opening of the mouth of N rows, (N, 2)."""
    names = [f"{kind}_{value}" for kind in ("crop", "mask") for value in ("offset", "length", "crc")]
    columns = {name: rows[name].to_numpy() for name in names}
    shards = rows["shard"].combine_chunks().dictionary_encode()
    codes = shards.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    files = shards.dictionary.to_pylist()
    parts = [
        part
        for of_shard in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        for part in np.split(of_shard, range(_CHUNK, len(of_shard), _CHUNK))
    ]

    def read(part: Rows) -> list[tuple[float, float]]:
        file = files[codes[part[0]]]
        crops, masks = (
            dataset.pixels.many(file, *(columns[f"{kind}_{value}"][part] for value in ("offset", "length", "crc")))
            for kind in ("crop", "mask")
        )
        seen = [appearance(crop, mask) for crop, mask in zip(crops, masks, strict=True)]
        return [(face.side_light, face.mouth_open) for face in seen]

    result = np.empty((rows.num_rows, 2))
    for part, values in zip(parts, pool.map(read, parts), strict=True):
        result[part] = values
    return result
