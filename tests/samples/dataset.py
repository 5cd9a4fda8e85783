"""Small synthetic datasets that tests write, read and merge; the pixels are JPEGs and PNGs of coloured squares."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from curate.decide.rules import Policy
from manifests.landmarks import TEMPLATES
from manifests.layout import (
    FINGERPRINT,
    POLICY,
    POLICY_HASH,
    DatasetInfo,
    EmbedderRecord,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    bucket_of,
    shard_name,
    write_info,
)
from manifests.reader import Dataset
from manifests.schema import BOX, LANDMARKS, MANIFEST, MEASURES, RELATIONS, arrow_schema, embeddings_schema
from manifests.writer import FacesWriter, write_table

EMBEDDER = "e" * 16
Row = dict[str, Any]


def jpeg(seed: int, side: int = 32) -> bytes:
    """Encode coloured squares as a JPEG, `side` px square."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((side, side)).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def png(seed: int, side: int = 32) -> bytes:
    """Encode squares of the classes 0-18 as an 8-bit PNG."""
    labels = np.random.default_rng(seed).integers(0, 19, (side // 8, side // 8), np.uint8)
    out = io.BytesIO()
    Image.fromarray(labels).resize((side, side), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def faces_of(identity: str, count: int, size: int = 0) -> list[Row]:
    """Return rows of FACES of one person; with `size`, crops are that many random bytes after a JPEG's signature."""
    rng = np.random.default_rng(count)
    rows = []
    for index in range(count):
        image_id = f"{identity}/{index:04d}.jpg"
        noise = b"\xff\xd8\xff" + rng.bytes(size + index)
        rows.append({
            "image_id": image_id, "identity": identity, "face_id": f"{image_id}#0",
            "matrix": [1.0, 0, 0, 0, 1.0, 0], "crop": noise if size else jpeg(index), "mask": png(index),
        })  # fmt: skip
    return rows


def filled(table: str, given: Mapping[str, Any], number: int) -> Row:
    """Return a row of `table` with `given` values; other columns are null, or a plain value where never null.

    Of the manifest, `keep` follows from the verdict and `source_identity` from the identity unless they are given.
    """
    given = {"keep": given.get("verdict", "keep") == "keep", "source_identity": given.get("identity"), **given}
    columns = {"measures": MEASURES, "relations": RELATIONS, "manifest": MANIFEST}[table]
    row: Row = {}
    for column in columns:
        plain: object = (
            [] if pa.types.is_list(column.dtype) else number if pa.types.is_integer(column.dtype) else "keep"
        )
        row[column.name] = given.get(column.name, None if column.null else plain)
    return row


def manifest_rows(count: int) -> pa.Table:
    """Return a manifest of `count` photos of several people; every third is dropped, every fifth has no face."""
    rows = []
    for index in range(count):
        identity = f"person {index // 7}"
        image_id = f"{identity}/{index:04d}.jpg"
        has_face = index % 5 != 4
        given: Row = {
            "image_id": image_id,
            "identity": identity,
            "face_count": int(has_face),
            "verdict_source": "policy",
        }
        given |= {"verdict": "keep", "reasons": [], "sha256": f"{index:064x}"}
        if has_face:
            given |= {"face_id": f"{image_id}#0", "sharpness": index / count, "yaw": -12.5}
            given |= {"phash": f"{2**63 + index:016x}", "crop_offset": 2**53 + 1 + index}
        if not has_face or index % 3 == 0:
            given |= {"verdict": "drop", "reasons": ["blurred"] if has_face else ["no_face"]}
        rows.append(filled("manifest", given, index))
    return pa.Table.from_pylist(rows, arrow_schema("manifest"))


def dataset_info(buckets: int = 1, root: str | None = "photos") -> DatasetInfo:
    """Return the contents of a synthetic dataset's `dataset.json`."""
    return DatasetInfo(
        source=SourceRecord("folder", root),
        settings=SettingsRecord("simswap-224"),
        models=ModelsRecord(EmbedderRecord(EMBEDDER, "sample")),
        buckets=buckets,
    )


def write_dataset(root: Path, people: Mapping[str, int], buckets: int = 2, seed: int = 0) -> None:
    """Write a curated dataset of `people` (name -> photos); each person's last photo has no face."""
    write_info(root, dataset_info(buckets))
    relations, manifest = [], []
    for bucket in range(buckets):
        names = sorted(name for name in people if bucket_of(name, buckets) == bucket)
        stem = f"{shard_name(bucket, buckets)}.parquet"
        with FacesWriter(root / "faces" / stem, {FINGERPRINT: "f"}) as faces:
            for name in names:
                faces.add([_with_own_pixels(row, seed) for row in faces_of(name, people[name] - 1)])
        assert faces.offsets is not None
        locations = {row["face_id"]: row for row in faces.offsets.to_pylist()}
        photos = [_photo(name, index, people[name], locations, seed) for name in names for index in range(people[name])]
        _write(root / "measures" / stem, "measures", photos)
        relations.append(_table("relations", photos))
        manifest.append(_table("manifest", photos))
        _write_embeddings(root / "embeddings" / EMBEDDER / stem, [p for p in photos if p["face_id"]])
    write_table(root / "relations.parquet", relations, arrow_schema("relations"))
    policy = {POLICY: Policy().canonical_json(), POLICY_HASH: "p" * 8}
    write_table(root / "manifest.parquet", manifest, arrow_schema("manifest"), policy)


def write_pair(folder: Path) -> tuple[Path, Path]:
    """Write two datasets: `vgg` keeps 4 photos of ann and 3 of bob, `sjtu` 2 of bob and 5 of cid."""
    write_dataset(folder / "vgg", {"ann": 5, "bob": 4})
    write_dataset(folder / "sjtu", {"bob": 3, "cid": 6}, buckets=3, seed=1)
    return folder / "vgg", folder / "sjtu"


def edit_manifest(root: Path, image_id: str, **values: object) -> None:
    """Change values of one row of a dataset's manifest."""
    dataset = Dataset.open(root)
    if "verdict" in values:
        values = {"keep": values["verdict"] == "keep"} | values
    rows = [row | values if row["image_id"] == image_id else row for row in dataset.manifest().to_pylist()]
    table = pa.Table.from_pylist(rows, arrow_schema("manifest"))
    write_table(root / "manifest.parquet", table, table.schema, {POLICY_HASH: dataset.policy_hash() or ""})


def _with_own_pixels(row: Row, seed: int) -> Row:
    number = int(row["image_id"][-8:-4]) + 1000 * seed
    return {**row, "crop": jpeg(number), "mask": png(number)}


def _photo(name: str, index: int, count: int, locations: Mapping[str, Row], seed: int) -> Row:
    image_id = f"{name}/{index:04d}.jpg"
    has_face = index < count - 1
    photo: Row = {"image_id": image_id, "identity": name, "face_id": None, "file_size": 1000 + index, "mtime_ns": 1}
    photo |= {"sha256": f"{seed:02d}{name:>60}{index:02d}", "face_count": int(has_face), "main": True}
    photo |= {"verdict": "keep", "verdict_source": "policy", "reasons": []}
    if has_face:
        photo |= locations[f"{image_id}#0"] | {"face_id": f"{image_id}#0", "sharpness": 0.75, "own_similarity": 0.5}
        photo |= dict(zip(BOX, (1.0, 2.0, 30.0, 31.5), strict=True))
        photo |= dict(zip(LANDMARKS, TEMPLATES["simswap-224"].points[2].ravel().tolist(), strict=True))
    else:
        photo |= {"verdict": "drop", "reasons": ["no_face"]}
    return photo


def _table(table: str, rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist([filled(table, row, 0) for row in rows], arrow_schema(table))


def _write(path: Path, table: str, rows: Sequence[Row]) -> None:
    write_table(path, _table(table, rows), arrow_schema(table), {FINGERPRINT: "m"})


def _write_embeddings(path: Path, photos: Sequence[Row]) -> None:
    vectors = np.random.default_rng(len(photos)).normal(size=(len(photos), 4)).astype(np.float16)
    columns = [pa.array([photo[key] for photo in photos], pa.string()) for key in ("image_id", "identity", "face_id")]
    columns.append(pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4))
    schema = embeddings_schema(4)
    write_table(path, pa.Table.from_arrays(columns, schema=schema), schema)
