"""The format "fiftyone": a FiftyOneDataset on disk, with the numbers of the manifest as fields.

    fiftyone datasets create --name faces --dataset-dir OUT --type fiftyone.types.FiftyOneDataset

`data/<identity>/<name>.jpg` are the aligned faces, `fields/mask/<identity>/<name>.png` their label maps (with masks).
Of a sample: `ground_truth` (Classification of the person), `mask` (Segmentation), `image_id`, tags (the split), and the
numbers in `NUMBERS`. metadata.json, which makes the folder a dataset, is written last.
Format: https://docs.voxel51.com/user_guide/export_datasets.html#fiftyonedataset
"""

import hashlib
import json
from typing import Any

from curate.export.faces import FaceNames, batches, write_image
from curate.export.request import Advance, Exported, ExportPlan
from manifests.landmarks import MASK_CLASSES
from manifests.output import atomic, sync_file_system

NUMBERS = (
    "sharpness", "own_similarity", "wrong_person", "yaw", "pitch", "roll", "brightness", "contrast", "eye_distance",
    "resolution", "ita", "eyes_covered", "mouth_covered",
)  # fmt: skip
"""Columns of the manifest that are fields of a sample."""

FIELDS = ("image_id", "verdict", *NUMBERS)
"""Columns of the manifest that this format reads besides those of all formats."""

VERSION = "1.0.0"
"""Version of the format: later versions of FiftyOne migrate it when they load it, earlier ones refuse it."""

_CLASSIFICATION, _SEGMENTATION = "fiftyone.core.labels.Classification", "fiftyone.core.labels.Segmentation"
_DATE = "fiftyone.core.fields.DateTimeField"
_EMBEDDED = "fiftyone.core.fields.EmbeddedDocumentField"


def export_fiftyone(export_plan: ExportPlan, advance: Advance) -> Exported:
    """Write the images, then samples.json and metadata.json."""
    request, out = export_plan.request, export_plan.request.out
    names = FaceNames()
    (out / "metadata.json").unlink(missing_ok=True)
    with (
        atomic(out / "samples.json") as partial,
        open(partial, "w", encoding="utf-8") as samples,
    ):
        samples.write('{"samples": [')
        separator = "\n"
        for batch in batches(export_plan.dataset, export_plan.faces, advance):
            for row, crop, mask in zip(batch.rows, batch.crops, batch.masks, strict=True):
                name = names.add(row["identity"], row["image_id"])
                write_image(out / "data" / f"{name}.jpg", crop)
                if request.masks:
                    write_image(out / "fields/mask" / f"{name}.png", mask)
                samples.write(separator + json.dumps(_sample(row, name, request.masks)))
                separator = ",\n"
        samples.write("\n]}\n")
        sync_file_system(out)
    with atomic(out / "metadata.json") as partial:
        partial.write_text(json.dumps(_metadata(export_plan), indent=2) + "\n", encoding="utf-8")
    return Exported(export_plan.faces.num_rows, names.people, export_plan.faces.num_rows)


def _sample(row: dict[str, Any], name: str, masks: bool) -> dict[str, Any]:
    label = {
        "_id": _object_id("label", row["image_id"]),
        "_cls": "Classification",
        "tags": [],
        "label": row["identity"],
    }
    sample: dict[str, Any] = {
        "_id": _object_id("sample", row["image_id"]),
        "filepath": f"data/{name}.jpg",
        "tags": [row["split"]],
        "metadata": None,
        "_media_type": "image",
        "_rand": int(hashlib.blake2b(row["image_id"].encode("utf-8", "surrogateescape")).hexdigest()[:12], 16) / 2**48,
        "ground_truth": label,
        "image_id": row["image_id"],
        "verdict": row["verdict"],
        **{number: row[number] for number in NUMBERS},
    }
    if masks:
        path = f"fields/mask/{name}.png"
        segmentation = {"_id": _object_id("mask", row["image_id"]), "_cls": "Segmentation", "tags": []}
        sample["mask"] = segmentation | {"mask_path": path}
    return sample


def _object_id(kind: str, image_id: str) -> dict[str, str]:
    """A MongoDB ObjectId, 24 hex digits, the same for the same photo in every export."""
    digest = hashlib.blake2b(f"{kind}\0{image_id}".encode("utf-8", "surrogateescape"), digest_size=12)
    return {"$oid": digest.hexdigest()}


def _metadata(export_plan: ExportPlan) -> dict[str, Any]:
    """The document of the dataset: its fields and classes."""
    fields = [
        _field("id", "fiftyone.core.fields.ObjectIdField", db_field="_id"),
        _field("filepath", "fiftyone.core.fields.StringField"),
        _field("tags", "fiftyone.core.fields.ListField", subfield="fiftyone.core.fields.StringField"),
        _field("metadata", _EMBEDDED, embedded="fiftyone.core.metadata.ImageMetadata"),
        *(_field(name, _DATE, read_only=True) for name in ("created_at", "last_modified_at")),
        _field("ground_truth", _EMBEDDED, embedded=_CLASSIFICATION),
        *(_field(name, "fiftyone.core.fields.StringField") for name in ("image_id", "verdict")),
        *(_field(name, "fiftyone.core.fields.FloatField") for name in NUMBERS),
    ]
    if export_plan.request.masks:
        fields.append(_field("mask", _EMBEDDED, embedded=_SEGMENTATION))
    targets = {str(index): name for index, name in enumerate(MASK_CLASSES)}
    return {
        "version": VERSION,
        "name": export_plan.dataset.path.resolve().name,
        "media_type": "image",
        "info": {"policy": export_plan.dataset.policy_hash(), "template": export_plan.dataset.info.template},
        "tags": [],
        "classes": {},
        "default_classes": [],
        "mask_targets": {"mask": targets} if export_plan.request.masks else {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": fields,
        "frame_fields": [],
        "saved_views": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
        "workspaces": [],
    }


def _field(
    name: str,
    kind: str,
    *,
    subfield: str | None = None,
    embedded: str | None = None,
    db_field: str | None = None,
    read_only: bool = False,
) -> dict[str, Any]:
    return {
        "name": name, "ftype": kind, "subfield": subfield, "embedded_doc_type": embedded, "db_field": db_field or name,
        "fields": [], "description": None, "info": None, "read_only": read_only,
    }  # fmt: skip
