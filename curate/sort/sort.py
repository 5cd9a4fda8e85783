"""Sort the photos of a dataset: `SortRequest` -> `plan` -> `run`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate.lineage import require_current
from curate.sort.forms import contact_sheet, links, page
from curate.sort.order import SIMILARITY, Sorted, by_column, by_similarity, check_column, vector_of
from manifests.errors import DatasetError, OutputError
from manifests.reader import Dataset
from manifests.schema import VERDICTS

FORMS: dict[str, Callable[[Sorted, Path], None]] = {
    ".jpg": contact_sheet,
    ".png": contact_sheet,
    ".html": page,
    "": links,
}
"""Suffix of the output -> the function that writes it."""

_COLUMNS = ("image_id", "identity", "verdict", "face_id", "shard", "crop_offset", "crop_length", "crop_crc")
_FILTERS = ("identity", "verdict")


@dataclass(frozen=True)
class SortRequest:
    """What to sort, by what, and where to.

    Attributes:
        dataset: directory of a decided dataset, merged or not.
        out: a file .jpg, .png or .html, or, without a suffix, a folder of links.
        by: column of the manifest; None with `like`.
        like: image_id, or path of a photo, by whose similarity to sort; None with `by`.
        descending: the largest value first.
        identity: of one person only; None for all.
        verdict: 'keep', 'review' or 'drop' only; None for all.
        limit: number of photos that are written.
    """

    dataset: Path
    out: Path
    by: str | None = None
    like: str | None = None
    descending: bool = False
    identity: str | None = None
    verdict: str | None = None
    limit: int = 240

    def __post_init__(self) -> None:
        if (self.by is None) == (self.like is None):
            raise ValueError("give a column (by) or a photo (like) to sort by, not both")
        if self.verdict not in (None, *VERDICTS):
            raise ValueError(f"verdict is {self.verdict!r}: give {', '.join(VERDICTS)}")


@dataclass(frozen=True)
class SortPlan:
    """A request and the photos that its filters leave."""

    request: SortRequest
    dataset: Dataset
    photos: pa.Table


def plan(request: SortRequest) -> SortPlan:
    """Open the dataset and filter its photos. Writes nothing.

    Raises DatasetError without a manifest, where it is out of date, for an unknown column, or where no photo is left;
    OutputError for an output of another kind.
    """
    if request.out.suffix.lower() not in FORMS:
        raise OutputError(f"{request.out}: give a name that ends in .jpg, .png or .html, or a folder for links")
    dataset = Dataset.open(request.dataset)
    require_current(dataset)
    column = [check_column(request.by)] if request.by else []
    photos = dataset.manifest(list(dict.fromkeys((*_COLUMNS, *column))))
    for name in _FILTERS:
        value = getattr(request, name)
        if value is not None:
            photos = photos.filter(pc.equal(photos[name].cast(pa.string()), value))
    if not photos.num_rows:
        filters = [f"{name} {value!r}" for name in _FILTERS if (value := getattr(request, name)) is not None]
        raise DatasetError(f"{dataset.path}: no photo has {' and '.join(filters)}; `curate inspect` counts the photos")
    return SortPlan(request, dataset, photos)


def run(sort_plan: SortPlan) -> Sorted:
    """Sort, and write the output, which replaces an earlier one when it is whole.

    Raises DatasetError where the photo to compare with shows no face or a shard is missing, OutputError where the
    output cannot be written.
    """
    request, dataset = sort_plan.request, sort_plan.dataset
    if request.by:
        table = by_column(sort_plan.photos, request.by, request.descending)
    else:
        assert request.like is not None
        table = by_similarity(dataset, sort_plan.photos, vector_of(dataset, request.like), request.descending)
    rows = table.slice(0, request.limit).to_pylist()
    photos = Sorted(dataset, request.by or SIMILARITY, rows, table.num_rows)
    FORMS[request.out.suffix.lower()](photos, request.out)
    return photos
