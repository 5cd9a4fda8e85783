"""manifests/writer.py, output.py, layout.py: atomic files, equal bytes for equal rows, pixel offsets, dataset.json."""

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import writer
from manifests.errors import OutputError
from manifests.layout import (
    FINGERPRINT,
    ChoiceRecord,
    DatasetInfo,
    EmbedderRecord,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    bucket_of,
    read_info,
    shard_name,
    write_info,
)
from manifests.schema import arrow_schema, embeddings_schema
from manifests.table_file import footer
from manifests.writer import FacesWriter, pixel_offsets, write_table
from tests.samples.dataset import faces_of, manifest_rows


def _shard(path: Path, identities: dict[str, int], size: int = 3000) -> FacesWriter:
    with FacesWriter(path, {FINGERPRINT: "f"}) as faces:
        for name, count in identities.items():
            faces.add(faces_of(name, count, size))
    return faces


def test_every_offset_holds_the_bytes_that_pyarrow_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MIN_GROUP_BYTES", 1 << 19)
    path = tmp_path / "faces" / "b-000.parquet"
    offsets = _shard(path, {"ann": 30, "bob": 40, "cid": 200, "dan": 1}, size=20_000).offsets

    parquet = pq.ParquetFile(path)
    assert parquet.num_row_groups == 4, "the case should cover several row groups"
    assert offsets is not None
    data = path.read_bytes()
    table = parquet.read()
    assert offsets["face_id"].to_pylist() == table["face_id"].to_pylist()
    assert set(offsets["shard"].to_pylist()) == {"faces/b-000.parquet"}
    for name in ("crop", "mask"):
        ends = zip(offsets[f"{name}_offset"].to_pylist(), offsets[f"{name}_length"].to_pylist(), strict=True)
        assert [data[start : start + size] for start, size in ends] == [v["bytes"] for v in table[name].to_pylist()]
    # cid's four megabytes fill several pages, whose headers are between the values.
    gaps = np.diff(offsets["crop_offset"].to_numpy()) - offsets["crop_length"].to_numpy()[:-1]
    assert len(set(gaps[70:269].tolist())) > 1


def test_equal_values_are_located_in_order(tmp_path: Path) -> None:
    rows = [dict(row, crop=b"\xff\xd8\xff" + b"same" * 9) for row in faces_of("ann", 5, 100)]
    with FacesWriter(tmp_path / "b-000.parquet") as faces:
        faces.add(rows)
    assert faces.offsets is not None
    assert np.diff(faces.offsets["crop_offset"].to_numpy()).tolist() == [39 + 4] * 4


def test_the_offsets_of_a_finished_shard_can_be_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "faces" / "b-000.parquet"
    assert _shard(path, {"ann": 3}).offsets == pixel_offsets(path)


def test_small_identities_share_a_row_group_and_none_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MIN_GROUP_BYTES", 10_000)
    path = tmp_path / "b-000.parquet"
    _shard(path, {"a": 2, "b": 2, "c": 2, "d": 9, "e": 1}, size=2000)
    parquet = pq.ParquetFile(path)
    groups = [parquet.read_row_group(i)["identity"].to_pylist() for i in range(parquet.num_row_groups)]
    assert groups == [["a"] * 2 + ["b"] * 2 + ["c"] * 2, ["d"] * 9, ["e"]]


def test_an_identity_too_large_for_one_row_group_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MAX_GROUP_BYTES", 10_000)
    path = tmp_path / "b-000.parquet"
    offsets = _shard(path, {"a": 9}, size=4000).offsets
    parquet = pq.ParquetFile(path)
    assert [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)] == [2, 2, 2, 2, 1]
    assert offsets is not None
    assert offsets.num_rows == 9


