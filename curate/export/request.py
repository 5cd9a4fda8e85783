"""What is exported: the request, its plan, the record in the output folder, and the result."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from curate.counts import counted
from manifests.reader import Dataset

Advance = Callable[[int], None]

Format = Literal["hf", "folder", "webdataset", "fiftyone"]


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to.

    Attributes:
        dataset: directory of a curated dataset, merged or not.
        out: a folder that is new or empty, or that of an earlier run of the same request.
        format: a key of `FORMATS`.
        masks: write the label maps as files too; only for the formats "folder" and "fiftyone", the others have them
            always.
        selection: file that lists the photos to export (`manifests.selection`); None for all kept ones.
        test_people: share of the people, chosen by the hash of their names, whose faces are the split `test`; the
            others are `train`. 0 keeps the splits of the source; without any, all faces are `train`. Only for the
            formats "hf", "webdataset" and "fiftyone".
    """

    dataset: Path
    out: Path
    format: Format = "hf"
    masks: bool = False
    selection: Path | None = None
    test_people: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.test_people < 1:
            raise ValueError(f"test_people is {self.test_people}: give a share from 0 to below 1")


@dataclass(frozen=True)
class ExportRecord:
    """What an exported folder depends on.

    Attributes:
        format, masks, test_people: of the request.
        manifest: digest of the dataset's manifest.
        selection: digest of the selection; None for all kept faces.
        revision: of the exported files.
    """

    format: str
    masks: bool
    manifest: str
    selection: str | None = None
    test_people: float = 0.0
    revision: int = 2


@dataclass(frozen=True)
class ExportPlan:
    """A request, its opened dataset, and the record of the folder.

    faces: manifest rows of the faces to export, with the column split as it is exported, never null.
    """

    request: ExportRequest
    dataset: Dataset
    faces: pa.Table
    record: ExportRecord


@dataclass(frozen=True)
class Exported:
    """Number of exported faces, of people, and of files with faces."""

    faces: int
    people: int
    files: int

    def summary(self) -> str:
        """Describe the result in one line."""
        return f"{counted(self.faces, 'face')} of {counted(self.people, 'person')}"
