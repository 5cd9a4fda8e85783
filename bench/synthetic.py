"""A synthetic measured dataset of any size: random measures, relations and embeddings of plausible ranges."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.arrays import hash_column
from manifests.layout import (
    DatasetInfo,
    EmbedderRecord,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    shard_name,
    write_info,
)
from manifests.schema import arrow_schema, embeddings_schema
from manifests.writer import write_table

EMBEDDER = "synthetic"
RANGES = {
    "own_similarity": (0.3, 0.9),
    "nearest_similarity": (0.1, 0.4),
    "wrong_person": (0, 0.52),
    "identity_purity": (0.8, 1),
    "eye_distance": (18, 90),
    "sharpness": (0.45, 1),
    "stretch": (0.9, 1.1),
    "stretch_error": (0.03, 0.08),
    "upscale": (0.5, 3),
    "inside": (0.28, 1),
    "flat_rows": (0, 0.26),
    "brightness": (25, 200),
    "yaw": (-60, 60),
}
"""Range of the uniform random numbers of a column; (0, 0.01) for the others."""

Mask = npt.NDArray[np.bool_]


def generate(out: Path, photos: int, identities: int, buckets: int, dim: int | None = None) -> None:
    """Write the measures and relations of `photos` photos; 1 in 40 has no face, about 1 in 50 is a duplicate.

    Args:
        out: the dataset's folder.
        photos: number of photos, divided evenly among the buckets.
        identities: number of identities, likewise.
        buckets: number of shards.
        dim: number of dimensions of the embeddings; None writes none.
    """
    random = np.random.default_rng(0)
    photos_per_bucket = np.diff(np.linspace(0, photos, buckets + 1).astype(int))
    identities_per_bucket = np.array_split(np.arange(identities), buckets)
    relations = []
    for bucket, (rows, people) in enumerate(zip(photos_per_bucket, identities_per_bucket, strict=True)):
        measures = random_measures(random, bucket, rows, people)
        file = f"{shard_name(bucket, buckets)}.parquet"
        write_table(out / "measures" / file, measures, measures.schema)
        relations.append(random_relations(random, bucket, measures))
        if dim:
            embeddings = random_embeddings(random, measures, dim)
            write_table(out / "embeddings" / EMBEDDER / file, embeddings, embeddings.schema)
    write_table(out / "relations.parquet", iter(relations), relations[0].schema)
    write_info(
        out,
        DatasetInfo(
            source=SourceRecord("folder", "synthetic"),
            settings=SettingsRecord("simswap-224"),
            models=ModelsRecord(EmbedderRecord(EMBEDDER, "synthetic")),
            buckets=buckets,
        ),
    )


def random_measures(random: np.random.Generator, bucket: int, rows: int, people: npt.NDArray[np.int64]) -> pa.Table:
    """Return the measures of one bucket, one face per photo, sorted by identity."""
    person = np.sort(random.integers(0, len(people), rows))
    identity = pa.array([f"n{people[k]:06d}" for k in range(len(people))]).take(person)
    image_id = pa.array([f"n{people[k]:06d}/{i:06d}_01.jpg" for i, k in enumerate(person)])
    faceless = random.random(rows) < 1 / 40
    columns: dict[str, pa.Array] = {
        "image_id": image_id,
        "identity": identity,
        "split": pa.array(["train"] * rows),
        "face_id": pa.array([f"{name}#0" for name in image_id.to_pylist()], pa.string(), mask=faceless),
        "error": pa.nulls(rows, pa.string()),
        "sha256": pa.array([digest.hex() for digest in _random_digests(random, rows)]),
        "format": pa.array(["JPEG"] * rows),
        "landmark_source": pa.array(["detector"] * rows, pa.string(), mask=faceless),
        "shard": pa.array([f"faces/b-{bucket:03d}.parquet"] * rows, pa.string(), mask=faceless),
    }
    return _with_random_columns(random, arrow_schema("measures"), columns, rows, faceless)


def random_relations(random: np.random.Generator, bucket: int, measures: pa.Table) -> pa.Table:
    """Return the relations of one bucket; about one photo in 50 is in a duplicate group."""
    rows = measures.num_rows
    faceless = measures["face_id"].is_null().to_numpy()
    group = np.where(random.random(rows) < 1 / 50, random.integers(0, rows // 100 + 1, rows) + bucket * rows, -1)
    columns = {
        "image_id": measures["image_id"],
        "identity": measures["identity"],
        "face_id": measures["face_id"],
        "main": pa.array(np.ones(rows, bool)),
        "nearest_identity": pa.array(["n000001"] * rows, pa.string(), mask=faceless),
        "person_group": pa.nulls(rows, pa.int8()),
        "duplicate_group": pa.array(group, mask=group < 0),
    }
    return _with_random_columns(random, arrow_schema("relations"), columns, rows, faceless)


def random_embeddings(random: np.random.Generator, measures: pa.Table, dim: int) -> pa.Table:
    """Return unit vectors scattered about one random direction per identity, for the rows with a face."""
    faces = measures.filter(measures["face_id"].is_valid())
    codes = faces["identity"].combine_chunks().dictionary_encode().indices.to_numpy()
    directions = random.standard_normal((codes.max() + 1, dim), np.float32)
    vectors = directions[codes] + random.standard_normal((len(codes), dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = pa.array(vectors.astype(np.float16).reshape(-1), pa.float16())
    columns = [faces[name] for name in ("image_id", "identity", "face_id")]
    return pa.table([*columns, pa.FixedSizeListArray.from_arrays(flat, dim)], schema=embeddings_schema(dim))


def _random_digests(random: np.random.Generator, rows: int) -> Iterator[bytes]:
    content = random.bytes(32 * rows)
    return (content[32 * i : 32 * i + 32] for i in range(rows))


def _with_random_columns(
    random: np.random.Generator, schema: pa.Schema, columns: dict[str, pa.Array], rows: int, faceless: Mask
) -> pa.Table:
    """Fill the other columns of the schema with random numbers; null without a face where null is allowed."""
    for field in schema:
        if field.name in columns:
            continue
        mask = faceless if field.nullable else np.zeros(rows, bool)
        if "phash" in field.name or field.name == "listing_key":
            columns[field.name] = hash_column(random.integers(0, 2**64, rows, np.uint64), ~mask)
        elif pa.types.is_string(field.type):
            columns[field.name] = pa.nulls(rows, pa.string())
        elif pa.types.is_binary(field.type):
            columns[field.name] = pa.array([b""] * rows, field.type, mask=mask)
        elif pa.types.is_floating(field.type):
            low, high = RANGES.get(field.name, (0, 0.01))
            columns[field.name] = pa.array(random.uniform(low, high, rows).astype(np.float32), mask=mask)
        else:
            columns[field.name] = pa.array(random.integers(1, 100, rows), mask=mask).cast(field.type)
    return pa.table([columns[name] for name in schema.names], schema=schema)
