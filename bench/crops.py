"""Crops and label maps of a benchmark's shards, encoded as curation stores them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from manifests.layout import (
    DatasetInfo,
    EmbedderRecord,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    write_info,
)

SHARD = "faces/b-000.parquet"
"""The shard of a benchmark's dataset."""


def write_bench_info(root: Path) -> None:
    """Write the `dataset.json` of a benchmark's dataset, which holds one shard and no other table."""
    models = ModelsRecord(EmbedderRecord("0" * 16, "none"))
    write_info(root, DatasetInfo(SourceRecord("folder"), SettingsRecord("simswap-224"), models, buckets=1))


def read_crop(path: Path, side: int) -> npt.NDArray[np.uint8]:
    """Read a photo and resize it to a square: uint8 (side, side, 3) RGB."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


def encode_jpeg(crop: npt.NDArray[np.uint8]) -> bytes:
    """Encode a crop as JPEG of quality 95, 4:4:4."""
    out = io.BytesIO()
    Image.fromarray(crop).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def read_label_map(path: Path, side: int) -> bytes:
    """Read a label map, resize it to a square and encode it as 8-bit PNG."""
    out = io.BytesIO()
    with Image.open(path) as image:
        labels = Image.fromarray(np.asarray(image)).resize((side, side), Image.Resampling.NEAREST)
    labels.save(out, "PNG", optimize=True)
    return out.getvalue()


def faces_row(image_id: str, identity: str, crop: bytes, mask: bytes) -> dict[str, Any]:
    """Return a row for `FacesWriter`; the source-to-crop matrix is not used by the benchmarks and is zero."""
    return {
        "image_id": image_id, "identity": identity, "face_id": f"{image_id}#0", "matrix": [0.0] * 6,
        "crop": crop, "mask": mask,
    }  # fmt: skip
