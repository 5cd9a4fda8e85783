"""The synthetic dataset of `bench.review`: measures, relations and a shard of random pictures."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from bench.synthetic import EMBEDDER, RANGES, random_measures, random_relations
from manifests.layout import DatasetInfo, EmbedderRecord, ModelsRecord, SettingsRecord, SourceRecord, shard_name
from manifests.writer import FacesWriter, write_info, write_table

MAX_BUCKETS = 1_000
PICTURES = 64
GOOD = {
    "wrong_person": (0, 0.004), "corruption": (0, 0.002), "sharpness": (0.6, 1), "inside": (0.4, 1),
    "brightness": (60, 200), "flat_rows": (0, 0.2), "eye_distance": (30, 90),
}  # fmt: skip
"""Ranges in which the default policy keeps a photo."""


def generate(out: Path, photos: int, people: int) -> None:
    """Write the measures, the relations and a shard of pictures."""
    rng = np.random.default_rng(0)
    buckets = min(people, MAX_BUCKETS)
    rows = np.diff(np.linspace(0, photos, buckets + 1).astype(int))
    pictures = _pictures(out, rng, buckets)
    RANGES.update(GOOD)
    relations = []
    for bucket, of_bucket in enumerate(np.array_split(np.arange(people), buckets)):
        measures = random_measures(rng, bucket, int(rows[bucket]), of_bucket)
        has_face = measures["face_id"].is_valid().to_numpy()
        for name, column in pictures.items():
            values = column.take(pa.array(rng.integers(0, PICTURES, measures.num_rows)))
            shown = pa.array(np.where(has_face, values.to_numpy(False), None), values.type)
            index = measures.schema.get_field_index(name)
            measures = measures.set_column(index, measures.schema.field(index), shown)
        write_table(out / "measures" / f"{shard_name(bucket, buckets)}.parquet", measures, measures.schema)
        relations.append(_doubtful(rng, random_relations(rng, bucket, measures)))
    write_table(out / "relations.parquet", iter(relations), relations[0].schema)
    models = ModelsRecord(EmbedderRecord(EMBEDDER, "synthetic"))
    write_info(out, DatasetInfo(SourceRecord("folder", "synthetic"), SettingsRecord("simswap-224"), models, buckets))


def _pictures(out: Path, rng: np.random.Generator, buckets: int) -> dict[str, pa.Array]:
    """Write PICTURES crops into the first shard; return the columns that locate them."""
    faces = []
    for number in range(PICTURES):
        noise = rng.integers(0, 255, (14, 14, 3), np.uint8)
        pixels = cv2.resize(noise, (224, 224), interpolation=cv2.INTER_CUBIC)
        image_id = f"p/{number:03d}.jpg"
        faces.append({
            "image_id": image_id, "identity": "p", "face_id": f"{image_id}#0", "matrix": [1.0, 0, 0, 0, 1.0, 0],
            "crop": cv2.imencode(".jpg", pixels)[1].tobytes(),
            "mask": cv2.imencode(".png", np.zeros((224, 224), np.uint8))[1].tobytes(),
        })  # fmt: skip
    with FacesWriter(out / "faces" / f"{shard_name(0, buckets)}.parquet") as writer:
        writer.add(faces)
    assert writer.offsets is not None
    names = ("shard", "crop_offset", "crop_length", "crop_crc")
    return {name: writer.offsets[name].combine_chunks() for name in names}


def _doubtful(rng: np.random.Generator, relations: pa.Table) -> pa.Table:
    """Make 1 photo in 80 doubtful."""
    values = relations["wrong_person"].to_numpy().copy()
    chosen = (rng.random(len(values)) < 1 / 80) & np.isfinite(values)
    values[chosen] = rng.uniform(0.12, 0.45, int(chosen.sum()))
    index = relations.schema.get_field_index("wrong_person")
    column = pa.array(values, pa.float32(), from_pandas=True)
    return relations.set_column(index, relations.schema.field(index), column)
