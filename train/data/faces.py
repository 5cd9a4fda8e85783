"""A curated dataset -> what training must know of each kept face: who, where its pixels lie, how it is aligned."""

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
from curate.faces.align import Matrices
from manifests.arrays import box_array, landmark_array
from manifests.errors import DatasetError
from manifests.landmarks import TEMPLATES, Template
from manifests.reader import Dataset
from manifests.schema import BOX, LANDMARKS, NO_IDENTITY

_COLUMNS = [
    "identity", "face_id", "shard", "crop_offset", "crop_length", "mask_offset", "mask_length", *BOX, *LANDMARKS,
]  # fmt: skip
_FIT_BATCH = 1 << 16


@dataclass(frozen=True)
class TrainingFaces:
    """Kept faces, those of one person side by side; arrays are of length N.

    root, side: the dataset's directory and its crops' side in px. people: names, sorted. person: index into `people`.
    first, count: of each person, where its faces begin and how many there are. shard: index into `shards`.
    box: (N, 4) in the source. matrix: (N, 2, 3) source -> crop. points: (N, 5, 2) on the crop.
    """

    root: Path
    side: int
    people: Sequence[str]
    shards: Sequence[str]
    face_id: npt.NDArray[np.object_]
    person: npt.NDArray[np.int64]
    shard: npt.NDArray[np.int64]
    crop_offset: npt.NDArray[np.int64]
    crop_length: npt.NDArray[np.int64]
    mask_offset: npt.NDArray[np.int64]
    mask_length: npt.NDArray[np.int64]
    box: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float64]
    points: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.person)

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """How many faces each person has."""
        return np.bincount(self.person, minlength=len(self.people))

    @property
    def first(self) -> npt.NDArray[np.int64]:
        """Index of each person's first face."""
        return np.cumsum(self.count) - self.count

    def digest(self) -> str:
        """Hash of which faces these are and where they lie, 16 hex digits."""
        total = hashlib.sha256(json_lines(self.face_id))
        for array in (self.person, self.crop_offset, self.crop_length):
            total.update(array.tobytes())
        return total.hexdigest()[:16]

    def take(self, rows: npt.NDArray[np.int64]) -> "TrainingFaces":
        """Only these faces, in their old order."""
        rows = np.sort(rows)
        kept, person = np.unique(self.person[rows], return_inverse=True)
        arrays: dict[str, Any] = {
            name: value[rows]
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray) and name != "person"
        }
        return replace(self, people=[self.people[who] for who in kept], person=person, **arrays)

    def held_out(self, share: float) -> npt.NDArray[np.bool_]:
        """(N,) True on the faces of about `share` of the people, whom the hash of their names chooses."""
        return np.array([_draw(name) < share for name in self.people], bool)[self.person]


def read_training_faces(dataset: Dataset, template: str) -> TrainingFaces:
    """Every kept photo's face. Raises DatasetError: none kept, crops of another template, a shard missing or stale."""
    there = dataset.info.template
    if there != template:
        raise DatasetError(
            f"{dataset.path}: its crops are aligned to {there}, this recipe trains on {template}: set template = "
            f'"{there}" in a recipe of your own, or measure again with --template {template} into another --out'
        )
    rows = dataset.manifest(_COLUMNS, verdict="keep")
    rows = rows.filter(pc.is_valid(rows["shard"]))
    if rows.num_rows == 0:
        raise DatasetError(
            f"{dataset.path}: no photo with a face is kept, there is nothing to train on: see why with "
            f"`curate inspect {dataset.path}`, then decide by a milder policy"
        )
    names = [
        f"{NO_IDENTITY}/{face}" if name == NO_IDENTITY else name for name, face in _pairs(rows, "identity", "face_id")
    ]
    rows = rows.set_column(rows.schema.get_field_index("identity"), "identity", pa.array(names, pa.string()))
    # By person; and within one as the shards have them, so that neighbours are read together.
    rows = rows.sort_by([("identity", "ascending"), ("shard", "ascending"), ("crop_offset", "ascending")])
    people, shards = (rows[name].combine_chunks().dictionary_encode() for name in ("identity", "shard"))
    for shard in shards.dictionary.to_pylist():
        if not (dataset.path / shard).exists():
            raise DatasetError(f"{dataset.path / shard} is missing: run `curate measure`, then `curate decide`")
    matrix, points = _geometry(landmark_array(rows), TEMPLATES[template])
    if not np.isfinite(points).all():
        raise DatasetError(f"{dataset.path}: a kept face has no finite landmarks: run `curate measure` again")
    whole = {name: rows[name].to_numpy().astype(np.int64) for name in _COLUMNS if name.endswith(("offset", "length"))}
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
        **whole,
    )


def json_lines(texts: npt.NDArray[np.object_]) -> bytes:
    """Texts -> bytes that differ where the texts do."""
    return "\n".join(texts).encode("utf-8", "surrogateescape")


def _geometry(landmarks: npt.NDArray[np.float32], template: Template) -> tuple[Matrices, Matrices]:
    """Return the source -> crop matrices (N, 2, 3) and the landmarks on the crop (N, 5, 2), both float64."""
    parts = [landmarks[start : start + _FIT_BATCH] for start in range(0, len(landmarks), _FIT_BATCH)]
    matrices = np.concatenate([align.fit(part, template)[0] for part in parts])
    return matrices, align.transform_points(landmarks, matrices)


def _pairs(rows: pa.Table, one: str, other: str) -> "zip[tuple[str, str]]":
    return zip(rows[one].to_pylist(), rows[other].to_pylist(), strict=True)


def _draw(name: str) -> float:
    """A name -> a number in [0, 1), the same everywhere."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8, person=b"held out").digest()
    return int.from_bytes(digest, "little") / 2**64
