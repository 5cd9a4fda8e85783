"""train/data/faces.py: the kept faces of a dataset, their alignment, and held-out people."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.faces import align
from manifests.errors import DatasetError
from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset
from manifests.schema import NO_IDENTITY
from manifests.writer import write_table
from tests.samples.dataset import write_dataset
from tests.train.data.conftest import PEOPLE
from train.data.faces import TrainingFaces, read_training_faces


def test_faces_are_sorted_by_person(dataset: Dataset, faces: TrainingFaces) -> None:
    assert list(faces.people) == sorted(PEOPLE)
    assert faces.count.tolist() == [4, 3, 5, 1]
    assert faces.first.tolist() == [0, 4, 7, 12]
    index = faces.face_id.tolist().index("cid/0002.jpg#0")
    assert faces.people[faces.person[index]] == "cid"
    shard = faces.shards[faces.shard[index]]
    place = (faces.crop_offset[index], faces.crop_length[index], faces.crop_crc[index])
    assert dataset.pixels.read(shard, *place)[:3] == b"\xff\xd8\xff"


def test_the_alignment_follows_from_the_landmarks_of_the_manifest(dataset: Dataset) -> None:
    faces = read_training_faces(dataset, "simswap-224")
    frontal = TEMPLATES["simswap-224"].points[2]
    # The sample's landmarks are those of the template, so photo and crop coincide.
    assert np.allclose(faces.matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-4)
    assert np.abs(faces.points - frontal).max() < 1e-4
    matrices, _ = align.fit(np.tile(frontal.astype(np.float32), (len(faces), 1, 1)), TEMPLATES["simswap-224"])
    assert np.array_equal(faces.matrix, matrices)


def test_each_photo_without_an_identity_is_a_person_of_its_own(tmp_path: Path) -> None:
    write_dataset(tmp_path, PEOPLE)
    table = Dataset.open(tmp_path).manifest()
    names = [NO_IDENTITY if name == "bob" else name for name in table["identity"].to_pylist()]
    table = table.set_column(table.schema.get_field_index("identity"), table.schema.field("identity"), pa.array(names))
    write_table(tmp_path / "manifest.parquet", table, table.schema)
    people = read_training_faces(Dataset.open(tmp_path), "simswap-224").people
    assert people == [*(f"./bob/000{k}.jpg#0" for k in range(3)), "ann", "cid", "dee"]


def test_held_out_people_are_whole_people(faces: TrainingFaces) -> None:
    held_out = faces.held_out(0.5)
    assert 0 < held_out.sum() < len(faces)
    assert not set(faces.person[held_out]) & set(faces.person[~held_out])
    assert len(faces.take(np.flatnonzero(held_out))) == held_out.sum()


def test_taking_faces_leaves_out_people_without_any(faces: TrainingFaces) -> None:
    taken = faces.take(np.array([12, 4]))
    assert taken.people == ["bob", "dee"]
    assert taken.person.tolist() == [0, 1]
    assert taken.face_id.tolist() == faces.face_id[[4, 12]].tolist()


def test_unusable_datasets_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="aligned to simswap-224, this recipe trains on ffhq-512"):
        read_training_faces(dataset, "ffhq-512")
    write_dataset(tmp_path, {"ann": 1})
    with pytest.raises(DatasetError, match="no photo with a face is kept"):
        read_training_faces(Dataset.open(tmp_path), "simswap-224")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path, PEOPLE)
    for shard in tmp_path.glob("faces/*"):
        shard.unlink()
    with pytest.raises(DatasetError, match="parquet is missing: run `curate measure`"):
        read_training_faces(Dataset.open(tmp_path), "simswap-224")
