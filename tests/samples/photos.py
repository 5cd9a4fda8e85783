"""Invented photos, given as what differs from a good one, as measures, relations and datasets on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.decide.collection import TablePart, decide_collection
from curate.decide.rule import Rule
from curate.decide.rules import RULES, Policy
from curate.overrides import Overrides
from manifests.layout import write_info
from manifests.schema import arrow_schema
from manifests.writer import write_table
from tests.samples.dataset import dataset_info, filled

Photo = dict[str, Any]

GOOD: Photo = {
    "sha256": "0" * 64, "file_size": 1000, "width": 400, "height": 400, "eye_distance": 60.0, "upscale": 1.0,
    "inside": 1.0,
    "sharpness": 0.9, "stretch": 1.0, "stretch_error": 0.05, "corruption": 0.0, "flat_rows": 0.0, "flat_fraction": 0.0,
    "brightness": 100.0, "local_contrast": 20.0, "clipped_dark": 0.0, "clipped_bright": 0.0, "wrong_person": 0.01,
    "identity_purity": 1.0, "own_similarity": 0.7, "main": True, "face_count": 1,
}  # fmt: skip
"""Columns of a photo that every rule of the default policy keeps."""

AS_GIVEN = Policy(adapt_sharpness=False)
"""The default policy without the adapted sharpness limit, which would lower it for a few soft photos."""


def tables(*photos: Photo) -> tuple[pa.Table, pa.Table]:
    """Return measures and relations of GOOD photos of anna with changes."""
    measures, relations = [], []
    for index, changes in enumerate(photos):
        image_id = changes.get("image_id", f"anna/{index}.jpg")
        row = {
            **GOOD,
            "copy_rank": index,
            "image_id": image_id,
            "identity": "anna",
            "face_id": f"{image_id}#0",
            **changes,
        }
        measures.append(filled("measures", row, index))
        relations.append(filled("relations", row, index))
    return (
        pa.Table.from_pylist(measures, arrow_schema("measures")),
        pa.Table.from_pylist(relations, arrow_schema("relations")),
    )


def decided(
    *photos: Photo, policy: Policy = AS_GIVEN, human: dict[str, str] | None = None, rules: Sequence[Rule] = RULES
) -> list[dict[str, Any]]:
    """Return the manifest rows of a collection; human: overrides by image_id."""
    parts = [TablePart(*tables(*photos))]
    return list(decide_collection(parts, policy, Overrides(human or {}), rules).table().to_pylist())


def related_dataset(folder: Path, *buckets: Sequence[Photo]) -> Path:
    """Write a dataset of measures and relations only, from the photos of each bucket."""
    relations = []
    for number, photos in enumerate(buckets):
        measures, related = tables(*photos)
        write_table(folder / "measures" / f"b-{number:03d}.parquet", measures, measures.schema)
        relations.append(related)
    write_table(folder / "relations.parquet", iter(relations), relations[0].schema)
    write_info(folder, dataset_info(len(buckets)))
    return folder
