"""The format "webdataset": tar files of about 256 MiB for each split, as `webdataset` and torchdata read.

A sample is KEY.jpg (the aligned face), KEY.png (its label map), KEY.cls (the label, index of the person in
people.json) and KEY.json (image_id and identity). Tars have no times or owners, so equal faces give equal files; their
fingerprint is a comment in a global pax header. README.md is the dataset card.
"""

import io
import json
import tarfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.card import write_export_card
from curate.export.faces import batches, people_of, split_parts
from curate.export.request import Advance, Exported, ExportPlan
from curate.fingerprint import fingerprint
from manifests.output import atomic

PEOPLE = "people.json"

_COMMENT = "comment"
_CONTENT = """\
Samples: `jpg` (the aligned face), `png` (label map of 19 CelebAMask-HQ classes on the image's grid), `cls` (index of
the person in people.json), `json` (image_id, the photo in its source, and identity).

```python
import webdataset

faces = webdataset.WebDataset("train-{00000..00000}.tar").decode("pil").to_tuple("jpg", "png", "cls")
```
"""


def export_webdataset(export_plan: ExportPlan, advance: Advance) -> Exported:
    """Write the tars, then people.json and the card."""
    dataset, out = export_plan.dataset, export_plan.request.out
    people = people_of(export_plan.faces)
    labels = {name: index for index, name in enumerate(people)}
    files = 0
    for split, number, part in split_parts(export_plan.faces):
        path = out / f"{split}-{number:05d}.tar"
        stamp = fingerprint([asdict(export_plan.record), split, part["image_id"].to_pylist()])
        files += 1
        if _is_written(path, stamp, part, labels):
            advance(part.num_rows)
            continue
        with (
            atomic(path) as partial,
            tarfile.open(partial, "w", format=tarfile.PAX_FORMAT, pax_headers={_COMMENT: stamp}) as tar,
        ):
            number = 0
            for batch in batches(dataset, part, advance):
                for row, crop, mask in zip(batch.rows, batch.crops, batch.masks, strict=True):
                    small = _small_members(row, labels)
                    for suffix, data in {"jpg": crop, "png": mask, **small}.items():
                        member = tarfile.TarInfo(_name(number, suffix))
                        member.size, member.mode = len(data), 0o644
                        tar.addfile(member, io.BytesIO(data))
                    number += 1
    with atomic(out / PEOPLE) as partial:
        partial.write_text(json.dumps(people, indent=0) + "\n", encoding="utf-8")
    write_export_card(out / "README.md", dataset, export_plan.faces, _CONTENT)
    return Exported(export_plan.faces.num_rows, len(people), files)


def _name(number: int, suffix: str) -> str:
    """Name of a file in a tar. The key is a number, because it must be unique and have no dot."""
    return f"{number:06d}.{suffix}"


def _small_members(row: dict[str, Any], labels: dict[str, int]) -> dict[str, bytes]:
    """Suffix -> content of the files of a sample that are no images."""
    facts = {"image_id": row["image_id"], "identity": row["identity"]}
    return {"cls": str(labels[row["identity"]]).encode(), "json": json.dumps(facts).encode()}


def _is_written(path: Path, stamp: str, part: pa.Table, labels: dict[str, int]) -> bool:
    """Whether `path` is a whole tar with this fingerprint, whose files have the checksums that they must have."""
    if not path.is_file() or path.stat().st_size % tarfile.RECORDSIZE:
        return False
    expected = []
    for number, row in enumerate(part.to_pylist()):
        small = {suffix: zlib.crc32(data) for suffix, data in _small_members(row, labels).items()}
        checksums = {"jpg": row["crop_crc"], "png": row["mask_crc"], **small}
        expected += [(_name(number, suffix), checksum) for suffix, checksum in checksums.items()]
    found = []
    try:
        with tarfile.open(path) as tar:
            if tar.pax_headers.get(_COMMENT) != stamp:
                return False
            for member in tar:
                file = tar.extractfile(member)
                found.append((member.name, zlib.crc32(file.read()) if file else -1))
    except (tarfile.TarError, EOFError, OSError):  # damaged since
        return False
    return found == expected