def test_identities_must_ascend(tmp_path: Path) -> None:
    path = tmp_path / "b-000.parquet"
    with pytest.raises(ValueError, match="ascending"):
        _shard(path, {"bob": 1, "ann": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [None, {"bytes": None, "path": "x.jpg"}])
def test_a_face_without_pixels_is_refused(tmp_path: Path, missing: object) -> None:
    (face,) = faces_of("ann", 1)
    with (
        FacesWriter(tmp_path / "b-000.parquet") as faces,
        pytest.raises(ValueError, match="ann has no crop or no mask"),
    ):
        faces.add([face | {"mask": missing}])


def test_a_shard_without_faces_is_a_table_without_rows(tmp_path: Path) -> None:
    offsets = _shard(tmp_path / "b-000.parquet", {}).offsets
    assert offsets is not None
    assert offsets.num_rows == pq.read_table(tmp_path / "b-000.parquet").num_rows == 0


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    schema = arrow_schema("manifest")
    for name in ("a", "b"):
        _shard(tmp_path / name / "b-000.parquet", {"ann": 3, "bob": 2})
        write_table(tmp_path / name / "m.parquet", manifest_rows(50), schema, {FINGERPRINT: "x"})
    assert (tmp_path / "a/b-000.parquet").read_bytes() == (tmp_path / "b/b-000.parquet").read_bytes()
    assert (tmp_path / "a/m.parquet").read_bytes() == (tmp_path / "b/m.parquet").read_bytes()


def test_a_stream_of_tables_keeps_a_row_group_each(tmp_path: Path) -> None:
    rows = manifest_rows(60)
    parts = [rows.slice(0, 25), rows.slice(25, 0), rows.slice(25)]
    write_table(tmp_path / "m.parquet", iter(parts), arrow_schema("manifest"))
    file = pq.ParquetFile(tmp_path / "m.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [25, 0, 35]
    assert file.read().cast(rows.schema).equals(rows)


def test_the_footer_has_the_metadata(tmp_path: Path) -> None:
    write_table(tmp_path / "m.parquet", manifest_rows(3), arrow_schema("manifest", {"a": "1"}), {FINGERPRINT: "77"})
    metadata = footer(tmp_path / "m.parquet")
    assert metadata is not None
    assert (metadata["a"], metadata[FINGERPRINT], metadata["swapset.table"]) == ("1", "77", "manifest")
    assert footer(tmp_path / "none.parquet") is None


def test_embeddings_round_trip_exactly(tmp_path: Path) -> None:
    schema = embeddings_schema(4)
    vectors = np.linspace(-1, 1, 12, dtype=np.float16)
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors), 4)
    names = pa.array(["a", "b", "c"])
    write_table(tmp_path / "e.parquet", pa.Table.from_arrays([names, names, names, values], schema=schema), schema)
    assert pq.read_table(tmp_path / "e.parquet")["embedding"].combine_chunks().flatten().to_numpy().tolist() == (
        vectors.tolist()
    )


def test_a_null_in_a_never_null_column_is_refused(tmp_path: Path) -> None:
    rows = manifest_rows(2)
    invalid = rows.set_column(0, "image_id", pa.array([None, "x"], pa.string()))
    with pytest.raises(ValueError, match="image_id"):
        write_table(tmp_path / "m.parquet", invalid, arrow_schema("manifest"))
    assert list(tmp_path.iterdir()) == []


def test_buckets_are_pinned_and_even() -> None:
    # These values are part of the format: another hash would move every identity to another shard.
    assert [bucket_of(name, 256) for name in ("n000001", "Tom Hanks", "person\udcff")] == [107, 116, 230]
    counts = np.bincount([bucket_of(f"n{i:06d}", 16) for i in range(8000)], minlength=16)
    assert counts.min() > 400
    assert (shard_name(0, 16), shard_name(7, 1000), shard_name(7, 1001)) == ("b-000", "b-007", "b-0007")


def test_metadata_that_depends_on_the_tables_is_in_the_footer(tmp_path: Path) -> None:
    path, rows, counts = tmp_path / "m.parquet", manifest_rows(20), list[int]()

    def tables() -> Iterator[pa.Table]:
        for _ in range(2):
            counts.append(rows.num_rows)
            yield rows

    write_table(path, tables(), rows.schema, {"policy": "p"}, lambda: {"rows": str(sum(counts))})
    metadata = footer(path)
    assert metadata is not None
    assert (metadata["policy"], metadata["rows"]) == ("p", "40")
    assert metadata["swapset.table"] == "manifest"
    assert "ARROW:schema" not in metadata


def test_dataset_json_comes_back_and_is_canonical(tmp_path: Path) -> None:
    info = DatasetInfo(
        SourceRecord("folder", "/f/\udcff", limit=5, ignored={".txt": 3}),
        SettingsRecord("simswap-224", max_pixels=50_000_000, revision=1),
        ModelsRecord(EmbedderRecord("e", "sample"), "d", "s", ChoiceRecord("builtin")),
        buckets=16,
    )
    write_info(tmp_path, info)
    first = (tmp_path / "dataset.json").read_bytes()
    assert read_info(tmp_path) == info
    assert (info.embedder_id, info.template) == ("e", "simswap-224")
    write_info(tmp_path, read_info(tmp_path))
    assert (tmp_path / "dataset.json").read_bytes() == first


@pytest.fixture
def short_files() -> Iterator[None]:
    """The system refuses to let any file grow beyond 1 MiB, as a full disk does at some point of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("short_files")
def test_a_shard_that_the_system_cuts_short_never_gets_its_name(tmp_path: Path) -> None:
    path = tmp_path / "b-000.parquet"
    with pytest.raises(OutputError, match=f"cannot write {path}: the file grew too large"):
        _shard(path, {"ann": 30, "bob": 40}, size=20_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("short_files")
def test_a_table_that_the_system_cuts_short_never_gets_its_name(tmp_path: Path) -> None:
    path, rows = tmp_path / "m.parquet", manifest_rows(200)
    with pytest.raises(OutputError, match=f"cannot write {path}: the file grew too large"):
        write_table(path, (rows for _ in range(60)), rows.schema)
    assert list(tmp_path.iterdir()) == []
