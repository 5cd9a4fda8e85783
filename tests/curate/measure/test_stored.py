"""curate/measure/stored.py: rows of unchanged photos are taken over when their shard is written again."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.measure import MeasureRequest, plan, run
from curate.measure.measure import MeasurePlan
from curate.measure.stored import StoredShard
from curate.sources import Entry, Source
from manifests.reader import Dataset
from manifests.schema import arrow_schema
from manifests.table_file import TableFile
from manifests.writer import write_table
from tests.samples.dataset import filled
from tests.samples.measured_faces import ASTRONAUT_PHOTO

Read = Callable[[MeasureRequest], tuple[MeasurePlan, set[str]]]


def view(k: int) -> Image.Image:
    """A face, cut from another place of the same photo for each k."""
    return Image.fromarray(ASTRONAUT_PHOTO[4 * k : 300 + 4 * k, 60:360])


@pytest.fixture
def request_(tmp_path: Path, measured: Path) -> MeasureRequest:
    """A measured dataset of five photos of two people, one of them without a face, in one shard."""
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    return _request(tmp_path)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    for k in range(5):
        place = folder / "photos" / ("anna", "bert")[k % 2]
        place.mkdir(parents=True, exist_ok=True)
        view(k).save(place / f"{k}.png")
    Image.new("RGB", (200, 200), "grey").save(folder / "photos" / "anna" / "2.png")
    run(plan(_request(folder)))
    return folder.rename(folder.with_name("moved"))  # a copy of the photos is then no other source


def _request(folder: Path) -> MeasureRequest:
    return MeasureRequest(
        layout="folder",
        root=folder / "photos",
        out=folder / "out",
        models="builtin",
        device="cpu",
        buckets=1,
        workers=1,
    )


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Plan and run a request; return the plan and the photos whose bytes were read for the measurement."""
    names = set[str]()
    original = Source.read

    def recording(self: Source, entry: Entry) -> bytes:
        names.add(entry.image_id)
        return original(self, entry)

    def execute(request: MeasureRequest) -> tuple[MeasurePlan, set[str]]:
        measure_plan = plan(request)
        names.clear()
        monkeypatch.setattr(Source, "read", recording)
        result = run(measure_plan)
        monkeypatch.setattr(Source, "read", original)
        assert result.photos == measure_plan.photos_todo == len(names)
        return measure_plan, set(names)

    return execute


def contents(out: Path) -> dict[str, tuple[object, ...]]:
    """face_id or image_id -> measures without the place of the pixels, crop, label map and embedding."""
    dataset = Dataset.open(out)
    rows = dataset.measures(0).to_pylist()
    faces = [row for row in rows if row["face_id"]]
    vectors = dataset.embeddings_for(dataset.measures(0).filter(dataset.measures(0)["face_id"].is_valid()))
    pixels = {
        row["face_id"]: (dataset.pixels.crop(row), dataset.pixels.mask(row), vector.tobytes())
        for row, vector in zip(faces, vectors, strict=True)
    }
    place = {"crop_offset", "mask_offset", "listing_key"}
    return {
        row["face_id"] or row["image_id"]: (
            {name: value for name, value in row.items() if name not in place},
            pixels.get(row["face_id"]),
        )
        for row in rows
    }


def test_one_added_photo_is_measured_alone(request_: MeasureRequest, read: Read) -> None:
    before = contents(request_.out)
    view(9).save(request_.root / "anna" / "3.png")
    assert read(request_)[1] == {"anna/3.png"}
    after = contents(request_.out)
    names = ["anna/0.png#0", "anna/2.png", "anna/3.png#0", "anna/4.png#0", "bert/1.png#0", "bert/3.png#0"]
    assert list(after) == names
    assert {name: row for name, row in after.items() if name != "anna/3.png#0"} == before
    assert plan(request_).todo == []


def test_it_is_what_a_whole_measurement_gives(request_: MeasureRequest, read: Read, tmp_path: Path) -> None:
    view(9).save(request_.root / "bert" / "9.png")
    read(request_)
    fresh = replace(request_, out=tmp_path / "fresh")
    run(plan(fresh))
    added, whole = (contents(out)["bert/9.png#0"][0] for out in (request_.out, fresh.out))
    assert isinstance(added, dict)
    assert isinstance(whole, dict)
    # Batches of other photos round differently, which may show in the last bits of a crop.
    pixels = {f"{kind}_{value}" for kind in ("crop", "mask") for value in ("length", "crc")}
    numbers = {name for name, value in whole.items() if isinstance(value, float)} | pixels
    assert {name: value for name, value in added.items() if name not in numbers} == {
        name: value for name, value in whole.items() if name not in numbers
    }
    for name in numbers - pixels:
        np.testing.assert_allclose(added[name], whole[name], rtol=1e-3, atol=1e-3, err_msg=name)
    assert contents(request_.out).keys() == contents(fresh.out).keys()


