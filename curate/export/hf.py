"""The format "hf": Parquet that `datasets.load_dataset(out)` reads.

Columns: image, mask, label (ClassLabel of the people, sorted) and image_id, in files of about 256 MiB for each split.
README.md is the dataset card.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate.card import write_export_card
from curate.export.faces import Batch, batches, people_of, split_parts
from curate.export.request import Advance, Exported, ExportPlan
from curate.fingerprint import fingerprint
from manifests.errors import DatasetError
from manifests.layout import FINGERPRINT
from manifests.table_file import footer
from manifests.writer import write_table

_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

_CONTENT = """\
Columns: `image` (JPEG of the aligned face), `mask` (PNG, label map of 19 CelebAMask-HQ classes on the image's grid),
`label` (the person), `image_id` (the photo in its source).

```python
from datasets import load_dataset

faces = load_dataset("path/to/this/folder")
```
"""


def export_hf(export_plan: ExportPlan, advance: Advance) -> Exported:
    """Write the Parquet files, then the card."""
    dataset, out = export_plan.dataset, export_plan.request.out
    people = people_of(export_plan.faces)
    schema = _schema(people)
    files = 0
    for split, number, part in split_parts(export_plan.faces):
        path = out / "data" / f"{split}-{number:05d}.parquet"
        # With the part's faces, so that a change of `parts` is noticed.
        stamp = fingerprint([asdict(export_plan.record), split, part["image_id"].to_pylist()])
        files += 1
        if _is_written(path, stamp):
            advance(part.num_rows)
            continue
        tables = (_table(batch, people, schema) for batch in batches(dataset, part, advance))
        write_table(path, tables, schema, {FINGERPRINT: stamp})
    write_export_card(out / "README.md", dataset, export_plan.faces, _CONTENT)
    return Exported(export_plan.faces.num_rows, len(people), files)


def _is_written(path: Path, stamp: str) -> bool:
    """Whether `path` is a whole Parquet file with this fingerprint."""
    try:
        return (footer(path) or {}).get(FINGERPRINT) == stamp
    except DatasetError:  # damaged since
        return False


def _schema(people: list[str]) -> pa.Schema:
    features = {
        "image": {"_type": "Image"},
        "mask": {"_type": "Image"},
        "label": {"names": people, "_type": "ClassLabel"},
        "image_id": {"dtype": "string", "_type": "Value"},
    }
    types = {"image": _IMAGE, "mask": _IMAGE, "label": pa.int64(), "image_id": pa.string()}
    return pa.schema(list(types.items()), {"huggingface": json.dumps({"info": {"features": features}})})


def _table(batch: Batch, people: list[str], schema: pa.Schema) -> pa.Table:
    identities = pa.array([row["identity"] for row in batch.rows], pa.string())
    columns = [
        pa.array([{"bytes": data, "path": None} for data in batch.crops], _IMAGE),
        pa.array([{"bytes": data, "path": None} for data in batch.masks], _IMAGE),
        pc.index_in(identities, pa.array(people, pa.string())).cast(pa.int64()),
        pa.array([row["image_id"] for row in batch.rows], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema)
