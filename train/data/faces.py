"""The kept faces of a dataset as arrays: identity, location of the pixels, and alignment."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.faces import align
from curate.lineage import require_current
from manifests.arrays import box_array, landmark_array
from manifests.errors import DatasetError
from manifests.identity import is_held_out, uniform
from manifests.landmarks import TEMPLATES, Template
from manifests.reader import Dataset
from manifests.schema import BOX, LANDMARKS, NO_IDENTITY
from manifests.selection import Selection

Indices = npt.NDArray[np.int64]
Matrices = npt.NDArray[np.float64]

_COLUMNS = [
    "image_id", "identity", "face_id", "shard", "crop_offset", "crop_length", "crop_crc", "mask_offset", "mask_length",
    "mask_crc", *BOX, *LANDMARKS,
]  # fmt: skip
_FIT_BATCH = 1 << 16


@dataclass(frozen=True)
class TrainingFaces:
    """N kept faces, sorted by person.

    Attributes:
        root: directory of the dataset.
        side: side of a stored crop, px.
        people: names of the P identities, sorted. A photo without an identity is a person of its own.
        shards: files of crops and masks, relative to `root`.
        face_id: (N,).
        person: (N,) index into `people`.
        shard: (N,) index into `shards`.
        crop_offset, crop_length, mask_offset, mask_length: (N,) location in the shard, bytes.
        crop_crc, mask_crc: (N,) CRC-32 of the bytes there.
        box: (N, 4) x0, y0, x1, y1 in the photo, px.
        matrix: (N, 2, 3) photo -> crop.
        points: (N, 5, 2) landmarks on the crop, px.
    """

    root: Path
    side: int
    people: Sequence[str]
    shards: Sequence[str]
    face_id: npt.NDArray[np.object_]
    person: Indices
    shard: Indices
    crop_offset: Indices
    crop_length: Indices
    crop_crc: Indices
    mask_offset: Indices
    mask_length: Indices
    mask_crc: Indices
    box: npt.NDArray[np.float32]
    matrix: Matrices
    points: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.person)

    @property
    def count(self) -> Indices:
        """Number of faces of each person, (P,)."""
        return np.bincount(self.person, minlength=len(self.people))

    @property
    def first(self) -> Indices:
        """Index of each person's first face, (P,)."""
        return np.cumsum(self.count) - self.count

    def digest(self) -> str:
        """Return a hash of the faces and their locations, 16 hex digits."""
        digest = hashlib.sha256(encode_lines(self.face_id))
        for array in (self.person, self.crop_offset, self.crop_length):
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def take(self, indices: Indices) -> "TrainingFaces":
        """Return these faces only, in ascending order of `indices`."""
        indices = np.sort(indices)
        people, person = np.unique(self.person[indices], return_inverse=True)
        arrays: dict[str, Any] = {
            name: value[indices]
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray) and name != "person"
        }
        return replace(self, people=[self.people[index] for index in people], person=person, **arrays)

    def held_out(self, people: float, photos: float = 0.0) -> npt.NDArray[np.bool_]:
        """Return (N,), True on the faces of about the share `people` of the people and `photos` of the others' photos.

        Both are chosen by a hash of their names.
        """
        of_people = np.array([is_held_out(name, people) for name in self.people], bool)[self.person]
        of_photos = np.array([uniform(face_id, b"photos") < photos for face_id in self.face_id], bool)
        return np.asarray(of_people | of_photos, bool)


def read_training_faces(dataset: Dataset, template: str, selection: Selection | None = None) -> TrainingFaces:
    """Read the face of every photo that the policy uses for training (column keep), or of those of a selection.

    Raises:
        DatasetError: the manifest is out of date, no photo is kept, the crops are aligned to another template, or a
            shard is missing, or a selected photo is not kept.
    """
    if dataset.info.template != template:
        raise DatasetError(
            f"{dataset.path}: its crops are aligned to {dataset.info.template}, this recipe trains on {template}: "
            f"train on these with --set template={dataset.info.template} (fit, ablate), or measure again with "
            f"--template {template} into another --out"
        )
    require_current(dataset)
    rows = dataset.manifest(_COLUMNS, keep=True)
    rows = rows.filter(pc.is_valid(rows["shard"]))
    if rows.num_rows == 0:
        raise DatasetError(
            f"{dataset.path}: no photo with a face is kept, there is nothing to train on: see the reasons with "
            f"`curate inspect {dataset.path}`, then decide by a milder policy"
        )
    if selection:
        rows = selection.rows_of(rows)
    rows = _with_separate_identities(rows)
    # Sorted by person, and within a person by location, so that neighbours are read together.
    rows = rows.sort_by([("identity", "ascending"), ("shard", "ascending"), ("crop_offset", "ascending")])
    people, shards = (rows[name].combine_chunks().dictionary_encode() for name in ("identity", "shard"))
    for shard in shards.dictionary.to_pylist():
        if not dataset.shard_file(shard).exists():
            raise DatasetError(f"{dataset.path / shard} is missing: run `curate measure`, then `curate decide`")
    matrix, points = _alignment(landmark_array(rows), TEMPLATES[template])
    if not np.isfinite(points).all():
        raise DatasetError(f"{dataset.path}: a kept face has no finite landmarks: run `curate measure` again")
    locations = {
        name: rows[name].to_numpy().astype(np.int64) for name in _COLUMNS if name.endswith(("offset", "length", "crc"))
    }
    return TrainingFaces(
        root=dataset.path,
        side=TEMPLATES[template].size[0],
        people=people.dictionary.to_pylist(),
        shards=shards.dictionary.to_pylist(),
        face_id=np.array(rows["face_id"].to_pylist(), object),
        person=people.indices.to_numpy().astype(np.int64),
        shard=shards.indices.to_numpy().astype(np.int64),
        box=box_array(rows),
        matrix=matrix,
        points=points.astype(np.float32),
        **locations,
    )


def encode_lines(texts: npt.NDArray[np.object_]) -> bytes:
    """Encode texts as lines, for hashing."""
    return "\n".join(texts).encode("utf-8", "surrogateescape")


def _with_separate_identities(rows: pa.Table) -> pa.Table:
    """Give each photo without an identity one of its own."""
    separate = pc.binary_join_element_wise(NO_IDENTITY, rows["face_id"], "/")
    names = pc.if_else(pc.equal(rows["identity"], NO_IDENTITY), separate, rows["identity"])
    return rows.set_column(rows.schema.get_field_index("identity"), "identity", names)


def _alignment(landmarks: npt.NDArray[np.float32], template: Template) -> tuple[Matrices, Matrices]:
    """Return the photo -> crop matrices (N, 2, 3) and the landmarks on the crop (N, 5, 2)."""
    parts = [landmarks[start : start + _FIT_BATCH] for start in range(0, len(landmarks), _FIT_BATCH)]
    matrices = np.concatenate([align.fit(part, template)[0] for part in parts])
    return matrices, align.transform_points(landmarks, matrices)