def test_photos_that_changed_moved_or_are_gone(request_: MeasureRequest, read: Read) -> None:
    view(9).save(request_.root / "anna" / "0.png")  # changed
    (request_.root / "anna" / "2.png").unlink()
    (request_.root / "anna" / "4.png").rename(request_.root / "bert" / "4.png")
    measure_plan, names = read(request_)
    assert names == {"anna/0.png", "bert/4.png"}
    assert measure_plan.summary() == ["4 photos of 2 people in 1 shard, 2 of them measured before"]
    assert list(contents(request_.out)) == ["anna/0.png#0", "bert/1.png#0", "bert/3.png#0", "bert/4.png#0"]


def test_verify_measures_a_photo_that_kept_size_and_time(request_: MeasureRequest, read: Read) -> None:
    photo = request_.root / "anna" / "0.png"
    status = photo.stat()
    photo.write_bytes(photo.read_bytes()[:-1] + b"\1")
    os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read(request_)[1] == set()
    assert read(replace(request_, verify=True))[1] == {"anna/0.png"}
    assert read(replace(request_, verify=True))[1] == set()


@pytest.mark.parametrize("family", ["measures", "faces"])
def test_of_a_damaged_shard_nothing_is_taken_over(request_: MeasureRequest, read: Read, family: str) -> None:
    view(9).save(request_.root / "anna" / "3.png")
    path = request_.out / family / "b-000.parquet"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    measure_plan = plan(request_)
    run(measure_plan)
    assert len(contents(request_.out)) == 6
    assert plan(request_).todo == []


def test_other_settings_take_nothing_over(request_: MeasureRequest, read: Read) -> None:
    assert len(read(replace(request_, max_pixels=10_000_000))[1]) == 5


def entry(name: str, size: int = 1, landmarks: tuple[float, ...] | None = None) -> Entry:
    return Entry(name, name.partition("/")[0], size, 0, name, landmarks=landmarks)


def stored(path: Path, entries: list[Entry]) -> StoredShard:
    """A shard of photos without a face, whose landmarks were rejected where they have some."""
    schema = arrow_schema("measures")
    rows = [
        {
            "image_id": entry.image_id,
            "identity": entry.identity,
            "listing_key": entry.key(),
            "face_id": None,
            "landmark_source": None,
            "landmarks_rejected": "not the shape of a face" if entry.landmarks else None,
        }
        for entry in entries
    ]
    tables = pa.Table.from_pylist([filled("measures", row, number) for number, row in enumerate(rows)], schema)
    write_table(path, tables, schema)
    table = TableFile(path)
    return StoredShard(table, table, table)


POINTS = tuple(float(value) for value in range(10))
WITH_LANDMARKS = [entry(f"anna/{k}", landmarks=POINTS) for k in range(3)] + [entry("anna/plain"), entry("bert/0")]


@pytest.mark.parametrize(
    ("now", "unchanged"),
    [
        (WITH_LANDMARKS, 5),
        ([*WITH_LANDMARKS, entry("anna/new")], 5),  # has no landmarks: the sample of the folder is the same
        ([*WITH_LANDMARKS, entry("anna/new", landmarks=POINTS)], 2),
        (WITH_LANDMARKS[1:], 2),
        ([entry("anna/0", 2, POINTS), *WITH_LANDMARKS[1:]], 2),
        ([*WITH_LANDMARKS[:3], entry("anna/plain", 2), entry("bert/0")], 4),
    ],
    ids=["same", "added without", "added with", "removed with", "changed with", "changed without"],
)
def test_photos_with_landmarks_are_taken_over_by_folder(tmp_path: Path, now: list[Entry], unchanged: int) -> None:
    """Landmarks of a folder are judged by a sample of its photos, so that one of them changes the others."""
    changes = stored(tmp_path / "b-000.parquet", WITH_LANDMARKS).compare(now)
    assert len(changes.unchanged) == unchanged
    before, after = ({photo.image_id for photo in photos} for photos in (WITH_LANDMARKS, now))
    assert (changes.added, changes.removed) == (after - before, before - after)
