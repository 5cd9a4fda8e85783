"""Time and memory of `decide` (and of `relate`) on a synthetic dataset of 3.3 million photos, 9,131 identities.

    python -m bench.decide --photos 3300000
    python -m bench.decide --photos 3300000 --relate --dim 512

The tables are written once, with random numbers of plausible ranges; each step then runs in a process of its own,
whose wall-clock time and peak memory are printed as Markdown.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
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
    "flat_rows": (0, 0.26),
    "brightness": (25, 200),
    "yaw": (-60, 60),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=3_300_000)
    parser.add_argument("--identities", type=int, default=9_131)
    parser.add_argument("--buckets", type=int, default=1_000)
    parser.add_argument("--relate", action="store_true", help="time relate as well; writes embeddings")
    parser.add_argument("--dim", type=int, default=128, help="dimensions of the embeddings")
    parser.add_argument("--out", type=Path, help="keep the dataset here, and use it where it is complete")
    parser.add_argument("--child", choices=["decide", "relate"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(options.child, options.out)
        return
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch) / "dataset"
        if not (out / "dataset.json").exists():
            generate(out, options)
        print("| step | photos | seconds | peak memory, GB | found |\n|---|---|---|---|---|")
        for step in ["decide", "relate"] if options.relate else ["decide"]:
            command = [sys.executable, "-m", "bench.decide", "--child", step, "--out", str(out)]
            told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(
                f"| {step} | {options.photos:,} | {told['seconds']:.1f} | {told['gigabytes']:.2f} | {told['found']} |"
            )


def run_child(step: str, out: Path) -> None:
    start = time.perf_counter()
    if step == "decide":
        from curate.decide.decide import DecideRequest, run
        from curate.decide.policy import load_policy

        decided = run(DecideRequest(out, load_policy("default")))
        found = f"{decided.kept:,} kept"
    else:
        from curate.relate.relate import RelateRequest, run

        related = run(RelateRequest(out, embedder_id=EMBEDDER))
        found = f"{len(related.duplicates.rows):,} photos in duplicate groups"
    # ru_maxrss is in KiB on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": time.perf_counter() - start, "gigabytes": peak, "found": found}))


def generate(out: Path, options: argparse.Namespace) -> None:
    """Write measures, relations and, for relate, embeddings; one photo in 40 has no face, one in 50 a copy."""
    random = np.random.default_rng(0)
    per_bucket = np.diff(np.linspace(0, options.photos, options.buckets + 1).astype(int))
    of_bucket = np.array_split(np.arange(options.identities), options.buckets)
    relations = []
    for bucket, (rows, people) in enumerate(zip(per_bucket, of_bucket, strict=True)):
        measures = measured(random, bucket, rows, people)
        write_table(out / "measures" / f"{shard_name(bucket, options.buckets)}.parquet", measures, measures.schema)
        relations.append(related(random, bucket, measures))
        if options.relate:
            path = out / "embeddings" / EMBEDDER / f"{shard_name(bucket, options.buckets)}.parquet"
            table = embedded(random, measures, options.dim)
            write_table(path, table, table.schema)
    write_table(out / "relations.parquet", iter(relations), relations[0].schema)
    write_info(
        out,
        DatasetInfo(
            source=SourceRecord("folder", "synthetic"),
            settings=SettingsRecord("simswap-224"),
            models=ModelsRecord(EmbedderRecord(EMBEDDER, "synthetic")),
            buckets=options.buckets,
        ),
    )


def measured(random: np.random.Generator, bucket: int, rows: int, people: np.ndarray) -> pa.Table:
    person = np.sort(random.integers(0, len(people), rows))
    identity = pa.array([f"n{people[k]:06d}" for k in range(len(people))]).take(person)
    image_id = pa.array([f"n{people[k]:06d}/{i:06d}_01.jpg" for i, k in enumerate(person)])
    faceless = random.random(rows) < 1 / 40
    schema = arrow_schema("measures")
    columns: dict[str, pa.Array] = {
        "image_id": image_id,
        "identity": identity,
        "split": pa.array(["train"] * rows),
        "face_id": pa.array([f"{name}#0" for name in image_id.to_pylist()], pa.string(), mask=faceless),
        "error": pa.nulls(rows, pa.string()),
        "sha256": pa.array([digest.hex() for digest in chunks(random, rows)]),
        "format": pa.array(["JPEG"] * rows),
        "landmark_source": pa.array(["detector"] * rows, pa.string(), mask=faceless),
        "shard": pa.array([f"faces/b-{bucket:03d}.parquet"] * rows, pa.string(), mask=faceless),
    }
    return filled(random, schema, columns, rows, faceless)


def chunks(random: np.random.Generator, rows: int) -> Iterator[bytes]:
    data = random.bytes(32 * rows)
    return (data[32 * i : 32 * i + 32] for i in range(rows))


def related(random: np.random.Generator, bucket: int, measures: pa.Table) -> pa.Table:
    rows = measures.num_rows
    faceless = measures["face_id"].is_null().to_numpy()
    pair = np.where(random.random(rows) < 1 / 50, random.integers(0, rows // 100 + 1, rows) + bucket * rows, -1)
    columns = {
        "image_id": measures["image_id"],
        "identity": measures["identity"],
        "face_id": measures["face_id"],
        "main": pa.array(np.ones(rows, bool)),
        "nearest_identity": pa.array(["n000001"] * rows, pa.string(), mask=faceless),
        "duplicate_group": pa.array(pair, mask=pair < 0),
    }
    return filled(random, arrow_schema("relations"), columns, rows, faceless)


def embedded(random: np.random.Generator, measures: pa.Table, dim: int) -> pa.Table:
    """Faces scattered about one direction per person."""
    with_face = measures.filter(measures["face_id"].is_valid())
    codes = with_face["identity"].combine_chunks().dictionary_encode().indices.to_numpy()
    directions = random.standard_normal((codes.max() + 1, dim), np.float32)
    vectors = directions[codes] + random.standard_normal((len(codes), dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = pa.array(vectors.astype(np.float16).reshape(-1), pa.float16())
    columns = [with_face[name] for name in ("image_id", "identity", "face_id")]
    return pa.table([*columns, pa.FixedSizeListArray.from_arrays(flat, dim)], schema=embeddings_schema(dim))


def filled(
    random: np.random.Generator, schema: pa.Schema, columns: dict[str, pa.Array], rows: int, faceless: np.ndarray
) -> pa.Table:
    """`columns`, and random numbers for the others of the schema; null where there is no face and null is allowed."""
    for field in schema:
        if field.name in columns:
            continue
        mask = faceless if field.nullable else np.zeros(rows, bool)
        if "phash" in field.name:
            columns[field.name] = hash_column(random.integers(0, 2**64, rows, np.uint64), ~mask)
        elif pa.types.is_string(field.type):
            columns[field.name] = pa.nulls(rows, pa.string())
        elif pa.types.is_floating(field.type):
            low, high = RANGES.get(field.name, (0, 0.01))
            columns[field.name] = pa.array(random.uniform(low, high, rows).astype(np.float32), mask=mask)
        else:
            columns[field.name] = pa.array(random.integers(1, 100, rows), mask=mask).cast(field.type)
    return pa.table([columns[name] for name in schema.names], schema=schema)


if __name__ == "__main__":
    main()
